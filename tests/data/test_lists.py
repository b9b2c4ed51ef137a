"""hsc.data.lists: classes, tags and splits as text, and everything that can be wrong with them."""

import unicodedata
from pathlib import Path

import pytest

from hsc.base.errors import HscError
from hsc.data.lists import read_classes, read_ids, read_tags


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("p1,nan", "line 3: tag 'nan': .*pandas"),
        ("p1,background", "line 3: tag 'background': .*index 0"),
        ('p1,"cat,dog"', "line 3: tag 'cat,dog' has a ','; tags are parted by ';'"),
        ("p1,cat|dog", r"line 3: tag 'cat\|dog' has a '\|'"),
        ("p1,['cat']", r"line 3: tag \"\['cat'\]\" has a '\['"),
        ("p1,cat;;dog", "line 3: an empty tag in 'cat;;dog'"),
        ("p1,cat;", "line 3: an empty tag in 'cat;'"),
        ("p1,Cat", r"line 3: 'Cat' and 'cat' \(line 2\) differ by case, blanks or Unicode form"),
        ("p1,cat dog", "line 3: tag 'cat dog' is made of other tags"),
        ("p1,cat,dog", "line 3: 3 columns; write 'id,tag;tag'"),
        ("p0,cat", "line 3: id 'p0' is there twice"),
        ("../p1,cat", r"line 3: id '\.\./p1' is no file name"),
    ],
)
def test_a_line_that_is_wrong(tmp_path: Path, line: str, said: str) -> None:
    path = write(tmp_path / "tags.csv", f"id,tags\np0,cat;dog\n{line}\n")
    with pytest.raises(HscError, match=rf"tags\.csv: {said}"):
        read_tags(path)


def test_all_lines_that_are_wrong_are_told_at_once(tmp_path: Path) -> None:
    lines = "".join(f"p{number},cat,dog\n" for number in range(12))
    path = write(tmp_path / "tags.csv", f"id,tags\n{lines}q,nan\n")
    with pytest.raises(HscError) as caught:
        read_tags(path)
    text = str(caught.value).splitlines()
    assert text[0] == f"{path}: 13 problems"
    assert text[1].strip().startswith("line 2: 3 columns")
    assert text[-1].strip() == "... and 3 more"
    assert len(text) == 12


def test_tags_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "tags.csv", "id,tags\n a , cat ; dog \n\nb,\nc,  \nd,cat;cat\n")
    assert read_tags(path) == {"a": ("cat", "dog"), "b": (), "c": (), "d": ("cat", "cat")}


def test_both_forms_of_a_sign_are_one(tmp_path: Path) -> None:
    text = "id,tags\n\u00e9,caf\u00e9\n"
    decomposed = write(tmp_path / "tags.csv", unicodedata.normalize("NFD", text))
    assert read_tags(decomposed) == {"\u00e9": ("caf\u00e9",)}
    ids = write(tmp_path / "ids.txt", unicodedata.normalize("NFD", "\u00e91\n"))
    assert read_ids(ids) == ("\u00e91",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("background\ncat\n", "line 1: 'background': background is index 0"),
        ("cat\n\ndog\n", "line 2: an empty name"),
        ("cat\ndog\nCat\n", r"line 3: 'Cat' and 'cat' \(line 1\) differ by case"),
        ("cat\ndog\ncat\n", "line 3: class 'cat' is there twice"),
        ("cat;dog\n", "line 1: 'cat;dog' has a ';'"),
        ("1,cat\n", "line 1: '1,cat' has a ','"),
        ("\n\n", "no class names"),
    ],
)
def test_classes_that_are_wrong(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(HscError, match=rf"classes\.txt: {said}"):
        read_classes(write(tmp_path / "classes.txt", text))


def test_empty_lines_behind_the_classes_are_fine(tmp_path: Path) -> None:
    assert read_classes(write(tmp_path / "classes.txt", "cat\ndog \n\n \n")) == ("cat", "dog")


def test_what_is_no_csv(tmp_path: Path) -> None:
    path = write(tmp_path / "tags.csv", "id,tags\np0," + "x" * 200_000 + "\n")
    with pytest.raises(HscError, match=r"tags\.csv: no CSV file"):
        read_tags(path)


def test_a_folder_in_the_place_of_a_list(tmp_path: Path) -> None:
    (tmp_path / "tags.csv").mkdir()
    with pytest.raises(HscError, match=r"tags\.csv: cannot be read as text"):
        read_tags(tmp_path / "tags.csv")
