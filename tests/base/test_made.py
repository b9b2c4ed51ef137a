"""hsc.base.made: a stage replaces what it made itself and nothing else."""

import os
import shutil
from pathlib import Path

import pytest

from hsc.base.errors import HscError
from hsc.base.made import MARK, check_made, made_folder, write_mark

ADVICE = "Move it."


def make(path: Path, **files: str) -> None:
    with made_folder(path, ADVICE) as partial:
        (partial / "inner").mkdir()
        for name, text in files.items():
            (partial / "inner" / name).write_text(text)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    make(tmp_path / "made", a="1", b="2", c="3")
    return tmp_path / "made"


def refused(path: Path, said: str) -> None:
    """Neither checked nor made anew, and nothing of it changed."""
    before = listing(path)
    with pytest.raises(HscError, match=rf"{path.name}: {said}.*Move it\."):
        check_made(path, ADVICE)
    with pytest.raises(HscError, match=said):
        make(path, a="new")
    assert listing(path) == before
    assert not path.with_name(f"{path.name}.partial").exists()


def listing(path: Path) -> list[tuple[str, str | bytes]]:
    entries = sorted([path, *path.rglob("*")])
    return [
        (str(entry), os.readlink(entry) if entry.is_symlink() else entry.read_bytes())
        for entry in entries
        if entry.is_symlink() or entry.is_file()
    ]


def test_what_a_stage_made_is_replaced(made: Path) -> None:
    make(made, a="4")
    assert (made / "inner/a").read_text() == "4"
    assert not (made / "inner/b").exists()


def test_the_mark_has_the_same_bytes_for_the_same_files(made: Path, tmp_path: Path) -> None:
    make(tmp_path / "again", c="3", b="2", a="1")
    assert (tmp_path / "again" / MARK).read_bytes() == (made / MARK).read_bytes()


def test_a_folder_with_files_of_a_person(tmp_path: Path) -> None:
    (tmp_path / "own" / "inner").mkdir(parents=True)
    (tmp_path / "own" / "inner" / "p.jpg").write_text("a picture")
    refused(
        tmp_path / "own", r"1 files in it were put there.*\(inner/p\.jpg\); nothing was removed"
    )


def test_files_that_were_added(made: Path) -> None:
    for number in range(12):
        (made / f"p{number:02}.jpg").write_text("a picture")
    refused(made, r"12 files .*\(p00\.jpg, p01\.jpg, .* p09\.jpg, \.\.\. 12 in all\)")


@pytest.mark.parametrize("text", ["9", "99"], ids=["as long", "longer"])
def test_a_file_that_was_changed(made: Path, text: str) -> None:
    (made / "inner" / "b").write_text(text)
    refused(made, r"1 files .*\(inner/b\)")


def test_a_folder_whose_mark_is_gone_or_broken(made: Path) -> None:
    for text in ("", "[]", '{"files": 3}', '{"files": {"inner/a": 3}}'):
        (made / MARK).write_text(text)
        refused(made, "3 files")
    (made / MARK).unlink()
    refused(made, "3 files in it were put there or changed by hand")


def test_links_of_a_person(made: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (made / "folder").symlink_to(tmp_path / "elsewhere")
    (made / "broken").symlink_to(tmp_path / "nowhere")
    refused(made, r"2 files .*\(broken, folder\)")


def test_links_into_the_cache_are_the_files_themselves(made: Path, tmp_path: Path) -> None:
    """As DVC leaves them with `cache.type symlink`."""
    shutil.move(made / "inner" / "a", tmp_path / "cached")
    (made / "inner" / "a").symlink_to(tmp_path / "cached")
    check_made(made, ADVICE)


def test_a_file_or_a_link_in_the_folder_s_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "mine").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link", "broken"):
        refused(tmp_path / name, "no folder")


def test_nothing_to_lose(made: Path, tmp_path: Path) -> None:
    (made / "inner" / "a").unlink()
    (made / "inner" / ".DS_Store").write_text("a file manager's")
    check_made(made, ADVICE)
    check_made(tmp_path / "absent", ADVICE)
    (tmp_path / "empty").mkdir()
    check_made(tmp_path / "empty", ADVICE)


def test_what_is_put_there_meanwhile(made: Path) -> None:
    with pytest.raises(HscError, match=r"late\.jpg"), made_folder(made, ADVICE):
        (made / "late.jpg").write_text("a picture")
    assert (made / "late.jpg").read_text() == "a picture"
    assert (made / "inner" / "a").read_text() == "1"


def test_a_mark_that_lies_says_nothing_of_other_files(made: Path) -> None:
    (made / "inner" / "d").write_text("4")
    write_mark(made)
    check_made(made, ADVICE)
