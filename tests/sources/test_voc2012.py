"""hsc.sources.voc2012: from archives with VOC's and SBD's true layout to the data set."""

from pathlib import Path

import numpy as np
import pytest

from hsc.base.errors import HscError
from hsc.data.voc import VocFolder, read_mask
from hsc.sources.voc2012 import build, read_objects, read_sbd_mask
from tests.sources import voc_archives as made
from tests.sources.voc_archives import TEST, TRAIN, TRAIN_AUG, VAL, pack

TOP = "VOCdevkit/VOC2012/"


@pytest.fixture
def trainval(tmp_path: Path) -> Path:
    return pack(tmp_path / "VOCtrainval_11-May-2012.tar", made.voc_files())


@pytest.fixture
def sbd(tmp_path: Path) -> Path:
    return pack(tmp_path / "benchmark.tgz", made.sbd_files())


def test_the_splits_and_the_tags(trainval: Path, sbd: Path, tmp_path: Path) -> None:
    root = tmp_path / "voc2012"
    build(root, trainval, sbd, None, made.COUNTS)
    data = VocFolder(root)
    data.check()
    assert data.ids("train") == TRAIN
    assert data.ids("val") == VAL
    assert data.ids("train_aug") == TRAIN_AUG
    assert (root / "tags.csv").read_text().splitlines()[1:4] == [
        "2007_000032,aeroplane;person", "2007_000033,tvmonitor", "2007_000039,dog",
    ]  # fmt: skip
    np.testing.assert_array_equal(data.mask("2007_000033"), made.mask("2007_000033"))
    found = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
    assert found == {
        "classes.txt", "tags.csv",
        *(f"ImageSets/Segmentation/{name}.txt" for name in ("train", "val", "train_aug")),
        *(f"JPEGImages/{i}.jpg" for i in (*TRAIN_AUG, *VAL)),
        *(f"SegmentationClass/{i}.png" for i in TRAIN + VAL),
    }  # fmt: skip


def test_tags_do_not_come_from_masks(sbd: Path, tmp_path: Path) -> None:
    files = made.voc_files()
    files[f"{TOP}Annotations/2007_000039.xml"] = made.annotation(["sheep", "bird"])
    build(tmp_path / "out", pack(tmp_path / "x.tar", files), sbd, None, made.COUNTS)
    assert "2007_000039,bird;sheep" in (tmp_path / "out/tags.csv").read_text()


def test_the_test_split(trainval: Path, sbd: Path, tmp_path: Path) -> None:
    test = pack(tmp_path / "VOC2012test.tar", made.voc_test_files())
    build(tmp_path / "out", trainval, sbd, test, made.COUNTS)
    data = VocFolder(tmp_path / "out")
    assert data.ids("test") == TEST
    assert data.image(TEST[0]).shape == (*made.SIZE, 3)
    assert not (tmp_path / "out/JPEGImages/2008_000001.jpg").exists()


def test_a_test_archive_that_is_not_there(trainval: Path, sbd: Path, tmp_path: Path) -> None:
    message = r"VOC2012test\.tar: no such file; correct prepare_data\.test"
    with pytest.raises(HscError, match=message):
        build(tmp_path / "out", trainval, sbd, tmp_path / "VOC2012test.tar", made.COUNTS)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("limit", "train", "train_aug", "val"), [(1, 1, 1, 1), (3, 2, 3, 3), (99, 4, 8, 3)]
)
def test_a_few_pictures_for_a_trial(
    trainval: Path, sbd: Path, tmp_path: Path, limit: int, train: int, train_aug: int, val: int
) -> None:
    build(tmp_path / "out", trainval, sbd, None, made.COUNTS, limit=limit)
    data = VocFolder(tmp_path / "out")
    data.check()
    found = [len(data.ids(split)) for split in ("train", "train_aug", "val")]
    assert found == [train, train_aug, val]
    assert len(list((tmp_path / "out/JPEGImages").iterdir())) == train_aug + val


def test_augmented_masks(trainval: Path, sbd: Path, tmp_path: Path) -> None:
    build(tmp_path / "out", trainval, sbd, None, made.COUNTS, augmented_masks=True)
    folder = tmp_path / "out/SegmentationClassAug"
    assert [path.stem for path in sorted(folder.iterdir())] == list(TRAIN_AUG)
    for image_id in TRAIN_AUG:
        expected = made.mask(image_id)
        if image_id not in TRAIN:
            expected = expected % 255  # SBD has no borders
        np.testing.assert_array_equal(read_mask(folder / f"{image_id}.png", 20), expected)


def test_a_missing_augmented_mask(trainval: Path, tmp_path: Path) -> None:
    files = made.sbd_files()
    del files["benchmark_RELEASE/dataset/cls/2008_000015.mat"]
    sbd = pack(tmp_path / "benchmark.tgz", files)
    build(tmp_path / "out", trainval, sbd, None, made.COUNTS)
    with pytest.raises(HscError, match=r"2008_000015\.mat: not in SBD's archive"):
        build(tmp_path / "other", trainval, sbd, None, made.COUNTS, augmented_masks=True)


def test_an_augmented_mask_of_another_size(trainval: Path, tmp_path: Path) -> None:
    files = made.sbd_files()
    name = "benchmark_RELEASE/dataset/cls/2008_000015.mat"
    files[name] = made.sbd_mat(np.zeros((4, 5), np.uint8))
    sbd = pack(tmp_path / "benchmark.tgz", files)
    with pytest.raises(HscError, match=r"2008_000015\.mat: \(4, 5\), another size"):
        build(tmp_path / "out", trainval, sbd, None, made.COUNTS, augmented_masks=True)


@pytest.mark.parametrize(
    "content",
    [b"no matlab", made.sbd_mat(np.full((2, 2), 21, np.uint8)), made.sbd_mat(np.uint8(1))[:200]],
)
def test_a_damaged_augmented_mask(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(content)
    with pytest.raises(HscError, match=r"a\.mat: "):
        read_sbd_mask(path)


def test_other_archives_are_refused(trainval: Path, sbd: Path, tmp_path: Path) -> None:
    with pytest.raises(HscError, match="train: 4 pictures, but VOC 2012 has 1464"):
        build(tmp_path / "out", trainval, sbd, None, {"train": 1464, "val": 1449})
    with pytest.raises(HscError, match=r"ImageSets/Segmentation/train\.txt"):
        build(tmp_path / "other", sbd, sbd, None, made.COUNTS)


def test_a_picture_without_annotation(sbd: Path, tmp_path: Path) -> None:
    files = made.voc_files()
    del files[f"{TOP}Annotations/2008_000015.xml"]
    with pytest.raises(HscError, match=r"2008_000015\.xml: not in the archive"):
        build(tmp_path / "out", pack(tmp_path / "x.tar", files), sbd, None, made.COUNTS)


def test_annotations_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(b"<annotation>")
    with pytest.raises(HscError, match=r"a\.xml: no XML"):
        read_objects(path)
    path.write_bytes(made.annotation(["cat", "zebra"]))
    with pytest.raises(HscError, match="'zebra' is no class of VOC"):
        read_objects(path)
    path.write_bytes(made.annotation([]))
    assert read_objects(path) == ()


def test_no_room(
    trainval: Path, sbd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr("hsc.base.disk_space.shutil.disk_usage", lambda _: usage)
    with pytest.raises(HscError, match=r"1\.0 kB are free, but VOC 2012 unpacked needs"):
        build(tmp_path / "out", trainval, sbd, None, made.COUNTS)
