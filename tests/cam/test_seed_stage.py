"""Seeds of a data set: which threshold is used, what is reported, what is written."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hsc.base.errors import HscError
from hsc.cam.seed_stage import SWEEP, auto_threshold, score_seeds, write_curve, write_seeds
from hsc.data.classes import palette
from hsc.data.label_maps import read_labels
from hsc.data.lists import write_index
from hsc.data.voc import VocFolder, layout, write_image, write_mask
from hsc.scoring.metrics import report
from hsc.scoring.stage import count_labels
from hsc.store import CamReader, CamWriter

CLASSES = ("a", "b")
IDS = ("p1", "p2", "p3")


@pytest.fixture
def folder(tmp_path: Path) -> VocFolder:
    """Three pictures of 8 x 8: class 1 in the left half, class 2 in the upper half, nothing."""
    root = tmp_path / "data"
    masks = np.zeros((3, 8, 8), dtype=np.uint8)
    masks[0, :, :4] = 1
    masks[1, :4] = 2
    for image_id, mask in zip((*IDS, "v"), (*masks, masks[0]), strict=True):
        paths = layout(root, image_id)
        write_image(paths.image, np.zeros((8, 8, 3), dtype=np.uint8))
        write_mask(paths.mask, mask)
    tags = {"p1": ["a"], "p2": ["b"], "p3": [], "v": []}
    write_index(root, CLASSES, tags, {"train_aug": IDS, "train": IDS[:2], "val": ["v"]})
    return VocFolder(root)


@pytest.fixture
def cams(tmp_path: Path) -> Iterator[CamReader]:
    """0.6 on the object, 0.3 on one column (row) too many, 0.1 elsewhere."""
    path = tmp_path / "cams.h5"
    first = np.full((1, 8, 8), 0.1, dtype=np.float32)
    first[0, :, :4] = 0.6
    first[0, :, 4] = 0.3
    with CamWriter(path, CLASSES, "digest") as writer:
        writer.add("p1", first, [1])
        writer.add("p2", first.transpose(0, 2, 1).copy(), [2])
        writer.add("p3", np.zeros((0, 8, 8), dtype=np.float32), [])
    with CamReader(path) as reader:
        yield reader


def test_best_threshold_is_the_lowest_of_the_best(folder: VocFolder, cams: CamReader) -> None:
    scores, curve = score_seeds(folder, cams, "best")
    # 0.3 is kept as 307/1024, a little below 0.30: the wrong column goes there.
    assert scores["threshold"] == scores["best_threshold"] == 0.3
    assert scores["mIoU"] == scores["best_mIoU"] == 100
    assert (scores["split"], scores["images"]) == ("train", 2)
    np.testing.assert_array_equal(curve.thresholds, SWEEP)


def test_number_is_used_as_it_is(folder: VocFolder, cams: CamReader) -> None:
    scores, curve = score_seeds(folder, cams, 0.2)
    assert scores["threshold"] == 0.2
    # Of 128 pixels 64 are background; 16 of them are labelled as one of the classes.
    assert scores["IoU"] == {"background": 75.0, "a": 80.0, "b": 80.0}
    assert scores["mIoU"] == pytest.approx(78.3333)
    assert (scores["best_threshold"], scores["best_mIoU"]) == (0.3, 100)
    assert len(curve.thresholds) == len(SWEEP)


def test_number_between_the_sweeps_is_scored_itself(folder: VocFolder, cams: CamReader) -> None:
    scores, curve = score_seeds(folder, cams, 0.205)
    assert scores["threshold"] == 0.205
    assert scores["IoU"]["background"] == 75.0
    assert len(curve.thresholds) == len(SWEEP) + 1


@pytest.mark.parametrize("threshold", [0.0, 0.05, 0.2, 0.31, 0.6, 0.99, 1.0, "best"])
def test_report_is_the_score_of_the_files_written(
    folder: VocFolder, cams: CamReader, tmp_path: Path, threshold: float | str
) -> None:
    scores, _ = score_seeds(folder, cams, threshold)
    write_seeds(cams, scores["threshold"], tmp_path / "seeds")
    matrix = count_labels(folder, tmp_path / "seeds", "train")
    names = ["background", *folder.class_names]
    expected = report(matrix, names, "train", len(folder.ids("train")))
    assert {key: scores[key] for key in expected} == expected


def test_sweep_reaches_beyond_the_papers(folder: VocFolder, tmp_path: Path) -> None:
    assert SWEEP[0] == 0
    assert SWEEP[-1] == 0.99
    path = tmp_path / "high.h5"
    high = np.full((1, 8, 8), 0.8, dtype=np.float32)
    high[0, :, :4] = 1
    with CamWriter(path, CLASSES, "digest") as writer:
        writer.add("p1", high, [1])
        writer.add("p2", high.transpose(0, 2, 1).copy(), [2])
    with CamReader(path) as cams:
        scores, _ = score_seeds(folder, cams, "best")
    assert scores["best_threshold"] == pytest.approx(0.8, abs=0.02)
    assert scores["mIoU"] == 100


def test_seeds_are_palette_files_of_all_pictures(
    folder: VocFolder, cams: CamReader, tmp_path: Path
) -> None:
    output, seen = tmp_path / "seeds", []

    def progress(done: int, total: int, /, **figures: float) -> None:
        seen.append((done, total, len(list(output.glob("*.png")))))

    write_seeds(cams, 0.31, output, progress)
    assert seen == [(done, 3, done) for done in range(4)]
    written = sorted(path.name for path in (tmp_path / "seeds").iterdir())
    assert written == ["p1.png", "p2.png", "p3.png"], "those outside train too"
    for image_id in IDS:
        labels = read_labels(tmp_path / "seeds", image_id)
        np.testing.assert_array_equal(labels, folder.mask(image_id))
    with Image.open(tmp_path / "seeds" / "p1.png") as image:
        assert image.mode == "P"
        assert image.getpalette()[:9] == palette()[:3].ravel().tolist()


def test_seeds_are_the_same_bytes_again(cams: CamReader, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_seeds(cams, 0.2, tmp_path / name)
    for image_id in IDS:
        first, second = (tmp_path / name / f"{image_id}.png" for name in ("one", "two"))
        assert first.read_bytes() == second.read_bytes()


def read_curve(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_curve_is_a_table_in_percent(folder: VocFolder, cams: CamReader, tmp_path: Path) -> None:
    _, curve = score_seeds(folder, cams, 0.2)
    path = tmp_path / "plots" / "curve.csv"
    write_curve(curve, 0.2, path)
    lines = read_curve(path)
    assert list(lines[0]) == ["threshold", "mIoU", "precision", "recall", "mark"]
    assert [line["threshold"] for line in lines] == [f"{value:.4f}" for value in SWEEP]
    # At 0.20 80 of 128 pixels are foreground, 64 of them rightly.
    assert lines[20] == {
        "threshold": "0.2000",
        "mIoU": "78.3333",
        "precision": "80.0000",
        "recall": "100.0000",
        "mark": "used",
    }
    assert lines[0]["recall"] == "100.0000"
    assert lines[99]["recall"] == "0.0000"
    assert b"\r" not in path.read_bytes()


@pytest.mark.parametrize(
    ("threshold", "marks"),
    [
        ("best", {"0.3000": "used and best"}),
        (0.3, {"0.3000": "used and best"}),
        (0.1 + 0.2, {"0.3000": "used and best"}),  # not 0.3 to the last bit
        (0.205, {"0.2050": "used", "0.3000": "best"}),
        (1.0, {"0.3000": "best", "1.0000": "used"}),
    ],
)
def test_used_and_best_threshold_are_marked(
    folder: VocFolder, cams: CamReader, tmp_path: Path, threshold: float | str, marks: dict
) -> None:
    scores, curve = score_seeds(folder, cams, threshold)
    write_curve(curve, scores["threshold"], tmp_path / "curve.csv")
    lines = read_curve(tmp_path / "curve.csv")
    assert {line["threshold"]: line["mark"] for line in lines if line["mark"]} == marks


def test_without_a_curve_there_is_the_header(tmp_path: Path) -> None:
    write_curve(None, 0.3, tmp_path / "curve.csv")
    header = b"threshold,mIoU,precision,recall,mark\n"
    assert (tmp_path / "curve.csv").read_bytes() == header


def test_best_needs_masks(folder: VocFolder, cams: CamReader) -> None:
    folder.mask_path("p2").unlink()
    with pytest.raises(HscError, match=r"p2.png: no such mask"):
        score_seeds(folder, cams, "best")


def test_the_maps_say_their_threshold(folder: VocFolder, cams: CamReader) -> None:
    """Half of the pixels have 0.6, an eighth 0.3, the rest 0.1; the picture without tag is out."""
    scores, _ = score_seeds(folder, cams, "auto")
    assert scores["threshold"] == scores["auto_threshold"] == pytest.approx(0.45, abs=0.02)
    assert scores["mIoU"] == scores["auto_mIoU"] == 100
    assert score_seeds(folder, cams, "best")[0]["auto_threshold"] == scores["auto_threshold"]


def test_without_masks_the_best_is_the_maps_own(folder: VocFolder, cams: CamReader) -> None:
    for threshold in ("best", "auto"):
        with_masks, _ = score_seeds(folder, cams, "auto")
        for image_id in IDS[:2]:
            folder.mask_path(image_id).rename(folder.root / f"{image_id}.png")
        scores, curve = score_seeds(folder, cams, threshold)
        assert curve is None
        assert scores["mIoU"] is None
        assert scores["threshold"] == with_masks["auto_threshold"] == scores["auto_threshold"]
        for image_id in IDS[:2]:
            (folder.root / f"{image_id}.png").rename(folder.mask_path(image_id))


def test_maps_without_scores_have_the_middle(folder: VocFolder, tmp_path: Path) -> None:
    path = tmp_path / "none.h5"
    with CamWriter(path, CLASSES, "digest") as writer:
        for image_id in IDS:
            writer.add(image_id, np.zeros((0, 8, 8), dtype=np.float32), [])
    with CamReader(path) as reader:
        assert auto_threshold(reader, IDS) == 0.5


def test_cams_of_another_data_set_are_an_error(folder: VocFolder, tmp_path: Path) -> None:
    path = tmp_path / "other.h5"
    with CamWriter(path, ("a", "c"), "digest"):
        pass
    with CamReader(path) as reader, pytest.raises(HscError, match="its classes are a, c"):
        score_seeds(folder, reader, 0.2)


def test_missing_cam_is_an_error(folder: VocFolder, tmp_path: Path) -> None:
    path = tmp_path / "part.h5"
    with CamWriter(path, CLASSES, "digest") as writer:
        writer.add("p1", np.zeros((1, 8, 8), dtype=np.float32), [1])
    with CamReader(path) as reader, pytest.raises(HscError, match="no map of p2"):
        score_seeds(folder, reader, 0.2)
