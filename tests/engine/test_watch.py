"""Looking on at a training: the table and the events grow, and the training stays as it was."""

import csv
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hsc.base.errors import HscError
from hsc.engine import watch
from hsc.engine.checkpoints import watched_state
from hsc.engine.history import History
from hsc.engine.training import train
from hsc.engine.watch import looked_at, watch_training
from tests.engine.test_training import STEPS, InterruptedTestError, Toy, batches, make
from tests.events import picture_steps, scalars

SECOND = 1.01
"""TensorBoard takes files in the order of the seconds in which they were begun."""


def picture(value: int = 0) -> np.ndarray:
    return np.full((4, 6, 3), value, dtype=np.uint8)


def run(folder: Path, runtime: Any, stop_at: int | None = None) -> tuple[History, Toy]:
    toy, optimiser = make()
    if stop_at is not None:
        toy.stop_at = ("losses", stop_at)
    state = watched_state(folder, "toy", "k" * 64, folder / "toy.csv")
    history = train(
        toy, optimiser, batches, STEPS, lambda step: 0.1, runtime, state, 3, "toy",
        draw=lambda: {"a": picture()},
    )  # fmt: skip
    return history, toy


def steps_of(path: Path) -> list[int]:
    with path.open() as stream:
        return [int(row["step"]) for row in csv.DictReader(stream)]


def test_the_table_is_there_before_the_end(tmp_path: Path, cpu: Any) -> None:
    with pytest.raises(InterruptedTestError):
        run(tmp_path, cpu, stop_at=8)
    assert steps_of(tmp_path / "toy.csv") == list(range(6)), "as far as the last checkpoint"
    run(tmp_path, cpu)
    assert steps_of(tmp_path / "toy.csv") == list(range(STEPS))
    assert not list(tmp_path.rglob("events*")), "nobody asked for them"


def test_events_of_a_training_that_was_killed(
    tmp_path: Path, cpu: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step once, every term; the pictures at each checkpoint; weights as without them."""
    _, unseen = run(tmp_path / "unseen", cpu)
    monkeypatch.setenv("HSC_TENSORBOARD", str(tmp_path / "events"))
    with pytest.raises(InterruptedTestError):
        run(tmp_path / "seen", cpu, stop_at=8)
    (folder,) = (tmp_path / "events").iterdir()
    assert folder.name == f"toy-{'k' * 16}"
    assert [step for step, _ in scalars(folder, "loss")] == list(range(6))
    time.sleep(SECOND)
    history, seen = run(tmp_path / "seen", cpu)
    for term in ("lr", "loss", "fit", "near"):
        found = scalars(folder, term)
        assert [step for step, _ in found] == list(range(STEPS))
        assert [value for _, value in found] == pytest.approx([row[term] for row in history])
    assert picture_steps(folder, "a") == [2, 5, 8, 10]
    for name, value in unseen.state_dict().items():
        assert torch.equal(value, seen.state_dict()[name])


def test_a_training_from_the_start_takes_the_place_of_the_last_one(
    tmp_path: Path, cpu: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HSC_TENSORBOARD", str(tmp_path / "events"))
    for _ in range(2):
        run(tmp_path, cpu)
        time.sleep(SECOND)
    (folder,) = (tmp_path / "events").iterdir()
    assert [step for step, _ in scalars(folder, "loss")] == list(range(STEPS))


def test_rounds_are_one_table_and_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HSC_TENSORBOARD", str(tmp_path / "events"))
    rows = [{"step": step, "lr": 0.1, "loss": 1.0 - step / 10} for step in range(3)]
    first = watch_training(tmp_path / "a.csv", "rounds")
    first(rows, 0, lambda: {"a": picture()})
    first.after(rows)(rows[:2], 0, lambda: {"a": picture(9)})
    assert steps_of(tmp_path / "a.csv") == [0, 1, 2, 3, 4]
    folder = tmp_path / "events" / "rounds"
    found = scalars(folder, "loss")
    assert [step for step, _ in found] == [0, 1, 2, 3, 4]
    assert [value for _, value in found] == pytest.approx([1.0, 0.9, 0.8, 1.0, 0.9])
    assert picture_steps(folder, "a") == [2, 4]


def test_tensorboard_is_missed_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HSC_TENSORBOARD", str(tmp_path))
    monkeypatch.setattr(watch.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(HscError, match=r"HSC_TENSORBOARD: .*pip install"):
        watch_training(tmp_path / "a.csv", "name")


@pytest.mark.parametrize("training", [True, False])
def test_what_is_looked_at_stays_as_it_was(training: bool) -> None:
    norm = nn.BatchNorm1d(2).train(training)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    with looked_at(norm):
        assert not norm(torch.randn(5, 2)).requires_grad
    assert norm.training == training
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())
