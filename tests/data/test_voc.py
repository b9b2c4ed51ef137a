"""hsc.data.voc: a tiny data set in VOC layout, and everything that can be wrong with it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hsc.base.errors import HscError
from hsc.data import voc
from hsc.data.classes import palette
from hsc.data.lists import split_path, write_index
from hsc.data.voc import VocFolder

CLASSES = ("cat", "dog", "owl")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three pictures of 6x4: a and b train, c is val. b has no tag, c no line in tags.csv."""
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    mask = np.array([[0, 1, 1, 255, 3, 3]] * 4, dtype=np.uint8)
    for image_id in "abc":
        paths = voc.layout(tmp_path, image_id)
        voc.write_image(paths.image, pixels)
        voc.write_mask(paths.mask, mask)
        voc.write_grey(paths.saliency, mask)
    splits = {"train_aug": ["b", "a"], "train": ["a"], "val": ["c"]}
    write_index(tmp_path, CLASSES, {"b": [], "a": ["cat", "owl"]}, splits)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_reads_what_was_written(root: Path) -> None:
    data = VocFolder(root)
    data.check()
    assert data.root == root
    assert data.class_names == CLASSES
    assert data.num_classes == 3
    assert data.ids("train_aug") == ("b", "a")  # as in the file
    assert data.ids("val") == ("c",)
    assert data.tags("a").dtype == np.float32
    assert data.tags("a").tolist() == [1, 0, 1]
    assert data.tags("b").tolist() == [0, 0, 0]
    assert data.size("a") == (4, 6)
    assert data.image("a").shape == (4, 6, 3)
    assert data.image("a").dtype == np.uint8
    assert data.saliency("a")[0].tolist() == [0, 1, 1, 255, 3, 3]
    assert data.mask("a")[2].tolist() == [0, 1, 1, 255, 3, 3]
    assert data.mask("a").dtype == np.uint8
    assert data.has_masks("train")
    assert data.has_masks("val")


def test_tags_file_is_sorted(root: Path) -> None:
    assert (root / "tags.csv").read_bytes() == b"id,tags\na,cat;owl\nb,\n"


def test_masks_have_vocs_palette(root: Path) -> None:
    with Image.open(root / "SegmentationClass" / "a.png") as image:
        assert image.mode == "P"
        assert np.array(image.convert("RGB"))[0, 4].tolist() == palette()[3].tolist()


def test_grey_masks_are_indices_too(root: Path) -> None:
    mask = VocFolder(root).mask("a")
    voc.write_grey(root / "SegmentationClass" / "a.png", mask)
    np.testing.assert_array_equal(VocFolder(root).mask("a"), mask)


def test_a_mask_has_the_same_bytes_each_time(tmp_path: Path) -> None:
    mask = np.eye(20, dtype=np.uint8)
    voc.write_mask(tmp_path / "a.png", mask)
    voc.write_mask(tmp_path / "b.png", mask)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("values", [np.zeros((2, 2)), np.zeros((2, 2, 3), np.uint8)])
def test_only_byte_planes_are_written(tmp_path: Path, values: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"needs \(H, W\) uint8"):
        voc.write_mask(tmp_path / "a.png", values)


def test_png_pictures_are_found(root: Path) -> None:
    (root / "JPEGImages" / "a.jpg").unlink()
    Image.fromarray(np.full((4, 6), 7, np.uint8)).save(root / "JPEGImages" / "a.png")
    data = VocFolder(root)
    assert data.image_path("a") == root / "JPEGImages" / "a.png"
    assert data.image("a")[0, 0].tolist() == [7, 7, 7]  # grey becomes RGB
    data.check()


def test_a_byte_order_mark_and_windows_lines_are_fine(root: Path) -> None:
    for path in (root / "tags.csv", root / "classes.txt"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    VocFolder(root).check()


def test_given_class_names_need_no_file(root: Path) -> None:
    (root / "classes.txt").unlink()
    assert VocFolder(root, ("owl", "cat")).tags("a").tolist() == [1, 1]


def test_a_split_may_have_no_masks(root: Path) -> None:
    (root / "SegmentationClass" / "c.png").unlink()
    assert VocFolder(root).has_masks("train")
    assert not VocFolder(root).has_masks("val")


def test_without_masks_all_else_reads(root: Path) -> None:
    for path in (root / "SegmentationClass").glob("*"):
        path.unlink()
    data = VocFolder(root)
    data.check()
    assert not data.has_masks("train")
    with pytest.raises(HscError, match=r"a\.png: no such mask.*scoring only"):
        data.mask("a")


# -- splits and tags ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("split", "text", "message"),
    [
        ("val", None, r"val\.txt: no such file"),
        ("val", "\n", r"val\.txt: the split is empty"),
        ("val", "c\nc\n", r"val\.txt: id 'c' is there twice"),
        ("val", "../c\n", r"val\.txt: id '\.\./c' is no file name"),
        ("val", "sub/c\n", r"val\.txt: id 'sub/c' is no file name"),
        ("val", "a\n", r"val\.txt: id 'a' is in train_aug too"),
        ("val", "d\n", r"d\.jpg: no such picture"),
        ("train", "c\n", r"train\.txt: id 'c' has no line in .*tags\.csv"),
        ("train_aug", "b\n", r"train\.txt: id 'a' is not in train_aug"),
    ],
)
def test_bad_splits(root: Path, split: str, text: str | None, message: str) -> None:
    path = split_path(root, split)
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    with pytest.raises(HscError, match=message):
        VocFolder(root).check()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("id,tags", "image,labels", "first line must be 'id,tags'"),
        ("cat;owl", "cat;unicorn", "tag 'unicorn' of id 'a' is no class"),
        ("b,", "a,", "line 3: id 'a' is there twice"),
        ("cat;owl", "cat,owl", "line 2: 3 columns"),
        ("a,", "../a,", "id '../a' is no file name"),
    ],
)
def test_bad_tags(root: Path, old: str, new: str, message: str) -> None:
    edit(root / "tags.csv", old, new)
    with pytest.raises(HscError, match=f"tags.csv: .*{message}"):
        VocFolder(root).check()


def test_no_tags_for_an_id(root: Path) -> None:
    with pytest.raises(HscError, match=r"tags\.csv: no line for id 'c'"):
        VocFolder(root).tags("c")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no class names"),
        ("cat\ncat\n", "class 'cat' is there twice"),
        ("cat;dog\n", "has a ';'"),
        ("\n".join(map(str, range(255))), "255 classes"),
    ],
)
def test_bad_classes(root: Path, text: str, message: str) -> None:
    (root / "classes.txt").write_text(text)
    with pytest.raises(HscError, match=f"classes.txt: .*{message}"):
        VocFolder(root)


def test_files_that_are_no_text(root: Path) -> None:
    (root / "tags.csv").write_bytes(b"id,tags\n\xff\xfe\n")
    with pytest.raises(HscError, match=r"tags\.csv: cannot be read as text"):
        VocFolder(root)
    (root / "tags.csv").unlink()
    with pytest.raises(HscError, match=r"tags\.csv: no such file"):
        VocFolder(root)


# -- pictures ----------------------------------------------------------------------------------


@pytest.mark.parametrize("image_id", ["../a", "x/a", "", ".a", "x\\a"])
def test_ids_cannot_leave_the_folder(root: Path, image_id: str) -> None:
    data = VocFolder(root)
    for read in (data.image, data.mask, data.saliency, data.size):
        with pytest.raises(HscError, match="is no file name"):
            read(image_id)


def test_truncated_picture(root: Path) -> None:
    path = root / "JPEGImages" / "a.jpg"
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    voc.write_image(path, pixels)
    path.write_bytes(path.read_bytes()[:-400])
    assert VocFolder(root).size("a") == (40, 60)  # the header is whole
    with pytest.raises(HscError, match=r"a\.jpg: cannot be read as a picture .*whole copy"):
        VocFolder(root).image("a")


@pytest.mark.parametrize("content", [b"", b"no picture", b"\xff\xd8\xff"])
def test_no_picture_at_all(root: Path, content: bytes) -> None:
    (root / "JPEGImages" / "a.jpg").write_bytes(content)
    for read in (VocFolder(root).image, VocFolder(root).size):
        with pytest.raises(HscError, match=r"a\.jpg: cannot be read as a picture"):
            read("a")


@pytest.mark.parametrize("cut", range(8, 90, 7))
def test_truncated_mask(root: Path, cut: int) -> None:
    path = root / "SegmentationClass" / "a.png"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(HscError, match=r"a\.png: cannot be read as a picture"):
        VocFolder(root).mask("a")


def test_missing_saliency(root: Path) -> None:
    (root / "Saliency" / "a.png").unlink()
    with pytest.raises(HscError, match=r"a\.png: no such saliency map, and EPS and AuxSegNet need"):
        VocFolder(root).saliency("a")


def test_maps_of_another_size(root: Path) -> None:
    voc.write_grey(root / "Saliency" / "a.png", np.zeros((6, 4), np.uint8))
    with pytest.raises(HscError, match=r"Saliency/a\.png: 4x6 pixels, but .*a\.jpg has 6x4"):
        VocFolder(root).saliency("a")
    voc.write_mask(root / "SegmentationClass" / "a.png", np.zeros((6, 4), np.uint8))
    with pytest.raises(HscError, match=r"SegmentationClass/a\.png: 4x6 pixels"):
        VocFolder(root).mask("a")


def test_impossible_index(root: Path) -> None:
    voc.write_mask(root / "SegmentationClass" / "a.png", np.full((4, 6), 4, np.uint8))
    with pytest.raises(HscError, match=r"a\.png: index 4 is impossible with 3 classes"):
        VocFolder(root).mask("a")


def test_a_colour_picture_is_no_mask(root: Path) -> None:
    Image.new("RGB", (6, 4)).save(root / "SegmentationClass" / "a.png")
    with pytest.raises(HscError, match=r"a\.png: a picture of mode RGB, not of class indices"):
        VocFolder(root).mask("a")
