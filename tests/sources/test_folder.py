"""hsc.sources.folder: a user's folder, whole or with parts missing or wrong."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hsc.base.errors import HscError
from hsc.base.progress import unseen
from hsc.data import voc
from hsc.data.lists import split_path, write_index
from hsc.data.voc import VocFolder
from hsc.params.data import FolderParams
from hsc.sources import folder
from hsc.sources.folder_lists import split_by_id
from tests.stage_runs import contents


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Eight pictures with masks and saliency, no split files, no classes.txt."""
    root = tmp_path / "source"
    for number in range(8):
        paths = voc.layout(root, f"p{number}")
        voc.write_image(paths.image, np.full((5, 7, 3), 30 * number, np.uint8))
        mask = np.zeros((5, 7), np.uint8)
        mask[:2], mask[3:] = (2, 1, 1)[number % 3], (2, 1, 2)[number % 3]
        voc.write_mask(paths.mask, mask)
        voc.write_grey(paths.saliency, np.full((5, 7), 200, np.uint8))
    tags = {f"p{number}": [["dog"], ["cat"], ["cat", "dog"]][number % 3] for number in range(8)}
    write_index(root, ["unused"], tags, {})
    (root / "classes.txt").unlink()
    return root


def import_folder(source: Path, root: Path, processes: int = 1, **changes: Any) -> dict[str, Any]:
    values = {"path": source, "max_side": None, "saliency": "auto", "limit": None} | changes
    progress = changes.pop("progress", unseen)
    values.pop("progress", None)
    return folder.import_folder(FolderParams(**values), root, processes, progress)


def write_split(root: Path, **splits: list[str]) -> None:
    for name, ids in splits.items():
        path = split_path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(ids) + "\n")


def test_classes_and_splits_are_made(source: Path, tmp_path: Path) -> None:
    seen = []
    show = lambda done, total: seen.append((done, total))  # noqa: E731
    import_folder(source, tmp_path / "data", progress=show)
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
    splits = split_by_id(ids, {})
    assert splits == split_by_id(list(reversed(ids)), {})
    assert 0.18 < len(splits["val"]) / 400 < 0.32
    more = split_by_id([*ids, *(f"late{number}" for number in range(100))], {})
    assert set(splits["val"]) <= set(more["val"])
    assert set(splits["train_aug"]) <= set(more["train_aug"])
    for number in range(20):
        pair = split_by_id([f"a{number}", f"b{number}"], {})
        assert len(pair["val"]) == len(pair["train"]) == 1


def test_every_class_trains_where_it_can() -> None:
    ids = [f"image{number}" for number in range(40)]
    plain = split_by_id(ids, {})
    rare = plain["val"][2]
    tags = dict.fromkeys(ids, ("cat",)) | {rare: ("owl", "cat")}
    assert set(plain["val"]) - set(split_by_id(ids, tags)["val"]) == {rare}
    # twice, and both would be in val: one of them stays there
    twice = plain["val"][:2]
    splits = split_by_id(ids, dict.fromkeys(twice, ("owl",)))
    assert len(set(twice) & set(splits["val"])) == 1
    # each class once but for one picture, which is then all of val
    tags = {image_id: (image_id,) for image_id in ids} | {"image7": ()}
    assert split_by_id(ids, tags)["val"] == ("image7",)
    assert len(split_by_id(ids, {i: (i,) for i in ids})["val"]) == 1


def test_own_classes_and_splits_are_kept(source: Path, tmp_path: Path) -> None:
    (source / "classes.txt").write_text("dog\ncat\n")
    for path in (source / "SegmentationClass").iterdir():
        path.unlink()
    write_split(source, train_aug=["p3", "p1"], train=["p1"], val=["p0"])
    import_folder(source, tmp_path / "data")
    data = VocFolder(tmp_path / "data")
    assert data.class_names == ("dog", "cat")
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
    for name in ("SegmentationClass", "Saliency"):
        shutil.rmtree(source / name)
    import_folder(source, tmp_path / "data")
    data = VocFolder(tmp_path / "data")
    data.check()
    assert not data.has_masks("train")


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
    fails(source, r"source/tags\.csv: no line for these pictures: p0, p2")


def test_two_pictures_of_one_id(source: Path) -> None:
    Image.new("RGB", (7, 5)).save(source / "JPEGImages" / "p1.png")
    fails(source, r"JPEGImages: p1\.jpg and p1\.png: two pictures of one id")


def test_too_few_pictures(source: Path) -> None:
    for number in range(1, 8):
        (source / "JPEGImages" / f"p{number}.jpg").unlink()
    (source / "tags.csv").write_text("id,tags\np0,cat\n")
    fails(source, "JPEGImages: 1 pictures")


def test_tag_without_a_class(source: Path) -> None:
    (source / "classes.txt").write_text("cat\n")
    fails(source, r"source/tags\.csv: tag 'dog' of p0, p2, p3, p5, p6 is no class of")


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


def test_saliency_of_the_size_that_the_picture_is_made_to(source: Path, tmp_path: Path) -> None:
    """A map that was made from the data set, whose pictures are smaller than the folder's."""
    saliency = np.arange(15, dtype=np.uint8).reshape(3, 5) * 10
    voc.write_image(source / "JPEGImages" / "p4.jpg", np.full((30, 50, 3), 100, np.uint8))
    voc.write_mask(source / "SegmentationClass" / "p4.png", np.zeros((30, 50), np.uint8))
    voc.write_grey(source / "Saliency" / "p4.png", saliency)
    import_folder(source, tmp_path / "data", max_side=5)
    np.testing.assert_array_equal(VocFolder(tmp_path / "data").saliency("p4"), saliency)


def flat(source: Path) -> Path:
    """The same pictures beside tags.csv, as people have them."""
    for path in (source / "JPEGImages").iterdir():
        path.rename(source / path.name)
    (source / "JPEGImages").rmdir()
    return source


def test_pictures_beside_the_tags(source: Path, tmp_path: Path) -> None:
    import_folder(source, tmp_path / "inner")
    import_folder(flat(source), tmp_path / "flat")
    assert contents(tmp_path / "flat") == contents(tmp_path / "inner")


def test_ids_with_a_suffix(source: Path, tmp_path: Path) -> None:
    import_folder(source, tmp_path / "without")
    text = (source / "tags.csv").read_text()
    (source / "tags.csv").write_text(re.sub(r"^(p\d),", r"\1.jpg,", text, flags=re.MULTILINE))
    write_split(source, train=["p1.jpg", "p2"], val=["p0.JPG"])
    import_folder(source, tmp_path / "with")
    assert VocFolder(tmp_path / "with").ids("train") == ("p1", "p2")
    assert VocFolder(tmp_path / "with").ids("val") == ("p0",)
    data = VocFolder(tmp_path / "with")
    np.testing.assert_array_equal(data.tags("p1"), VocFolder(tmp_path / "without").tags("p1"))


def test_the_same_id_with_and_without_a_suffix(source: Path) -> None:
    with (source / "tags.csv").open("a") as stream:
        stream.write("p1.jpg,cat\n")
    fails(source, r"tags\.csv: id 'p1' is there twice")


def test_a_turned_picture_is_written_upright(source: Path, tmp_path: Path) -> None:
    """As a phone writes it: the pixels lie, EXIF says how to turn them; maps are upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = np.zeros((7, 5, 3), np.uint8)  # seen, it is 5 high and 7 wide
    lying[:3] = 250
    Image.fromarray(lying).save(source / "JPEGImages/p1.jpg", exif=exif, quality=95)
    import_folder(source, tmp_path / "data")
    data = VocFolder(tmp_path / "data")
    assert data.size("p1") == (5, 7)
    assert data.image("p1")[:, -2:].min() > 200
    assert data.image("p1")[:, :3].max() < 60
    data.mask("p1")


@pytest.mark.parametrize("suffix", [".webp", ".bmp", ".tif", ".gif"])
def test_pictures_of_other_formats(source: Path, tmp_path: Path, suffix: str) -> None:
    (source / "JPEGImages/p1.jpg").unlink()
    Image.new("RGB", (7, 5), (255, 0, 0)).save(source / f"JPEGImages/p1{suffix}")
    import_folder(source, tmp_path / "data")
    assert (tmp_path / "data/JPEGImages/p1.png").is_file()
    np.testing.assert_allclose(VocFolder(tmp_path / "data").image("p1")[2, 3], (255, 0, 0), atol=3)


def test_large_pictures_are_made_smaller(source: Path, tmp_path: Path) -> None:
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 20:50] = 1
    paths = voc.layout(source, "p1")
    voc.write_image(paths.image, np.full((40, 60, 3), 100, np.uint8))
    voc.write_mask(paths.mask, mask)
    voc.write_grey(paths.saliency, mask * 200)
    import_folder(source, tmp_path / "data", max_side=30)
    data = VocFolder(tmp_path / "data")
    assert data.image("p1").shape == (20, 30, 3)
    np.testing.assert_array_equal(data.mask("p1"), mask[::2, ::2])
    assert data.saliency("p1")[10, 15] == 200
    assert data.image_path("p0").read_bytes() == (source / "JPEGImages/p0.jpg").read_bytes()


def test_processes_change_nothing(source: Path, tmp_path: Path) -> None:
    import_folder(source, tmp_path / "one", max_side=6)
    import_folder(source, tmp_path / "two", max_side=6, processes=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_trial(source: Path, tmp_path: Path) -> None:
    import_folder(source, tmp_path / "data", limit=2)
    data = VocFolder(tmp_path / "data")
    data.check()
    assert [len(data.ids(split)) for split in voc.SPLITS] == [2, 1, 2]


def test_saliency_only_on_request(source: Path, tmp_path: Path) -> None:
    assert import_folder(source, tmp_path / "with")["saliency"] == {"source": "own"}
    without = import_folder(source, tmp_path / "without", saliency="none")
    assert without["saliency"] == {"source": "none"}
    assert without["unused"] == ["Saliency/, since prepare_data.saliency is none"]
    assert not (tmp_path / "without" / "Saliency").exists()


def test_a_picture_of_a_split_is_missing(source: Path) -> None:
    write_split(source, train=["p1", "p2", "p9"], val=["p0"])
    (source / "tags.csv").open("a").write("p9,cat\n")
    fails(source, r"source/JPEGImages: no picture for these ids of tags\.csv or of a split: p9;")


def test_a_picture_of_a_split_has_no_tags(source: Path) -> None:
    write_split(source, train=["p1", "p2", "p9"], val=["p0"])
    shutil.copyfile(source / "JPEGImages/p1.jpg", source / "JPEGImages/p9.jpg")
    fails(source, r"source/tags\.csv: no line for these pictures: p9;")
