"""hsc.sources.coco_annotations: COCO's JSON out of its zip file."""

import json
import tracemalloc
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from hsc.base.errors import HscError
from hsc.sources.coco_annotations import Annotation, AnnotationFile, Picture
from tests.sources.coco_archives import annotation_entry, image_entry, instances, pack, rectangle

MEMBER = "annotations/instances_val2014.json"
IMAGES = [image_entry("val2014", 42, 4, 6), image_entry("val2014", 7, 5, 3)]
RUNS = {"size": [4, 6], "counts": [20, 4]}
OBJECTS = [
    annotation_entry(9, 42, "toothbrush", [rectangle(0, 0, 2, 2)]),
    annotation_entry(3, 42, "person", RUNS, crowd=True),
]


def packed(folder: Path, text: bytes) -> AnnotationFile:
    return AnnotationFile(pack(folder / "a.zip", {MEMBER: text}), MEMBER)


def read_all(file: AnnotationFile) -> tuple[Any, ...]:
    return file.labels(), file.pictures(), file.annotated(), list(file.annotations())


def test_what_is_in_the_file(tmp_path: Path) -> None:
    labels, pictures, annotated, annotations = read_all(
        packed(tmp_path, instances(IMAGES, OBJECTS))
    )
    assert (labels[1], labels[11], labels[13], labels[90]) == (1, 11, 12, 80)
    assert len(labels) == 80
    assert pictures == {
        42: Picture("COCO_val2014_000000000042.jpg", 4, 6),
        7: Picture("COCO_val2014_000000000007.jpg", 5, 3),
    }
    assert pictures[7].image_id == "COCO_val2014_000000000007"
    assert pictures[7].suffix == ".jpg"
    assert annotated == {42}
    assert annotations == [
        Annotation(9, 42, 90, False, [[0.0, 0.0, 2.0, 0.0, 2.0, 2.0, 0.0, 2.0]]),
        Annotation(3, 42, 1, True, RUNS),
    ]


def test_the_order_of_the_keys_is_nothing(tmp_path: Path) -> None:
    expected = read_all(packed(tmp_path, instances(IMAGES, OBJECTS)))
    for order in permutations(("images", "annotations", "categories")):
        assert read_all(packed(tmp_path, instances(IMAGES, OBJECTS, order))) == expected


def test_the_file_is_not_held_in_memory(tmp_path: Path) -> None:
    objects = [
        annotation_entry(number, 42, "cat", [rectangle(0, 0, 2, 2)] * 10) for number in range(4000)
    ]
    text = instances(IMAGES, objects)
    file = packed(tmp_path, text)
    tracemalloc.start()
    try:
        assert sum(1 for _ in file.annotations()) == 4000
        assert file.annotated() == {42}
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(text) > 2e6
    assert peak < 1e6


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda names: names[:-1], r"79 categories.*'toothbrush' differs"),
        (lambda names: [*names[:-1], "brush"], r"80 categories.*'brush' differs"),
        (lambda names: names[::-1], r"80 categories.*order' differs"),
    ],
)
def test_other_categories(change: Any, problem: str, tmp_path: Path) -> None:
    contents = json.loads(instances(IMAGES, OBJECTS))
    names = change([category["name"] for category in contents["categories"]])
    contents["categories"] = [{"id": i, "name": name} for i, name in enumerate(names, 1)]
    with pytest.raises(HscError, match=rf"a\.zip: {MEMBER}: {problem}"):
        packed(tmp_path, json.dumps(contents).encode()).labels()


@pytest.mark.parametrize("kind", ["id", "name"])
def test_a_picture_that_is_there_twice(kind: str, tmp_path: Path) -> None:
    other = dict(IMAGES[1] if kind == "id" else IMAGES[0])
    other["id"] = 42 if kind == "id" else 8
    with pytest.raises(HscError, match=rf"image {other['id']} \(.*\.jpg\) is there twice"):
        packed(tmp_path, instances([*IMAGES, other], OBJECTS)).pictures()


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("id", "42", "without a proper 'id'"),
        ("file_name", None, "without a proper 'file_name'"),
        ("file_name", "..", "is no file name"),
        ("height", 4.5, "without a proper 'height'"),
        ("width", 0, "image 42 has no pixels"),
    ],
)
def test_images_that_are_none(key: str, value: Any, problem: str, tmp_path: Path) -> None:
    with pytest.raises(HscError, match=rf"{MEMBER}.*{problem}"):
        packed(tmp_path, instances([IMAGES[0] | {key: value}], OBJECTS)).pictures()


@pytest.mark.parametrize("key", ["id", "image_id", "category_id", "segmentation"])
def test_annotations_that_are_none(key: str, tmp_path: Path) -> None:
    entry = {name: value for name, value in OBJECTS[0].items() if name != key}
    with pytest.raises(HscError, match=rf"{MEMBER}.*without a proper '{key}'"):
        list(packed(tmp_path, instances(IMAGES, [entry])).annotations())
    with pytest.raises(HscError, match=r"without a proper 'id': 5"):
        list(packed(tmp_path, b'{"annotations": [5]}').annotations())


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda text: text[:-10], "parse error: premature EOF"),
        (lambda text: text.replace(b'"area"', b'"area', 1), "lexical error: invalid"),
        (lambda text: text.replace(b"thing", b"\xff", 1), "lexical error: invalid bytes"),
        (lambda text: b"", "parse error: premature EOF"),
    ],
)
def test_damaged_json(damage: Any, problem: str, tmp_path: Path) -> None:
    file = packed(tmp_path, damage(instances(IMAGES, OBJECTS)))
    with pytest.raises(HscError, match=rf"{MEMBER}: no valid JSON \({problem}[^\n]*\); get"):
        list(file.annotations())


def test_archives_that_are_none(tmp_path: Path) -> None:
    file = packed(tmp_path, instances(IMAGES, OBJECTS))
    with pytest.raises(HscError, match=r"a\.zip: has no annotations/other\.json"):
        AnnotationFile(file.archive, "annotations/other.json").labels()
    whole = file.archive.read_bytes()
    file.archive.write_bytes(whole[:-30])
    with pytest.raises(HscError, match=r"a\.zip: damaged or truncated.*run the same command"):
        file.labels()
    at = whole.index(MEMBER.encode()) + len(MEMBER) + 200
    file.archive.write_bytes(whole[:at] + bytes([whole[at] ^ 64]) + whole[at + 1 :])
    with pytest.raises(HscError, match=r"a\.zip: .*(damaged or truncated|no valid JSON)"):
        file.pictures()
    file.archive.unlink()
    with pytest.raises(HscError, match=r"a\.zip: no such file"):
        file.labels()
