"""The resume file: whose it is, and what happens to a damaged one."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hsc.base.errors import HscError
from hsc.engine.checkpoints import ResumeFile

STATE = {
    "step": 3,
    "objective": {"weight": torch.arange(600.0)},
    "history": [{"step": 0, "loss": 0.5}],
}


@pytest.fixture
def resume(tmp_path: Path) -> ResumeFile:
    return ResumeFile(tmp_path / "resume", "train_cam", "a" * 64)


def test_nothing_is_loaded_where_there_is_nothing(resume: ResumeFile) -> None:
    assert resume.load() is None
    resume.clear()


def test_state_comes_back(resume: ResumeFile) -> None:
    resume.save(STATE)
    found = resume.load()
    assert found["step"] == 3
    assert found["history"] == STATE["history"]
    assert torch.equal(found["objective"]["weight"], STATE["objective"]["weight"])
    resume.save({**STATE, "step": 6})
    assert resume.load()["step"] == 6
    assert [path.name for path in resume.path.parent.iterdir()] == [resume.path.name]


def test_state_goes_on_success(resume: ResumeFile) -> None:
    resume.save(STATE)
    resume.clear()
    assert resume.load() is None
    assert not list(resume.path.parent.iterdir())


@pytest.mark.parametrize(("stage", "key"), [("train_cam", "b" * 64), ("other", "a" * 64)])
def test_state_of_another_key_or_stage_is_not_used(
    resume: ResumeFile, stage: str, key: str
) -> None:
    resume.save(STATE)
    other = ResumeFile(resume.path.parent, stage, key)
    assert other.load() is None
    other.clear()
    assert resume.load() is not None


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def cut_the_end(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def flip_bits_of_a_tensor(path: Path) -> None:
    data = bytearray(path.read_bytes())
    middle = data.index(torch.arange(600.0).numpy().tobytes()) + 1000
    data[middle] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        cut_the_end,
        flip_bits_of_a_tensor,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\0" * 2000),
        lambda path: path.write_text("no weights, but text\n"),
        lambda path: torch.save([1, 2], path),
        lambda path: torch.save({"step": Path("a")}, path),
    ],
    ids=["half", "last byte", "bits", "empty", "zeros", "text", "list", "object"],
)
def test_damaged_state_is_an_error_that_names_it(
    resume: ResumeFile, damage: Callable[[Path], Any]
) -> None:
    resume.save(STATE)
    damage(resume.path)
    with pytest.raises(HscError) as error:
        resume.load()
    assert str(error.value).startswith(f"{resume.path}: ")
    assert str(error.value).endswith("Delete it to start this training again.")
    assert resume.path.exists(), "it is for the user to delete"


def test_failed_save_leaves_the_state_before(
    resume: ResumeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    resume.save(STATE)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        resume.save({**STATE, "step": 6})
    assert resume.load()["step"] == 3
    assert [path.name for path in resume.path.parent.iterdir()] == [resume.path.name]


def test_half_written_state_is_not_read(resume: ResumeFile) -> None:
    """What a killed process leaves."""
    resume.save(STATE)
    partial = resume.path.with_name(resume.path.name + ".partial")
    partial.write_bytes(b"half")
    assert resume.load()["step"] == 3
    resume.save({**STATE, "step": 6})
    assert resume.load()["step"] == 6
    assert not partial.exists()
