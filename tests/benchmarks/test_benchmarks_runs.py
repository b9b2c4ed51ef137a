"""The file of runs: it grows, and its bytes depend on the runs alone."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.runs import Run, merge, read_runs, write_runs
from hsc.base.errors import HscError


def make(experiment: str = "a", day: int = 1, **changes: Any) -> Run:
    values = {
        "row": "seam", "data_seed": 0, "seed": 1, "seeds": 45.0, "threshold": 0.3, "crf": None,
        "val": None, "seconds": {}, "experiment": experiment, "commit": "c",
        "date": f"2026-01-{day:02}T10:00:00+00:00", "torch": "2",
    }  # fmt: skip
    return Run.model_validate(values | changes)


def one(run: Run) -> dict[str, Run]:
    return {run.name: run}


def test_new_names_are_added() -> None:
    merged = merge(one(make()), one(make(seed=2)))
    assert list(merged) == ["seam-d0-s1", "seam-d0-s2"]


def test_of_two_experiments_the_later_counts() -> None:
    early, late = make("a", 1, seeds=40.0), make("b", 2, seeds=50.0)
    for first, second in ((early, late), (late, early)):
        assert merge(one(first), one(second)) == one(late)


def test_dates_are_compared_as_times() -> None:
    early = make("a", date="2026-01-01T12:00:00+02:00")
    late = make("b", date="2026-01-01T11:00:00+00:00")
    assert merge(one(late), one(early)) == one(late)


def test_the_same_experiment_only_adds_seconds() -> None:
    known = make(seconds={"train_cam": 5.0}, torch="2.0")
    again = make(seconds={"train_cam": 6.0, "infer_cams": 7.0}, torch="3.0")
    found = merge(one(known), one(again))["seam-d0-s1"]
    assert found.torch == "2.0"
    assert found.seconds == {"train_cam": 5.0, "infer_cams": 7.0}


def test_the_file_has_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    runs = one(make()) | one(make(seed=2, crf=59.6))
    write_runs(tmp_path / "a.json", runs)
    write_runs(tmp_path / "b.json", dict(reversed(runs.items())))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert read_runs(tmp_path / "a.json") == runs


def test_a_file_of_another_form_is_named(tmp_path: Path) -> None:
    path = tmp_path / "runs.json"
    path.write_text('{"seam-d0-s1": {"row": "seam"}}')
    with pytest.raises(HscError, match=r"runs\.json: seam-d0-s1\.data_seed: .*collect"):
        read_runs(path)
    write_runs(path, {"seam-d0-s9": make()})
    with pytest.raises(HscError, match="seam-d0-s9 is the run seam-d0-s1"):
        read_runs(path)
