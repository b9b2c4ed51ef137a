"""The table of loss terms."""

import csv
from pathlib import Path

from hsc.engine.history import write_history

HISTORY = [
    {"step": 0, "lr": 0.002, "loss": 1.23456789, "class": 0.5},
    {"step": 1, "lr": 0.0019, "loss": 1e-12, "class": 0.0},
]


def test_one_line_a_step(tmp_path: Path) -> None:
    path = tmp_path / "plots" / "train_cam.csv"
    write_history(path, HISTORY)
    assert path.read_bytes() == (b"step,lr,loss,class\n0,0.002,1.23457,0.5\n1,0.0019,1e-12,0\n")


def test_rows_in_any_order_are_the_same_table(tmp_path: Path) -> None:
    """AuxSegNet's rounds come out of JSON, sorted, those of one training as they were made."""
    first, second = HISTORY
    for name, rows in {"a": [first, second], "b": [dict(sorted(first.items())), second],
                       "c": [first, dict(sorted(second.items()))]}.items():  # fmt: skip
        write_history(tmp_path / name, rows)
    text = (tmp_path / "a").read_text()
    assert (tmp_path / "b").read_text() == (tmp_path / "c").read_text() == text


def test_it_replaces_an_old_table_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "train_cam.csv"
    path.write_text("old")
    write_history(path, HISTORY[:1])
    assert len(path.read_text().splitlines()) == 2
    assert [file.name for file in tmp_path.iterdir()] == ["train_cam.csv"]


def test_steps_stay_apart_in_a_long_training(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    write_history(path, [{"step": step, "loss": 0.5} for step in (99_999, 100_000, 100_001)])
    with path.open(newline="") as stream:
        assert [int(row["step"]) for row in csv.DictReader(stream)] == [99_999, 100_000, 100_001]
