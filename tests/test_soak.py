"""The soak tells what is lost: its own logic, without a pipeline."""

import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.soak import __main__ as command
from tests.soak.faults import LOST, SURVIVED, TOLD, USED, Fault, Result, Soak
from tests.soak.repository import MADE, Clone, Ended, fill, may_mount, small_disk, unmount


class Still(Clone):
    """A clone whose stages and commands end as they are told to, and change nothing."""

    def __init__(self, folder: Path, *ends: Ended) -> None:
        self.folder, self.variables, self._ends = folder, {}, iter(ends)

    def run(self, *words: str, **how: Any) -> Ended:
        return next(self._ends)


WELL = Ended(0, "outputs/x: done", 1.0)
WORDS = Ended(1, "Error: x: cut off; replace it\nhelp: docs/data.md", 1.0)
TRACEBACK = Ended(1, "Error: x\nTraceback (most recent call last):\n", 1.0)
HUNG = Ended(None, "", 300.0)


@pytest.fixture
def soak(tmp_path: Path) -> Soak:
    for name in MADE:
        (tmp_path / name).mkdir()
    (tmp_path / "outputs" / "cam.pt").write_bytes(b"weights")
    first = Still(tmp_path)
    return Soak(first, {}, first.digests(), random.Random(0), mounts=False)


@pytest.mark.parametrize(
    ("ends", "outcome"),
    [
        ([WELL], SURVIVED),
        ([WORDS, WELL], TOLD),
        ([WORDS, WORDS], LOST),
        ([TRACEBACK, WELL], LOST),
        ([HUNG, WELL], LOST),
        ([Ended(1, "no word", 1.0), WELL], LOST),
    ],
)
def test_outcomes(soak: Soak, tmp_path: Path, ends: list[Ended], outcome: str) -> None:
    clone = Still(tmp_path, *ends)
    found, _ = soak._after(clone.run(), clone, clone.run)
    assert found == outcome


@pytest.mark.parametrize("change", ["other", "more", "less"])
def test_other_bytes_are_lost(soak: Soak, tmp_path: Path, change: str) -> None:
    weights = tmp_path / "outputs" / "cam.pt"
    if change == "other":
        weights.write_bytes(b"Weights")
    elif change == "more":
        (tmp_path / "metrics" / "x.json.partial").write_text("{")
    else:
        weights.unlink()
    assert soak._judge(WELL, Still(tmp_path))[0] == LOST


BROKEN = Ended(255, "'./dvc.lock' validation failed.", 1.0)


@pytest.mark.parametrize(
    ("ends", "outcome"),
    [
        ([HUNG, WELL], SURVIVED),
        ([HUNG, BROKEN, WELL], TOLD),
        ([HUNG, BROKEN, BROKEN], LOST),
        ([HUNG, TRACEBACK], LOST),
    ],
)
def test_a_lock_file_that_dvc_wrote_half(
    soak: Soak, tmp_path: Path, ends: list[Ended], outcome: str
) -> None:
    (tmp_path / "dvc.lock").write_text("stages:\n  lab")
    assert soak._dvc_kill("make_seeds", 1.0, Still(tmp_path, *ends))[0] == outcome


@pytest.mark.parametrize(
    ("tidies_up", "others_are_right", "outcome"),
    [(True, True, SURVIVED), (False, True, LOST), (True, False, LOST)],
)
def test_what_a_killed_stage_left_is_removed_by_its_next_run(
    soak: Soak, tmp_path: Path, tidies_up: bool, others_are_right: bool, outcome: str
) -> None:
    """DVC may have the result in its cache, and not run the stage again by itself."""
    partial = tmp_path / "plots" / "panels.png.partial"
    partial.write_bytes(b"half")
    weights = tmp_path / "outputs" / "cam.pt"
    if not others_are_right:
        weights.write_bytes(b"other")

    class Tidy(Still):
        def run(self, *words: str, **how: Any) -> Ended:
            if tidies_up and "--force" in words and how["kill_after"] is None:
                partial.unlink()
                weights.write_bytes(b"weights")  # as a stage makes everything anew
            return super().run(*words, **how)

    killed = Ended(-9, "", 1.0)
    found, text = soak._dvc_kill("draw_panels", 1.0, Tidy(tmp_path, killed, WELL, WELL))
    assert found == outcome, text


def test_a_flip_is_one_bit_and_a_cut_is_shorter(soak: Soak) -> None:
    whole = bytes(range(256))
    for _ in range(50):
        differ = [a ^ b for a, b in zip(whole, soak._flip(whole), strict=True) if a != b]
        assert len(differ) == 1
        assert differ[0].bit_count() == 1
        assert len(soak._cut(whole)) < 256


def test_the_first_faults_are_of_every_kind(soak: Soak) -> None:
    soak.seconds.update(dict.fromkeys(soak.stages, 1.0))
    faults = soak.faults()
    assert sum(fault.kind == "kill" for fault in faults) >= 18
    assert len({fault.kind for fault in faults[:6]}) == 6
    assert {fault.kind for fault in faults} <= command.KINDS.keys()


@pytest.mark.parametrize(("outcome", "code"), [(SURVIVED, 0), (TOLD, 0), (USED, 0), (LOST, 1)])
def test_what_is_lost_ends_with_code_1(
    soak: Soak, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: str, code: int
) -> None:
    fault = Fault("kill", "train_cam 1", lambda clone: (outcome, "why"))
    monkeypatch.setattr(command, "make_first", lambda folder: (soak.first, {}))
    monkeypatch.setattr(command, "try_all", lambda *_: [Result("kill", "train_cam", outcome)])
    monkeypatch.setattr(Soak, "faults", lambda self: [fault])
    monkeypatch.setenv("HSC_RUNS", str(tmp_path))
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- soak -->\nearlier\n<!-- end of soak -->\nbehind\n")
    done = CliRunner().invoke(command.main, ["--seed", "7", "--out", str(page)])
    assert done.exit_code == code, done.output
    text = page.read_text()
    assert text.startswith("before\n<!-- soak -->\n\n| | faults |")
    assert text.endswith("<!-- end of soak -->\nbehind\n")
    assert "seed 7" in text
    assert "earlier" not in text
    counts = [int(outcome == each) for each in (SURVIVED, TOLD, USED, LOST)]
    assert f"| **all** | 1 | {' | '.join(map(str, counts))} |" in text


@pytest.mark.skipif(not may_mount(), reason="disks can be mounted by root alone")
def test_a_disk_is_full_to_the_last_byte(tmp_path: Path) -> None:
    small_disk(tmp_path / "disk", 1 << 20)
    try:
        filler = fill(tmp_path / "disk")
        with pytest.raises(OSError, match="No space left"):
            (tmp_path / "disk" / "x").write_bytes(b"1")
        filler.unlink()
        (tmp_path / "disk" / "x").write_bytes(b"1")
    finally:
        unmount(tmp_path / "disk")


def test_a_command_is_killed_in_time_and_on_sight(tmp_path: Path) -> None:
    clone, seen = Clone(tmp_path), tmp_path / "seen"
    assert clone.run("sleep", "0.1").code == 0
    ended = clone.run("sleep", "60", kill_after=0.2)
    assert ended.code is None
    assert 0.2 <= ended.seconds < 30
    ended = clone.run("sh", "-c", f"echo said; touch {seen}; sleep 60", kill_when=seen.exists)
    assert (ended.code, ended.text) == (None, "said\n")
    assert ended.seconds < 30
