"""What prediction writes, from scores that are known."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hsc.base.errors import HscError
from hsc.crf.dense import CrfConfig, refine_prediction
from hsc.data.classes import palette
from hsc.data.overlay import colour_labels
from hsc.data.pictures import shrink_picture
from hsc.segmentation.prediction_files import (
    Failure,
    Output,
    Prediction,
    Summary,
    check_failures,
    check_output,
    finish,
    list_shares,
    make_folder,
    write_legend,
    write_shares,
)
from tests.stage_runs import contents

NAMES = ["background", "cat", "dog, big"]


def picture(height: int = 4, width: int = 6) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def labels(height: int = 4, width: int = 6) -> np.ndarray:
    """A quarter is of class 2."""
    found = np.zeros((height, width), np.uint8)
    found[: height // 2, : width // 2] = 2
    return found


def test_a_mask_and_an_overlay_are_written(tmp_path: Path) -> None:
    prediction = Prediction(Path("in/a.b.jpg"), picture(), labels())
    summary = finish(prediction, Output(tmp_path / "out"))
    assert summary == Summary(Path("in/a.b.jpg"), {0: 0.75, 2: 0.25})
    assert sorted(contents(tmp_path / "out")) == ["a.b.png", "overlays/a.b.jpg"]
    with Image.open(tmp_path / "out" / "a.b.png") as image:
        assert image.mode == "P"
        assert np.array_equal(np.asarray(image), labels())
        assert image.getpalette() == palette().ravel().tolist()
    with Image.open(tmp_path / "out" / "overlays" / "a.b.jpg") as image:
        difference = np.asarray(image) - colour_labels(picture(), labels()).astype(int)
        assert np.abs(difference).mean() < 10, "a JPEG is not exact"


def test_without_overlays(tmp_path: Path) -> None:
    output = Output(tmp_path / "out", overlays=False)
    finish(Prediction(Path("a.jpg"), picture(), labels()), output)
    assert list(contents(tmp_path)) == ["out/a.png"]


def test_the_same_bytes_again_over_what_was_there(tmp_path: Path) -> None:
    for number in range(2):
        finish(Prediction(Path("a.jpg"), picture(), labels()), Output(tmp_path))
        if number == 0:
            before = contents(tmp_path)
            (tmp_path / "a.png").write_bytes(b"older")
    assert contents(tmp_path) == before


def test_labels_of_a_smaller_picture_are_enlarged(tmp_path: Path) -> None:
    prediction = Prediction(Path("a.jpg"), picture(8, 12), labels(4, 6))
    summary = finish(prediction, Output(tmp_path, max_side=6))
    assert summary == Summary(Path("a.jpg"), {0: 0.75, 2: 0.25})
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(np.asarray(image), labels(4, 6).repeat(2, axis=0).repeat(2, axis=1))


@pytest.mark.parametrize("max_side", [None, 12])
def test_the_crf_sees_what_the_network_saw(tmp_path: Path, max_side: int | None) -> None:
    image = picture(16, 24)
    seen = shrink_picture(image, max_side)
    scores = np.random.default_rng(1).random((3, *seen.shape[:2])).astype(np.float32)
    crf = CrfConfig(iterations=2, bilateral_sxy=5, bilateral_compat=2)
    output = Output(tmp_path, crf, max_side)
    finish(Prediction(Path("a.jpg"), image, scores / scores.sum(axis=0)), output)
    expected = refine_prediction((seen, scores / scores.sum(axis=0)), crf)
    assert not np.array_equal(expected, scores.argmax(axis=0))
    with Image.open(tmp_path / "a.png") as found:
        assert found.size == (24, 16)
        assert np.array_equal(np.asarray(found)[:: 16 // len(seen), :: 16 // len(seen)], expected)


def test_a_failure_stays_one(tmp_path: Path) -> None:
    failure = Failure(Path("a.jpg"), "a.jpg: damaged")
    assert finish(failure, Output(tmp_path / "out")) is failure
    assert not contents(tmp_path)


def test_a_picture_too_long_for_an_overlay(tmp_path: Path) -> None:
    prediction = Prediction(Path("a.png"), picture(1, 65501), labels(1, 65501))
    found = finish(prediction, Output(tmp_path))
    assert isinstance(found, Failure)
    assert found.reason.startswith("a.png: longer than 65500 pixels")
    assert not contents(tmp_path)
    assert isinstance(finish(prediction, Output(tmp_path, overlays=False)), Summary)
    longest = Prediction(Path("b.png"), picture(1, 65500), labels(1, 65500))
    assert isinstance(finish(longest, Output(tmp_path)), Summary)


def test_what_travels_between_processes_can() -> None:
    for item in (Failure(Path("a"), "b"), Summary(Path("a"), {0: 1.0}), Output(Path("out"))):
        assert pickle.loads(pickle.dumps(item)) == item


# The tables


def test_the_legend(tmp_path: Path) -> None:
    write_legend(tmp_path, NAMES)
    assert (tmp_path / "legend.csv").read_text() == (
        'index,class,red,green,blue\n0,background,0,0,0\n1,cat,128,0,0\n2,"dog, big",0,128,0\n'
    )


def test_the_shares(tmp_path: Path) -> None:
    found = [Summary(Path("in/b.jpg"), {0: 2 / 3, 2: 1 / 3}), Summary(Path("a.png"), {1: 1.0})]
    write_shares(tmp_path, found, NAMES)
    assert (tmp_path / "predictions.csv").read_text() == (
        'id,class,share\nb,background,0.666667\nb,"dog, big",0.333333\na,cat,1.000000\n'
    )


def test_a_line_a_picture_the_largest_class_first() -> None:
    found = [
        Summary(Path("in/b.jpg"), {0: 0.25, 1: 0.5, 2: 0.25}),
        Failure(Path("c"), "c: damaged"),
        Summary(Path("a.png"), {1: 1.0}),
    ]
    assert list_shares(found, NAMES) == [
        "in/b.jpg: cat 50.0 %, background 25.0 %, dog, big 25.0 %",
        "a.png: cat 100.0 %",
    ]


def test_failures_are_all_named() -> None:
    whole = Summary(Path("a"), {0: 1.0})
    check_failures([whole], Path("out"))
    failures = [Failure(Path(name), f"{name}: damaged") for name in ("b", "c")]
    with pytest.raises(HscError) as caught:
        check_failures([failures[0], whole, failures[1]], Path("out"))
    assert str(caught.value) == (
        "2 of 3 pictures have no prediction, the others are in out:\nb: damaged\nc: damaged"
    )


# Where they go


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"picture")
    return path


def test_a_picture_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = touch(tmp_path / "in" / "a.png")
    for folder in (tmp_path / "in", Path("in"), Path("other/../in")):
        (tmp_path / "other").mkdir(exist_ok=True)
        with pytest.raises(HscError) as caught:
            check_output(folder, [path])
        assert str(caught.value).startswith(f"{folder / 'a.png'}: one of the pictures, ")


def test_nor_is_what_a_link_among_them_points_to(tmp_path: Path) -> None:
    target = touch(tmp_path / "out" / "a.png")
    link = tmp_path / "in" / "a.tif"
    link.parent.mkdir()
    link.symlink_to(target)
    with pytest.raises(HscError, match=r"out/a\.png: one of the pictures"):
        check_output(tmp_path / "out", [link])


def test_nor_is_an_overlay_that_is_one_of_them(tmp_path: Path) -> None:
    path = touch(tmp_path / "out" / "overlays" / "a.jpg")
    with pytest.raises(HscError, match=r"overlays/a\.jpg: one of the pictures"):
        check_output(tmp_path / "out", [path])


def test_pictures_of_other_names_may_lie_beside_the_results(tmp_path: Path) -> None:
    paths = [touch(tmp_path / "a.jpg"), touch(tmp_path / "b.jpeg"), touch(tmp_path / "c.PNG")]
    check_output(tmp_path, paths)
    check_output(tmp_path / "new", paths)
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    file = touch(tmp_path / "file")
    for folder in (file, file / "below"):
        with pytest.raises(HscError) as caught:
            make_folder(folder)
        assert str(caught.value).startswith(f"{folder}: no folder, and none can be made (")
    make_folder(tmp_path / "new" / "below")
    make_folder(tmp_path / "new" / "below")
    assert (tmp_path / "new" / "below").is_dir()
