"""hsc.sources.coco2014: miniatures of COCO's archives into VOC layout."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hsc.base.errors import HscError
from hsc.base.progress import Progress, silent
from hsc.data.classes import COCO_CLASSES
from hsc.data.voc import VocFolder
from hsc.sources.coco2014 import build
from tests.sources.coco_archives import (
    annotation_entry,
    compressed_runs,
    image_entry,
    instances,
    jpeg,
    pack,
    plain_runs,
    rectangle,
    write_archives,
)

TRAIN_9, TRAIN_25 = "COCO_train2014_000000000009", "COCO_train2014_000000000025"
VAL_42 = "COCO_val2014_000000000042"
FEW = {"train_aug": 2, "val": 1}
COUNTS = {"train_aug": 82081, "val": 40137}

CROWD = np.array([[1, 1, 0, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1]], dtype=bool)
CUP = np.array([[0, 0, 0], [0, 1, 0]], dtype=bool)


class Mini:
    """Contents of the three archives, to be changed by a test and packed."""

    def __init__(self) -> None:
        self.images = {
            "train2014": [
                image_entry("train2014", 25, 3, 5),
                image_entry("train2014", 30, 2, 2),  # without an object
                image_entry("train2014", 9, 2, 3),
            ],
            "val2014": [image_entry("val2014", 42, 3, 5)],
        }
        self.objects = {
            "train2014": [
                # the cat is before the dog that it sits on
                annotation_entry(11, 25, "cat", [rectangle(1, 0, 2, 2)]),
                annotation_entry(12, 25, "dog", [rectangle(0, 0, 4, 2), rectangle(0, 2, 1, 3)]),
                annotation_entry(13, 25, "person", plain_runs(CROWD), crowd=True),
                annotation_entry(14, 9, "cup", compressed_runs(CUP)),
            ],
            "val2014": [
                annotation_entry(15, 42, "toothbrush", plain_runs(CROWD), crowd=True),
                annotation_entry(16, 42, "traffic light", [rectangle(4, 0, 5, 2)]),
                annotation_entry(17, 42, "traffic light", [rectangle(0, 2, 2, 3)]),
            ],
        }
        self.files = {
            part: {
                f"{part}/{entry['file_name']}": jpeg(
                    np.full((entry["height"], entry["width"], 3), 90, dtype=np.uint8)
                )
                for entry in entries
            }
            for part, entries in self.images.items()
        }

    def pack(self, folder: Path) -> dict[str, Path]:
        return {
            "train_images": pack(folder / "train2014.zip", self.files["train2014"]),
            "val_images": pack(folder / "val2014.zip", self.files["val2014"]),
            "annotations": pack(
                folder / "annotations_trainval2014.zip",
                {
                    f"annotations/instances_{part}.json": instances(
                        self.images[part], self.objects[part]
                    )
                    for part in self.images
                },
            ),
        }

    def build(self, folder: Path, **options: Any) -> VocFolder:
        build(folder / "out", **self.pack(folder), **({"counts": FEW} | options))
        return VocFolder(folder / "out")


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def test_splits_tags_and_pictures(tmp_path: Path) -> None:
    mini = Mini()
    data = mini.build(tmp_path)
    data.check()
    assert data.class_names == COCO_CLASSES
    assert data.ids("train_aug") == data.ids("train") == (TRAIN_9, TRAIN_25)
    assert data.ids("val") == (VAL_42,)
    assert (data.root / "tags.csv").read_text().splitlines() == [
        "id,tags", f"{TRAIN_9},cup", f"{TRAIN_25},person;cat;dog",
        f"{VAL_42},traffic light;toothbrush",
    ]  # fmt: skip
    assert np.flatnonzero(data.tags(VAL_42)).tolist() == [9, 79]
    found = contents(data.root)
    ids = (TRAIN_9, TRAIN_25, VAL_42)
    assert set(found) == {
        "classes.txt", "tags.csv",
        *(f"ImageSets/Segmentation/{name}.txt" for name in ("train", "val", "train_aug")),
        *(f"JPEGImages/{i}.jpg" for i in ids), *(f"SegmentationClass/{i}.png" for i in ids),
    }  # fmt: skip
    packed = mini.files["train2014"] | mini.files["val2014"]
    for image_id in ids:  # as they were, not encoded again
        part = image_id.split("_")[1]
        assert found[f"JPEGImages/{image_id}.jpg"] == packed[f"{part}/{image_id}.jpg"]


def test_masks(tmp_path: Path) -> None:
    data = Mini().build(tmp_path)
    # person 1 is below, dog 17, of 9 pixels, above it, and cat 16, of 2, above both
    assert data.mask(TRAIN_25).tolist() == [
        [17, 16, 17, 17, 0],
        [17, 16, 17, 17, 1],
        [17, 0, 0, 0, 1],
    ]
    assert data.mask(TRAIN_9).tolist() == [[0, 0, 0], [0, 42, 0]]
    assert data.mask(VAL_42).tolist() == [
        [80, 80, 0, 0, 10],
        [80, 80, 80, 80, 10],
        [10, 10, 0, 0, 80],
    ]


def test_grey_pictures_are_read_as_rgb(tmp_path: Path) -> None:
    mini = Mini()
    name = f"train2014/{TRAIN_9}.jpg"
    mini.files["train2014"][name] = jpeg(np.full((2, 3), 90, dtype=np.uint8))
    data = mini.build(tmp_path)
    assert data.image(TRAIN_9).tolist() == np.full((2, 3, 3), 90).tolist()


def test_scored_train_paints_fewer_masks(tmp_path: Path) -> None:
    data = Mini().build(tmp_path, scored_train=1)
    assert data.ids("train") == (TRAIN_9,)
    assert data.ids("train_aug") == (TRAIN_9, TRAIN_25)
    assert data.tags(TRAIN_25).sum() == 3
    assert data.mask_path(TRAIN_9).exists()
    assert not data.mask_path(TRAIN_25).exists()
    assert data.mask_path(VAL_42).exists()


def test_limit_takes_the_first_pictures_only(tmp_path: Path) -> None:
    mini = Mini()
    del mini.files["train2014"][f"train2014/{TRAIN_25}.jpg"]  # not asked for
    data = mini.build(tmp_path, counts=COUNTS, limit=1)
    data.check()
    assert data.ids("train_aug") == data.ids("train") == (TRAIN_9,)
    assert data.ids("val") == (VAL_42,)
    found = contents(data.root)
    assert not any(TRAIN_25 in name for name in found)
    assert TRAIN_25.encode() not in found["tags.csv"]


def test_generated_archives_and_the_number_of_processes(tmp_path: Path) -> None:
    paths = write_archives(tmp_path, train=9, val=6)
    calls: dict[str, list[tuple[int, int]]] = {}

    def bars(title: str, unit: str) -> Progress:
        return lambda *call: calls.setdefault(title, []).append(call)

    for processes in (1, 2):
        root = tmp_path / str(processes)
        shown = silent if processes == 2 else bars
        build(root, **paths, counts=None, processes=processes, bars=shown)
        VocFolder(root).check()
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    data = VocFolder(tmp_path / "1")
    assert (len(data.ids("train_aug")), len(data.ids("val"))) == (9, 6)
    for image_id in (*data.ids("train"), *data.ids("val")):
        shown = set(np.unique(data.mask(image_id)).tolist())
        assert shown == {0, *(np.flatnonzero(data.tags(image_id)) + 1).tolist()}
        assert len(shown) == 3
    assert calls["masks of train_aug"][-1] == (9, 9)
    size = paths["val_images"].stat().st_size
    assert calls["unpacking val2014.zip"][-1] == (size, size)
    for title in ("annotations", "categories", "images"):
        done, total = calls[f"instances_train2014.json: {title}"][-1]
        assert done == total > 0
    assert all(done <= total for shown in calls.values() for done, total in shown)


def test_other_counts(tmp_path: Path) -> None:
    with pytest.raises(HscError, match=r"train2014\.json: 2 pictures.*has 82081 for train_aug"):
        Mini().build(tmp_path, counts=COUNTS)
    with pytest.raises(HscError, match=r"val2014\.json: 1 pictures.*has 40137 for val"):
        Mini().build(tmp_path, counts=COUNTS | {"train_aug": 2})
    assert not (tmp_path / "out").exists()  # told before gigabytes are unpacked


def test_numbers_below_one(tmp_path: Path) -> None:
    for name in ("limit", "scored_train"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            Mini().build(tmp_path, **{name: 0})


def lose_a_picture(mini: Mini) -> None:
    del mini.files["train2014"][f"train2014/{TRAIN_25}.jpg"]


def resize_a_picture(mini: Mini) -> None:
    mini.files["val2014"][f"val2014/{VAL_42}.jpg"] = jpeg(np.zeros((5, 3, 3), dtype=np.uint8))


def spoil_a_picture(mini: Mini) -> None:
    mini.files["val2014"][f"val2014/{VAL_42}.jpg"] = b"no picture"


def lose_an_image(mini: Mini) -> None:
    mini.images["train2014"] = mini.images["train2014"][1:]


def change_a_category(mini: Mini) -> None:
    mini.objects["val2014"][1]["category_id"] = 12


def cut_a_segmentation(mini: Mini) -> None:
    mini.objects["train2014"][2]["segmentation"]["counts"].pop()


def lose_all_objects(mini: Mini) -> None:
    mini.objects["val2014"] = []


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (
            lose_a_picture,
            rf"train2014\.zip: {TRAIN_25}\.jpg is annotated in annotations/instances_train2014"
            r"\.json, but is not in this archive \(1 such",
        ),
        (resize_a_picture, rf"{VAL_42}\.jpg: 3x5 pixels, but annotated as 5x3"),
        (spoil_a_picture, rf"{VAL_42}\.jpg: cannot be read as a picture"),
        (lose_an_image, r"train2014\.json: annotation 11 is of image 25, which is unknown"),
        (change_a_category, r"val2014\.json: annotation 16 is of category 12, which is unknown"),
        (
            cut_a_segmentation,
            rf"annotation 13 \({TRAIN_25}\.jpg\) has a segmentation that cannot be read: its run "
            r"lengths fill 1\d of 15 pixels; get the archive again",
        ),
        (lose_all_objects, r"val2014\.json: no picture with an annotated object"),
    ],
)
def test_archives_that_do_not_fit(
    damage: Callable[[Mini], None], problem: str, tmp_path: Path
) -> None:
    mini = Mini()
    damage(mini)
    with pytest.raises(HscError, match=problem):
        mini.build(tmp_path, counts=None)


@pytest.mark.parametrize("name", ["train_images", "val_images", "annotations"])
def test_damaged_archives(name: str, tmp_path: Path) -> None:
    paths = Mini().pack(tmp_path)
    paths[name].write_bytes(paths[name].read_bytes()[:-30])
    with pytest.raises(HscError, match=rf"{paths[name].name}: damaged or truncated"):
        build(tmp_path / "out", **paths, counts=FEW)
