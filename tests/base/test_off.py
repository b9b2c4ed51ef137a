"""The marks of stages that are off: always the same bytes, whole or absent."""

from pathlib import Path

from hsc.base.made import MARK, made_folder
from hsc.base.off import NO_STEPS, OFF, write_off_file, write_off_folder


def test_marks(tmp_path: Path) -> None:
    write_off_file(tmp_path / "deep" / "affinity.pt")
    write_off_file(tmp_path / "table.csv", NO_STEPS)
    write_off_folder(tmp_path / "labels")
    assert (tmp_path / "deep" / "affinity.pt").read_text() == OFF
    assert (tmp_path / "table.csv").read_text().count("\n") == 1
    assert {path.name for path in (tmp_path / "labels").iterdir()} == {"off.txt", MARK}
    assert not list(tmp_path.rglob("*.partial"))


def test_a_mark_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    with made_folder(tmp_path / "labels") as labels:
        (labels / "old.png").write_bytes(b"old")
    (tmp_path / "affinity.pt").write_bytes(b"weights")
    write_off_folder(tmp_path / "labels")
    write_off_file(tmp_path / "affinity.pt")
    assert {path.name for path in (tmp_path / "labels").iterdir()} == {"off.txt", MARK}
    assert (tmp_path / "affinity.pt").read_text() == OFF
