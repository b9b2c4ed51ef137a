"""hsc.data.folder: a user's folder, whole or with parts missing or wrong."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hsc.data import voc
from hsc.data.folder import import_folder, split_by_id
from hsc.data.voc import VocFolder
from hsc.errors import HscError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Eight pictures with masks and saliency, no split files, no classes.txt."""
    root = tmp_path / "source"
    for number in range(8):
        paths = voc.layout(root, f"p{number}")
        voc.write_image(paths.image, np.full((5, 7, 3), 30 * number, np.uint8))
        voc.write_mask(paths.mask, np.full((5, 7), number % 3, np.uint8))
        voc.write_grey(paths.saliency, np.zeros((5, 7), np.uint8))
    tags = {f"p{number}": [["dog"], ["cat"], ["cat", "dog"]][number % 3] for number in range(8)}
    voc.write_index(root, ["unused"], tags, {})
    (root / "classes.txt").unlink()
    return root


def write_split(root: Path, **splits: list[str]) -> None:
    for name, ids in splits.items():
        path = voc.split_path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(ids) + "\n")


def test_classes_and_splits_are_made(source: Path, tmp_path: Path) -> None:
    seen = []
    import_folder(source, tmp_path / "data", lambda done, total: seen.append((done, total)))
    assert seen[-1] == (8, 8)
    data = VocFolder(tmp_path / "data")
    data.check()
    assert data.class_names == ("cat", "dog")
    assert data.ids("train") == data.ids("train_aug")
    assert sorted(data.ids("train") + data.ids("val")) == [f"p{n}" for n in range(8)]
    for image_id in data.ids("train") + data.ids("val"):
        for get in (VocFolder.image_path, VocFolder.mask_path, VocFolder.saliency_path):
            old = get(VocFolder(source, data.class_names), image_id)
            assert get(data, image_id).read_bytes() == old.read_bytes()


def test_split_by_id_is_stable_and_never_empty() -> None:
    ids = [f"image{number}" for number in range(400)]
    splits = split_by_id(ids)
    assert splits == split_by_id(list(reversed(ids)))
    assert 0.18 < len(splits["val"]) / 400 < 0.32
    more = split_by_id([*ids, *(f"late{number}" for number in range(100))])
    assert set(splits["val"]) <= set(more["val"])
    assert set(splits["train_aug"]) <= set(more["train_aug"])
    for number in range(20):
        pair = split_by_id([f"a{number}", f"b{number}"])
        assert len(pair["val"]) == len(pair["train"]) == 1


def test_own_classes_and_splits_are_kept(source: Path, tmp_path: Path) -> None:
    (source / "classes.txt").write_text("dog\ncat\nowl\n")
    write_split(source, train_aug=["p3", "p1"], train=["p1"], val=["p0"])
    import_folder(source, tmp_path / "data")
    data = VocFolder(tmp_path / "data")
    assert data.class_names == ("dog", "cat", "owl")
    assert data.ids("train_aug") == ("p3", "p1")
    # Only what a split names is copied.
    names = sorted(path.name for path in (tmp_path / "data" / "JPEGImages").iterdir())
    assert names == ["p0.jpg", "p1.jpg", "p3.jpg"]


def test_vocs_own_splits_have_no_train_aug(source: Path, tmp_path: Path) -> None:
    write_split(source, train=["p1", "p2"], val=["p0"])
    import_folder(source, tmp_path / "data")
    assert VocFolder(tmp_path / "data").ids("train_aug") == ("p1", "p2")


def test_without_train_all_of_train_aug_is_scored(source: Path, tmp_path: Path) -> None:
    write_split(source, train_aug=["p1", "p2"], val=["p0"])
    import_folder(source, tmp_path / "data")
    assert VocFolder(tmp_path / "data").ids("train") == ("p1", "p2")


def test_pictures_without_masks_and_saliency(source: Path, tmp_path: Path) -> None:
    for folder in ("SegmentationClass", "Saliency"):
        for path in (source / folder).iterdir():
            path.unlink()
        (source / folder).rmdir()
    import_folder(source, tmp_path / "data")
    data = VocFolder(tmp_path / "data")
    data.check()
    assert not data.has_masks()


def test_png_pictures(source: Path, tmp_path: Path) -> None:
    (source / "JPEGImages" / "p1.jpg").unlink()
    Image.new("L", (7, 5), 9).save(source / "JPEGImages" / "p1.PNG")
    import_folder(source, tmp_path / "data")
    assert VocFolder(tmp_path / "data").image("p1")[0, 0].tolist() == [9, 9, 9]


def fails(source: Path, message: str) -> None:
    with pytest.raises(HscError, match=message):
        import_folder(source, source.parent / "data")


def test_missing_folder(tmp_path: Path) -> None:
    fails(tmp_path / "nowhere", "nowhere: no such folder")


def test_missing_tags(source: Path) -> None:
    (source / "tags.csv").unlink()
    fails(source, r"source/tags\.csv: no such file")


def test_no_tags_at_all(source: Path) -> None:
    (source / "tags.csv").write_text("id,tags\np1,\n")
    fails(source, r"tags\.csv: no tags at all")


def test_picture_without_a_line(source: Path) -> None:
    (source / "tags.csv").write_text("id,tags\np1,cat\n")
    fails(source, r"source/tags\.csv: no line for the picture 'p0'")


def test_two_pictures_of_one_id(source: Path) -> None:
    Image.new("RGB", (7, 5)).save(source / "JPEGImages" / "p1.png")
    fails(source, "JPEGImages/p1: 2 pictures of this id")


def test_too_few_pictures(source: Path) -> None:
    for number in range(1, 8):
        (source / "JPEGImages" / f"p{number}.jpg").unlink()
    fails(source, "JPEGImages: 1 pictures")


def test_tag_without_a_class(source: Path) -> None:
    (source / "classes.txt").write_text("cat\n")
    fails(source, r"source/tags\.csv: tag 'dog' of id 'p0' is no class")


def test_id_in_two_splits(source: Path) -> None:
    write_split(source, train_aug=["p1", "p2"], val=["p2"])
    fails(source, r"source/.*val\.txt: id 'p2' is in train_aug too")


def test_split_file_missing(source: Path) -> None:
    write_split(source, train_aug=["p1", "p2"])
    fails(source, r"source/.*val\.txt: no such file")


def test_damaged_picture(source: Path) -> None:
    path = source / "JPEGImages" / "p4.jpg"
    path.write_bytes(path.read_bytes()[:-40])
    fails(source, r"source/JPEGImages/p4\.jpg: cannot be read as a picture")


def test_mask_with_an_impossible_index(source: Path) -> None:
    voc.write_mask(source / "SegmentationClass" / "p4.png", np.full((5, 7), 3, np.uint8))
    fails(source, r"source/SegmentationClass/p4\.png: index 3 is impossible with 2 classes")


def test_saliency_of_another_size(source: Path) -> None:
    voc.write_grey(source / "Saliency" / "p4.png", np.zeros((7, 5), np.uint8))
    fails(source, r"source/Saliency/p4\.png: 5x7 pixels")
