"""A miniature of VOC 2012 and SBD with their true layout, as archives."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hsc.data.voc import VocFolder
from hsc.data.voc2012 import COUNTS, build, read_objects
from hsc.errors import HscError

TRAIN, VAL, TEST = ["2007_000032", "2007_000039"], ["2007_000033"], ["2008_000006"]
SBD_TRAIN, SBD_VAL = ["2008_000008", "2007_000033"], ["2008_000015", "2007_000032"]
PICTURES = sorted({*TRAIN, *VAL, *SBD_TRAIN, *SBD_VAL, "2012_004331"})
FEW = {"train": 2, "val": 1, "train_aug": 4, "test": 1}
OBJECTS = {"2007_000032": ["person", "aeroplane", "aeroplane"], "2007_000033": ["tvmonitor"]}


def annotation(names: list[str]) -> bytes:
    part = "<part><name>head</name></part>"
    objects = "".join(
        f"<object><name>{name}</name><difficult>{index % 2}</difficult>{part}</object>"
        for index, name in enumerate(names)
    )
    return f"<annotation><folder>VOC2012</folder>{objects}</annotation>".encode()


def picture(suffix: str) -> bytes:
    stream = io.BytesIO()
    if suffix == "png":
        image = Image.fromarray(np.array([[0, 15], [255, 15]], np.uint8))
        image.putpalette(bytes(768))
        image.save(stream, "PNG")
    else:
        Image.new("RGB", (2, 2), "red").save(stream, "JPEG")
    return stream.getvalue()


def pack(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def lines(ids: list[str]) -> bytes:
    return "".join(f"{image_id}\n" for image_id in ids).encode()


@pytest.fixture
def files() -> dict[str, bytes]:
    """What VOCtrainval_11-May-2012.tar holds."""
    top = "VOCdevkit/VOC2012/"
    found = {f"{top}Annotations/{i}.xml": annotation(OBJECTS.get(i, ["cat"])) for i in PICTURES}
    found[f"{top}ImageSets/Main/cat_train.txt"] = b"2007_000032  1\n"
    for name, ids in {"train": TRAIN, "val": VAL, "trainval": TRAIN + VAL}.items():
        found[f"{top}ImageSets/Segmentation/{name}.txt"] = lines(ids)
    found |= {f"{top}JPEGImages/{i}.jpg": picture("jpg") for i in PICTURES}
    found |= {f"{top}SegmentationClass/{i}.png": picture("png") for i in TRAIN + VAL}
    return found | {f"{top}SegmentationObject/{i}.png": picture("png") for i in TRAIN + VAL}


@pytest.fixture
def sbd(tmp_path: Path) -> Path:
    top = "benchmark_RELEASE/dataset/"
    contents = {f"{top}train.txt": lines(SBD_TRAIN), f"{top}val.txt": lines(SBD_VAL)}
    contents |= {f"{top}img/2008_000008.jpg": picture("jpg"), f"{top}cls/2008_000008.mat": b"mat"}
    return pack(tmp_path / "benchmark.tgz", contents)


def test_the_splits_and_the_tags(files: dict[str, bytes], sbd: Path, tmp_path: Path) -> None:
    root = tmp_path / "voc2012"
    build(root, pack(tmp_path / "VOCtrainval_11-May-2012.tar", files), sbd, counts=FEW)
    data = VocFolder(root)
    data.check()
    assert data.ids("train") == tuple(TRAIN)
    assert data.ids("val") == tuple(VAL)
    assert data.ids("train_aug") == ("2007_000032", "2007_000039", "2008_000008", "2008_000015")
    assert (root / "tags.csv").read_text().splitlines()[1:4] == [
        "2007_000032,aeroplane;person", "2007_000033,tvmonitor", "2007_000039,cat",
    ]  # fmt: skip
    np.testing.assert_array_equal(data.mask("2007_000033"), [[0, 15], [255, 15]])
    found = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
    ids = {*TRAIN, *VAL, "2008_000008", "2008_000015"}
    assert found == {
        "classes.txt", "tags.csv",
        *(f"ImageSets/Segmentation/{name}.txt" for name in ("train", "val", "train_aug")),
        *(f"JPEGImages/{i}.jpg" for i in ids),
        *(f"SegmentationClass/{i}.png" for i in TRAIN + VAL),
    }  # fmt: skip


def test_the_test_split(files: dict[str, bytes], sbd: Path, tmp_path: Path) -> None:
    top = "VOCdevkit/VOC2012/"
    contents = {f"{top}ImageSets/Segmentation/test.txt": lines(TEST)}
    contents |= {f"{top}JPEGImages/{i}.jpg": picture("jpg") for i in [*TEST, "2008_000001"]}
    test = pack(tmp_path / "VOC2012test.tar", contents)
    build(tmp_path / "out", pack(tmp_path / "x.tar", files), sbd, test, FEW)
    data = VocFolder(tmp_path / "out")
    assert data.ids("test") == tuple(TEST)
    assert data.image(TEST[0]).shape == (2, 2, 3)
    assert not (tmp_path / "out/JPEGImages/2008_000001.jpg").exists()


def test_other_archives_are_refused(files: dict[str, bytes], sbd: Path, tmp_path: Path) -> None:
    voc = pack(tmp_path / "x.tar", files)
    with pytest.raises(HscError, match="train: 2 pictures, but VOC 2012 has 1464"):
        build(tmp_path / "out", voc, sbd)
    with pytest.raises(HscError, match=r"ImageSets/Segmentation/train\.txt"):
        build(tmp_path / "other", sbd, sbd, counts=FEW)


def test_a_picture_without_annotation(files: dict[str, bytes], sbd: Path, tmp_path: Path) -> None:
    del files["VOCdevkit/VOC2012/Annotations/2008_000015.xml"]
    with pytest.raises(HscError, match=r"2008_000015\.xml: not in the archive"):
        build(tmp_path / "out", pack(tmp_path / "x.tar", files), sbd, counts=FEW)


def test_annotations_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(b"<annotation>")
    with pytest.raises(HscError, match=r"a\.xml: no XML"):
        read_objects(path)
    path.write_bytes(annotation(["cat", "zebra"]))
    with pytest.raises(HscError, match="'zebra' is no class of VOC"):
        read_objects(path)
    path.write_bytes(annotation([]))
    assert read_objects(path) == ()


def test_the_true_counts() -> None:
    assert COUNTS == {"train": 1464, "val": 1449, "train_aug": 10582, "test": 1456}
