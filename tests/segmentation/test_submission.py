"""What the VOC server would refuse is found before the archive is written; its bytes are stable."""

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hsc.base.errors import HscError
from hsc.data.classes import VOC_CLASSES, palette
from hsc.data.lists import write_index
from hsc.data.voc import VocFolder, layout, write_grey, write_image, write_mask
from hsc.segmentation.submission import FOLDER, check_predictions, write_archive

SIZES = {"2008_000006": (5, 7), "2008_000011": (6, 4), "2008_000012": (3, 3)}


def voc_folder(root: Path, classes: tuple[str, ...] = VOC_CLASSES) -> VocFolder:
    """A data set whose `test` has three pictures of different sizes, and nothing else."""
    root.mkdir(parents=True)
    write_index(root, classes, {}, {"test": list(SIZES)})
    for image_id, size in SIZES.items():
        write_image(layout(root, image_id).image, np.zeros((*size, 3), np.uint8))
    return VocFolder(root)


@pytest.fixture
def folder(tmp_path: Path) -> VocFolder:
    return voc_folder(tmp_path / "data")


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    """Right ones: every class occurs."""
    rng = np.random.default_rng(0)
    for image_id, size in SIZES.items():
        write_mask(
            tmp_path / "found" / f"{image_id}.png", rng.integers(0, 21, size, dtype=np.uint8)
        )
    return tmp_path / "found"


def refused(folder: VocFolder, predictions: Path) -> str:
    with pytest.raises(HscError) as caught:
        check_predictions(folder, predictions)
    return str(caught.value)


def test_right_predictions_are_counted(folder: VocFolder, predictions: Path) -> None:
    assert check_predictions(folder, predictions) == 3


def test_a_missing_prediction(folder: VocFolder, predictions: Path) -> None:
    (predictions / "2008_000011.png").unlink()
    text = refused(folder, predictions)
    assert text.startswith(f"{predictions}: no prediction for 2008_000011.png of test, ")
    assert "all 3" in text
    assert "no prediction for 2008_000006.png, 2008" in refused(folder, predictions / "none")


def test_many_missing_predictions_are_counted(tmp_path: Path) -> None:
    folder = voc_folder(tmp_path / "data")
    write_index(folder.root, VOC_CLASSES, {}, {"test": [f"a{number}" for number in range(9)]})
    assert "a0.png, a1.png, a2.png, a3.png, a4.png and 4 more of test" in refused(folder, tmp_path)


@pytest.mark.parametrize("name", ["2007_000001.png", "2008_000006.jpg", "notes.txt"])
def test_an_extra_file(folder: VocFolder, predictions: Path, name: str) -> None:
    (predictions / name).write_bytes(b"")
    assert refused(folder, predictions).startswith(
        f"{predictions}: {name} is of no picture of test"
    )


def colour(path: Path) -> None:
    Image.new("RGB", (7, 5)).save(path)


def grey(path: Path) -> None:
    write_grey(path, np.zeros((5, 7), np.uint8))


def other_palette(path: Path) -> None:
    image = Image.fromarray(np.zeros((5, 7), np.uint8))
    image.putpalette(palette()[::-1].tobytes())
    image.save(path)


def transposed(path: Path) -> None:
    write_mask(path, np.zeros((7, 5), np.uint8))


def with_value(value: int) -> Callable[[Path], None]:
    return lambda path: write_mask(path, np.full((5, 7), value, np.uint8))


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (colour, "a picture of mode RGB; save the indices with VOC's palette"),
        (grey, "a picture of mode L; save the indices with VOC's palette"),
        (other_palette, "its palette is not VOC's"),
        (transposed, "(height, width) is (7, 5), but its picture has (5, 7)"),
        (with_value(21), "index 21 is impossible with 20 classes"),
        (with_value(255), "index 255, but a prediction has 0..20"),
        (damaged, "cannot be read as a picture"),
    ],
)
def test_a_picture_that_the_server_would_refuse(
    folder: VocFolder, predictions: Path, spoil: Callable[[Path], None], words: str
) -> None:
    path = predictions / "2008_000006.png"
    spoil(path)
    assert refused(folder, predictions).startswith(f"{path}: {words}")


def test_a_palette_may_be_as_short_as_the_classes(folder: VocFolder, predictions: Path) -> None:
    path = predictions / "2008_000006.png"
    image = Image.fromarray(np.zeros((5, 7), np.uint8))
    image.putpalette(palette()[:21].tobytes())
    image.save(path)
    assert check_predictions(folder, predictions) == 3


def test_other_classes_than_voc_s(tmp_path: Path, predictions: Path) -> None:
    folder = voc_folder(tmp_path / "other", ("cat", "dog"))
    assert "the classes are cat, dog, but the server scores VOC's 20" in refused(
        folder, predictions
    )


def packed(root: Path, predictions: Path) -> Path:
    """Put the predictions below `root`, in a given order, and pack them."""
    target = root / FOLDER
    target.mkdir(parents=True)
    for path in sorted(predictions.iterdir(), reverse=root.name == "second"):
        (target / path.name).write_bytes(path.read_bytes())
        os.utime(target / path.name, (1e9, 1e9) if root.name == "second" else None)
    write_archive(root, root / "results.tgz")
    return root / "results.tgz"


def test_the_archive_holds_every_picture_under_its_name(tmp_path: Path, predictions: Path) -> None:
    with tarfile.open(packed(tmp_path / "first", predictions), "r:gz") as tar:
        assert tar.getnames() == [
            f"results/VOC2012/Segmentation/comp6_test_cls/{image_id}.png" for image_id in SIZES
        ]
        for member in tar:
            stored = tar.extractfile(member).read()
            assert stored == (predictions / Path(member.name).name).read_bytes()
            assert member.isreg()
            assert member.mode == 0o644


def test_the_archive_has_the_same_bytes_again(tmp_path: Path, predictions: Path) -> None:
    """Whatever the files' times and the order in which they were written."""
    first, second = (packed(tmp_path / name, predictions) for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    assert not list(tmp_path.rglob("*.partial"))
