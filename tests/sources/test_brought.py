"""Folders as people of this field have them: each is taken right, or refused in words.

Each test stands for a kind of folder that somebody brought, made anew here.
"""

import os
import random
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hsc.base.errors import HscError
from hsc.base.machine_problems import describe_problem
from hsc.data import voc
from hsc.data.lists import split_path
from hsc.data.voc import VocFolder
from hsc.params.data import FolderParams
from hsc.sources.stage import Where, make
from hsc.sources.summary import shown
from tests.sources.brought import (
    IDS,
    SIZE,
    bring,
    indices,
    picture,
    repaint,
    write_split,
    write_tags,
)
from tests.stage_runs import contents


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return bring(tmp_path / "pictures")


def prepared(source: Path, needs: bool = False, **changes: Any) -> dict[str, Any]:
    """What prepare_data says of the folder; the data set is `data/folder` beside it."""
    values = {"path": source, "max_side": None, "saliency": "none", "limit": None} | changes
    root = source.parent / "data" / "folder"
    return make(
        FolderParams(**values),
        root,
        Where(source.parent / "downloads", saliency_for="baseline is eps" if needs else ""),
    )


def data_of(source: Path) -> VocFolder:
    return VocFolder(source.parent / "data" / "folder")


def refused(source: Path, said: str, **changes: Any) -> str:
    """The error that names it; nothing was made."""
    with pytest.raises(HscError, match=said) as caught:
        prepared(source, **changes)
    assert not data_of_exists(source)
    return str(caught.value)


def data_of_exists(source: Path) -> bool:
    return (source.parent / "data" / "folder").exists()


def masks_of(source: Path) -> list[Path]:
    return sorted((source / "SegmentationClass").iterdir())


def test_a_folder_that_is_right(source: Path) -> None:
    facts = prepared(source)
    assert facts["classes"] == 2
    assert facts["unused"] == []
    for number, image_id in enumerate(IDS):
        np.testing.assert_array_equal(data_of(source).mask(image_id), indices(number))


# Masks against tags


def test_black_and_white_masks(source: Path) -> None:
    """One class, exported as 0 and 255."""
    write_tags(source, ["disc" if number % 4 in (0, 2) else "" for number in range(12)])
    for path in masks_of(source):
        repaint(path, {1: 255, 2: 0})
    text = refused(source, "tags and masks contradict each other in 6 of 12 pictures")
    assert "write 1 for the object, 255 means ignored" in text
    assert "SegmentationClass/p00.png: tagged disc, the mask holds background" in text
    assert "255 (ignored)" in text


@pytest.mark.parametrize(
    "change",
    [{1: 2, 2: 1}, {1: 2, 2: 3}, {1: 0, 2: 0}, {2: 1}, {0: 1}],
    ids=["misordered", "shifted", "empty", "one class twice", "background is the first class"],
)
def test_masks_of_other_indices(source: Path, change: dict[int, int]) -> None:
    (source / "classes.txt").write_text("disc\nsquare\n" + "ring\n" * (3 in change.values()))
    if 3 in change.values():  # so that the index 3 is possible
        write_tags(source, ["disc", "square", "disc;square", "ring"] * 3)
    for path in masks_of(source):
        repaint(path, change)
    refused(source, r"tags and masks contradict each other in \d+ of 12 pictures")


def test_ten_contradictions_are_told_and_the_others_counted(source: Path) -> None:
    write_tags(source, ["square", "disc", "square", "disc"] * 3)
    text = refused(source, "contradict each other in 12 of 12 pictures: 12 problems")
    assert text.count("tagged ") == 10
    assert "... and 2 more" in text


def test_one_mask_of_another_picture(source: Path) -> None:
    shutil.copyfile(*(source / f"SegmentationClass/p{number}.png" for number in ("01", "00")))
    refused(source, r"1 of 12 pictures: .*p00\.png: tagged disc, the mask holds background .*squ")


def test_what_is_let_pass_is_a_parameter(source: Path) -> None:
    repaint(source / "SegmentationClass/p03.png", {0: 0})
    mask = indices(3)
    mask[:4, :6] = 1  # 2 % of the picture
    voc.write_mask(source / "SegmentationClass/p03.png", mask)
    refused(source, r"1 of 12 .*p03\.png: tagged nothing")
    prepared(source, mask_specks=0.03)


def test_tags_of_val_may_be_unknown(source: Path) -> None:
    write_split(source, train=list(IDS[:8]), val=list(IDS[8:]))
    write_tags(source, ["disc", "square", "disc;square", ""] * 2 + [""] * 4)
    prepared(source)


# Names


def test_background_as_the_first_class(source: Path) -> None:
    (source / "classes.txt").write_text("background\ndisc\nsquare\n")
    refused(source, r"classes\.txt: line 1: 'background': background is index 0")


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ('"disc,square"', "line 4: tag 'disc,square' has a ','"),
        ("nan", "line 4: tag 'nan'"),
        ("Disc", "line 4: 'Disc' and 'disc' .line 2. differ by case"),
        ("disc square", "line 4: tag 'disc square' is made of other tags"),
    ],
)
def test_a_slip_in_the_tags(source: Path, cell: str, said: str) -> None:
    write_tags(source, ["disc", "square", cell, ""] * 3)
    refused(source, rf"tags\.csv.*(?s:.*){said}")


def test_file_names_of_a_mac(tmp_path: Path) -> None:
    """Decomposed names of files, composed ones in tags.csv; and the other way round."""
    for form, other in (("NFD", "NFC"), ("NFC", "NFD")):
        source = bring(tmp_path / form / "pictures")
        for path in [*source.glob("p0[0-3].jpg"), *source.glob("SegmentationClass/p0[0-3].png")]:
            name = unicodedata.normalize(form, "é" + path.name[1:])
            path.rename(path.with_name(name))
        names = [f"{'é' if number < 4 else 'p'}{number:02}.jpg" for number in range(12)]
        cells = ["disc", "square", "disc;square", ""] * 3
        write_tags(source, cells, [unicodedata.normalize(other, name) for name in names])
        assert prepared(source)["images"] == 12
        np.testing.assert_array_equal(data_of(source).mask("é02"), indices(2))


def test_numbers_as_classes(source: Path) -> None:
    write_tags(source, ["9", "10", "9;10", ""] * 3)
    prepared(source)
    assert data_of(source).class_names == ("9", "10")


def test_a_class_that_is_never_trained(source: Path) -> None:
    (source / "classes.txt").write_text("disc\nsquare\nring\n")
    refused(source, "class 'ring' is tagged in no picture that trains .in 0 others")


def test_a_class_in_val_alone(source: Path) -> None:
    write_split(source, train=["p00", "p03"], val=["p01", "p02"])
    refused(source, "class 'square' is tagged in no picture that trains .in 6 others")


# Pictures


def test_all_that_is_wrong_with_pictures_is_told_at_once(source: Path) -> None:
    whole = (source / "p00.jpg").read_bytes()
    (source / "p00.jpg").write_bytes(whole[:-200])
    (source / "p01.jpg").write_text("<!DOCTYPE html><html><body>Please log in</body></html>")
    (source / "p02.jpg").write_bytes(b"")
    (source / "p03.jpg").rename(source / "p03.heic")
    (source / "p04.jpg").unlink()
    (source / "p04.jpg").symlink_to("/nowhere/p04.jpg")
    (source / "p05.jpg").unlink()
    text = refused(source, "problems")
    for image_id in IDS[:6]:
        assert image_id in text, image_id
    assert "/nowhere/p04.jpg" in text
    assert "p06" not in text


def test_a_name_in_tags_that_is_no_picture(source: Path) -> None:
    with (source / "tags.csv").open("a") as stream:
        stream.write("p98.jpg,disc\np99.jpg,square\n")
    refused(source, r"no picture for these ids of tags\.csv or of a split: p98, p99; ")


def test_pictures_without_a_line(source: Path) -> None:
    write_tags(source, ["disc", "square", "disc;square"], ["p00", "p01", "p02"])
    refused(source, r"tags\.csv: no line for these pictures: p03, p04")


def test_twelve_bits_in_sixteen(source: Path) -> None:
    for number, image_id in enumerate(IDS):
        (source / f"{image_id}.jpg").unlink()
        values = picture(number)[..., 0].astype(np.uint16) * 16 * (1 if number else 0.2)
        Image.fromarray(values.astype(np.uint16)).save(source / f"{image_id}.png")
    write_tags(source, ["disc", "square", "disc;square", ""] * 3, list(IDS))
    facts = prepared(source)
    assert facts["depth"] == 12
    assert "pictures of 16 bits hold values of 12 bits" in shown(facts)
    for number in (0, 5):  # a dark picture stays dark
        expected = picture(number)[..., 0] * (1 if number else 0.2)
        found = data_of(source).image(IDS[number])[..., 0]
        np.testing.assert_allclose(found, expected, atol=1)


# Masks and saliency: where they lie and whether they are whole


@pytest.mark.parametrize("suffix", [".PNG", ".tif", ".bmp", ".gif"])
def test_masks_of_another_suffix(source: Path, suffix: str) -> None:
    for path in masks_of(source):
        with Image.open(path) as mask:
            mask.load()
        path.unlink()
        mask.save(path.with_suffix(suffix))
    prepared(source)
    for number, image_id in enumerate(IDS):
        np.testing.assert_array_equal(data_of(source).mask(image_id), indices(number))


def test_folders_in_other_letters(source: Path) -> None:
    (source / "SegmentationClass").rename(source / "segmentationclass")
    prepared(source)
    assert data_of(source).has_masks("train")


def test_masks_named_after_the_whole_file(source: Path) -> None:
    for path in masks_of(source):
        path.rename(path.with_name(f"{path.stem}.jpg.png"))
    prepared(source)
    assert data_of(source).has_masks("val")


def test_masks_that_are_named_as_no_picture(source: Path) -> None:
    for path in masks_of(source):
        path.rename(path.with_name(f"{path.stem}_mask.png"))
    refused(source, r"Class: of its 12 files none is named as a picture .*p00_mask\.png")


def test_what_is_not_read_is_named(source: Path) -> None:
    (source / "SegmentationClass").rename(source / "masks")
    (source / "notes.txt").write_text("")
    for image_id in IDS[:3]:
        (source / f"{image_id}.xml").write_text("")
    facts = prepared(source)
    assert facts["unused"] == [
        "masks/, with 12 files named as pictures (masks belong into SegmentationClass/, saliency "
        "into Saliency/)",
        "notes.txt",
        "p00.xml and 2 more *.xml",
    ]
    assert "not used: masks/, with 12" in shown(facts)


def test_some_masks_of_val_are_missing(source: Path) -> None:
    write_split(source, train=list(IDS[:8]), val=list(IDS[8:]))
    for image_id in ("p09", "p11"):
        (source / f"SegmentationClass/{image_id}.png").unlink()
    refused(source, r"val: 2 of 4 pictures have no mask \(p09, p11\)")


def test_masks_of_train_alone(source: Path) -> None:
    write_split(source, train=list(IDS[:8]), val=list(IDS[8:]))
    for image_id in IDS[8:]:
        (source / f"SegmentationClass/{image_id}.png").unlink()
    prepared(source)
    assert not data_of(source).has_masks("val")


def test_masks_that_are_all_ignored(source: Path) -> None:
    for image_id in ("p03", "p07"):
        voc.write_mask(source / f"SegmentationClass/{image_id}.png", np.full(SIZE[::-1], 255, "B"))
    text = refused(source, "every pixel is 255")
    assert "p03.png" in text
    assert "p07.png" in text


def add_saliency(source: Path, bright: int, ids: tuple[str, ...] = IDS) -> None:
    for image_id in ids:
        values = np.zeros(SIZE[::-1], np.uint8)
        values[5:20, 5:20] = bright
        voc.write_grey(voc.layout(source, image_id).saliency, values)


@pytest.mark.parametrize("bright", [0, 1])
def test_saliency_of_0_and_1(source: Path, bright: int) -> None:
    add_saliency(source, bright)
    refused(source, "Saliency.*0..255", saliency="auto")


@pytest.mark.parametrize("asked", ["auto", "own"])
def test_saliency_of_some_pictures(source: Path, asked: str) -> None:
    add_saliency(source, 255, IDS[:1])
    refused(source, r"Saliency: no map for \d pictures that train", saliency=asked)
    facts = prepared(source, saliency="estimated")
    assert any("Saliency/" in each for each in facts["unused"])


def test_saliency_of_another_suffix(source: Path) -> None:
    add_saliency(source, 255)
    for path in (source / "Saliency").iterdir():
        path.rename(path.with_suffix(".PNG"))
    prepared(source, saliency="auto")
    assert data_of(source).saliency("p00").max() == 255


# Splits


def test_lines_as_voc_has_them(source: Path) -> None:
    def lines(ids: tuple[str, ...]) -> list[str]:
        return [f"/JPEGImages/{i}.jpg /SegmentationClassAug/{i}.png" for i in ids]

    write_split(source, train_aug=lines(IDS[:8]), val=lines(IDS[8:]))
    prepared(source)
    assert data_of(source).ids("train_aug") == IDS[:8]
    assert data_of(source).ids("val") == IDS[8:]


def test_a_line_that_is_no_id(source: Path) -> None:
    write_split(source, train=["sub/p00"], val=["p01"])
    refused(source, r"train\.txt: 'sub/p00': a line is a picture's name")
    write_split(source, train=["p00 1", "p01 -1"], val=["p02"])
    refused(source, r"no picture for these ids .*: p00 1, p01 -1; ")


# Early


def test_what_the_run_needs_is_asked_before_anything_is_made(tmp_path: Path) -> None:
    source = bring(tmp_path / "pictures", masks=False)
    with pytest.raises(HscError, match=r"prepare_data\.saliency is none, but baseline is eps"):
        prepared(source, needs=True)
    assert not data_of_exists(source)
    prepared(source)


# The summary


def test_the_summary(source: Path) -> None:
    write_split(source, train_aug=list(IDS[:8]), train=list(IDS[:4]), val=list(IDS[8:]))
    facts = prepared(source)
    assert shown(facts).splitlines() == [
        "               train_aug      train        val",
        "pictures               8          4          4",
        "without a tag          2          1          1",
        "masks                  8          4          4",
        "saliency maps          0          0          0",
        "disc                   4          2          2",
        "square                 4          2          2",
        "height         30 to 30 pixels, median 30",
        "width          40 to 40 pixels, median 40",
    ]


def test_the_summary_where_the_tags_of_val_are_unknown(source: Path) -> None:
    write_split(source, train=list(IDS[:8]), val=list(IDS[8:]))
    write_tags(source, ["disc", "square", "disc;square", ""] * 2, list(IDS[:8]))
    rows = {row["class"]: row for row in prepared(source)["class_table"]}
    assert rows["disc"] == {"class": "disc", "train_aug": 4, "train": 4, "val": None}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_picture_that_may_not_be_read(source: Path) -> None:
    (source / "p00.jpg").chmod(0)
    refused(source, "p00.jpg")


# Anything at all


def spoil(path: Path, how: random.Random) -> None:
    """Change bytes of a file, cut it, or put a folder or a link to itself in the entry's place."""
    whole = path.read_bytes() if path.is_file() else None
    deed = how.choice(["flip", "insert", "cut", "folder", "loop", "remove"])
    if whole and deed in ("flip", "insert", "cut"):
        at = how.randrange(len(whole))
        middle = {
            "flip": bytes([whole[at] ^ 1 << how.randrange(8)]) + whole[at + 1 :],
            "insert": bytes(how.choices(b'\0\n\r",;\xff\xc3a |', k=3)) + whole[at:],
            "cut": b"",
        }
        path.write_bytes(whole[:at] + middle[deed])
        return
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if deed == "folder":
        path.mkdir()
    elif deed == "loop":
        path.symlink_to(path)


@pytest.mark.parametrize("seed", range(80))
def test_whatever_is_wrong_is_told_in_words(source: Path, seed: int) -> None:
    how = random.Random(seed)
    (source / "classes.txt").write_text("disc\nsquare\n")
    write_split(source, train_aug=list(IDS[:8]), train=list(IDS[:8]), val=list(IDS[8:]))
    add_saliency(source, 255)
    lists = [source / "tags.csv", source / "classes.txt", split_path(source, "val")]
    for _ in range(how.randint(1, 2)):
        entry = how.choice([*source.rglob("*"), *20 * lists])
        if entry.exists():
            spoil(entry, how)
    before = contents(source)
    try:
        prepared(source, saliency=how.choice(["auto", "own"]), limit=how.choice([None, 3]))
    except HscError as error:
        assert str(source) in str(error)  # noqa: PT017
        assert not data_of_exists(source)
    except OSError as error:
        assert describe_problem(error, "prepare_data")  # noqa: PT017
    assert contents(source) == before
