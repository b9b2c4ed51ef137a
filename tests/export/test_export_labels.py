"""Labels to an annotation tool and back: what is in the files, and that the pixels are the same."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from pycocotools.coco import COCO

from hsc.data.classes import palette
from hsc.data.label_maps import read_labels
from hsc.data.voc import VocFolder, write_mask
from stages.export_labels import main as export
from stages.import_labels import main as take_back
from tests.export.test_outlines import blob

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory, tiny_folder: VocFolder) -> Path:
    """For four pictures three classes with a hole and unsure pixels, for one background."""
    folder = tmp_path_factory.mktemp("labels")
    for number, image_id in enumerate(tiny_folder.ids("train")[:5]):
        height, width = tiny_folder.size(image_id)
        label = np.zeros((height, width), dtype=np.uint8)
        if number:
            label[2:-2, 2:-2] = np.where(blob((height - 6, width - 6), number), number, 0)
            label[8:16, 8:16] = number + 1
            label[10:13, 10:13] = 0
            label[-3:, 3:9] = 255
        write_mask(folder / f"{image_id}.png", label)
    return folder


@pytest.fixture
def run(tiny_root: Path, tmp_path: Path) -> Run:
    """`run(command, *words)`: with the tiny data set in the place of `shapes`."""
    sets = tmp_path / "sets"
    sets.mkdir()
    (sets / "shapes").symlink_to(tiny_root)

    def invoke(command: Any, *words: Any, code: int = 0) -> Result:
        fixed = ["--data", sets]
        done = CliRunner().invoke(command, [str(word) for word in (*words, *fixed)])
        assert done.exit_code == code, done.output
        return done

    return invoke


def known(labels: Path, stem: str) -> np.ndarray:
    """What can come back: nobody draws what is unsure."""
    found = read_labels(labels, stem)
    return np.where(found == 255, 0, found)


@pytest.mark.parametrize("form", ["coco", "coco-rle", "labelme"])
def test_round_trip(run: Run, labels: Path, tmp_path: Path, form: str) -> None:
    words = ("--labels", labels, "--format", form, "--tolerance", 0, "--out", tmp_path / "out")
    assert f"5 pictures' labels, {form}" in run(export, *words).output
    source = tmp_path / "out" if form == "labelme" else tmp_path / "out" / "annotations.json"
    run(take_back, source, "--out", tmp_path / "back")
    stems = sorted(path.stem for path in labels.iterdir())
    assert sorted(path.stem for path in (tmp_path / "back").iterdir()) == stems
    for stem in stems:
        np.testing.assert_array_equal(read_labels(tmp_path / "back", stem), known(labels, stem))


def test_a_tolerance_is_kept(run: Run, labels: Path, tmp_path: Path) -> None:
    run(export, "--labels", labels, "--format", "coco", "--out", tmp_path / "out")
    run(take_back, tmp_path / "out" / "annotations.json", "--out", tmp_path / "back")
    for path in labels.iterdir():
        found, expected = read_labels(tmp_path / "back", path.stem), known(labels, path.stem)
        assert (found != expected).mean() < 0.05


def test_pycocotools_reads_it(
    run: Run, labels: Path, tiny_folder: VocFolder, tmp_path: Path
) -> None:
    """Its own index, masks, areas and boxes."""
    run(export, "--labels", labels, "--format", "coco", "--tolerance", 0, "--out", tmp_path / "out")
    coco = COCO(tmp_path / "out" / "annotations.json")
    names = [each["name"] for each in coco.loadCats(coco.getCatIds())]
    assert names == list(tiny_folder.class_names)
    assert len(coco.getImgIds()) == 5
    for image in coco.loadImgs(coco.getImgIds()):
        truth = known(labels, Path(image["file_name"]).stem)
        assert (image["height"], image["width"]) == truth.shape
        found = np.zeros_like(truth)
        for each in coco.loadAnns(coco.getAnnIds(image["id"])):
            mask = coco.annToMask(each).astype(bool)
            assert each["area"] == mask.sum()
            rows, columns = np.nonzero(mask)
            left, top, width, height = each["bbox"]
            assert (left, top) == (columns.min(), rows.min())
            assert (left + width, top + height) == (columns.max() + 1, rows.max() + 1)
            found[mask] = each["category_id"]
        np.testing.assert_array_equal(found, truth)


def test_voc_keeps_what_is_unsure(
    run: Run, labels: Path, tiny_folder: VocFolder, tmp_path: Path
) -> None:
    run(export, "--labels", labels, "--format", "voc", "--out", tmp_path / "out")
    stems = (tmp_path / "out/ImageSets/Segmentation/default.txt").read_text().split()
    assert stems == sorted(path.stem for path in labels.iterdir())
    for stem in stems:
        found = read_labels(tmp_path / "out/SegmentationClass", stem)
        np.testing.assert_array_equal(found, read_labels(labels, stem))
        picture = tmp_path / "out/JPEGImages" / f"{stem}.jpg"
        assert picture.read_bytes() == tiny_folder.image_path(stem).read_bytes()
    lines = (tmp_path / "out/labelmap.txt").read_text().splitlines()[1:]
    colours = {name: rest.split("::")[0] for name, rest in (line.split(":", 1) for line in lines)}
    assert list(colours) == ["background", *tiny_folder.class_names]
    with Image.open(tmp_path / "out/SegmentationClass" / f"{stems[-1]}.png") as image:
        shown = {tuple(colour) for _, colour in image.convert("RGB").getcolors()}
    assert shown <= {*(tuple(map(int, each.split(","))) for each in colours.values()),
                     tuple(palette()[255])}  # fmt: skip


def test_labelme_has_the_picture_beside_it(run: Run, labels: Path, tmp_path: Path) -> None:
    run(export, "--labels", labels, "--format", "labelme", "--out", tmp_path / "out")
    for path in sorted((tmp_path / "out").glob("*.json")):
        content = json.loads(path.read_text())
        with Image.open(path.parent / content["imagePath"]) as image:
            assert image.size == (content["imageWidth"], content["imageHeight"])
        for shape in content["shapes"]:
            assert shape["shape_type"] == "polygon"
            assert len(shape["points"]) > 2


def test_names_of_a_prediction_are_those_of_its_legend(
    run: Run, labels: Path, tmp_path: Path
) -> None:
    with (labels / "legend.csv").open("w", newline="") as stream:
        rows = [("index", "class"), *enumerate(["background", *"abcdefgh"])]
        csv.writer(stream).writerows(rows)
    try:
        run(export, "--labels", labels, "--format", "coco", "--out", tmp_path / "out")
    finally:
        (labels / "legend.csv").unlink()
    content = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert [each["name"] for each in content["categories"]] == list("abcdefgh")


def test_corrections_that_overlap_and_rectangles(run: Run, tmp_path: Path) -> None:
    """A rectangle of LabelMe; the smaller is on top, in whatever order they were drawn."""
    square = {"label": "zebra", "shape_type": "rectangle", "points": [[2, 3], [5, 6]]}
    whole = {"label": "ringed", "points": [[0, 0], [9, 0], [9, 8], [0, 8]]}
    document = {"imageHeight": 8, "imageWidth": 9, "shapes": [square, whole]}
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.json").write_text(json.dumps(document))
    run(take_back, tmp_path / "in", "--out", tmp_path / "back")
    expected = np.full((8, 9), 3)
    expected[3:6, 2:5] = 1
    np.testing.assert_array_equal(read_labels(tmp_path / "back", "a"), expected)


def broken(**changes: Any) -> str:
    shape = {"label": "zebra", "points": [[0, 0], [4, 0], [4, 4]]} | changes
    return json.dumps({"imageHeight": 8, "imageWidth": 9, "shapes": [shape]})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "a.json: no JSON"),
        ("{}", "no file of LabelMe"),
        (broken(label="unicorn"), "class 'unicorn', but there are zebra"),
        (broken(shape_type="circle"), "a shape is a circle"),
        (broken(points=[[0, "x"]]), "no file of LabelMe"),
    ],
)
def test_broken_corrections(run: Run, tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.json").write_text(content)
    done = run(take_back, tmp_path / "in", "--out", tmp_path / "back", code=1)
    assert problem in done.output
    assert "docs/annotation.md" in done.output
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("content", ["[]", "{}", '{"categories": [{"id": 1, "name": "zebra"}]}'])
def test_no_annotations_of_coco(run: Run, tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    done = run(take_back, tmp_path / "a.json", "--out", tmp_path / "back", code=1)
    assert "no annotations of COCO's form" in done.output


def test_what_cannot_go_out(run: Run, labels: Path, tmp_path: Path) -> None:
    words = ("--format", "coco", "--out", tmp_path / "out")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no labels (PNG)" in run(export, "--labels", empty, *words, code=1).output
    write_mask(empty / "stranger.png", np.zeros((3, 3), np.uint8))
    assert (
        "stranger.png: no picture of that name"
        in run(export, "--labels", empty, *words, code=1).output
    )
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    assert "there is something already" in run(export, "--labels", labels, *words, code=1).output
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"
