"""How progress looks on a terminal and in a log."""

import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsc.base.shown_progress import LogLines
from tests.stage_runs import ROOT, environment
from tests.terminal import run_on_terminal


class Log:
    """A log, and a clock that stands still until it is told otherwise."""

    def __init__(self, title: str = "CAM training", unit: str = "step") -> None:
        self.lines: list[str] = []
        self.time = 100.0
        self.progress = LogLines(title, unit, self.lines.append, lambda: self.time)

    def tell(self, time: float, done: int, total: int, **figures: float) -> None:
        """`time`: seconds since the start."""
        self.time = 100.0 + time
        self.progress(done, total, **figures)

    def run(self, steps: int, seconds: float, start: int = 0) -> list[str]:
        """As many steps a second all the time; the lines."""
        for step in range(start, steps + 1):
            self.tell(seconds * (step - start), step, steps)
        return self.lines


# In a log


def test_a_line_has_everything() -> None:
    log = Log()
    log.tell(0, 0, 400)
    log.tell(24, 120, 400, loss=1.2341, lr=0.01, seen=120)
    assert log.lines == [
        "CAM training: 120/400 step (30 %), 5 step/s, 0:56 left, loss 1.234, lr 0.01, seen 120"
    ]


@pytest.mark.parametrize("seconds", [0.001, 0.024])
def test_nothing_of_work_that_is_soon_over(seconds: float) -> None:
    assert Log().run(400, seconds) == []


def test_a_line_every_ten_seconds_of_short_work() -> None:
    """42 seconds."""
    shares = [re.search(r"\((\d+) %\)", line)[1] for line in Log().run(420, 0.1)]
    assert shares == ["23", "47", "71", "95"]


def test_a_line_every_tenth_of_long_work() -> None:
    """The first after ten seconds all the same: whoever looks sees how long it will take."""
    lines = Log().run(400, 90.0)
    assert len(lines) == 11
    assert lines[0].startswith("CAM training: 1/400 step (0 %), 0.0111 step/s, 9:58:30 left")
    assert [line.split(" ")[2] for line in lines[1:]] == [f"{40 * n}/400" for n in range(1, 11)]
    assert lines[-1] == "CAM training: 400/400 step (100 %), 0.0111 step/s, took 10:00:00"


def test_resumed_steps_do_not_count_for_the_rate() -> None:
    (first, *_) = Log().run(400, 1.0, start=200)
    assert first == "CAM training: 210/400 step (52 %), 1 step/s, 3:10 left"


def test_the_rate_is_that_of_late() -> None:
    log = Log()
    log.tell(0, 0, 1000)
    log.tell(100, 100, 1000)
    log.tell(110, 200, 1000)
    assert [line.partition("%), ")[2] for line in log.lines] == [
        "1 step/s, 15:00 left",
        "10 step/s, 1:20 left",
    ]


def test_no_time_is_left_where_nothing_moves() -> None:
    log = Log()
    log.tell(0, 0, 10)
    log.tell(20, 0, 10)
    assert log.lines == ["CAM training: 0/10 step (0 %), 0 step/s"]


def test_bytes() -> None:
    log = Log("reading a.tar", "B")
    log.tell(0, 0, 4_500_000_000)
    log.tell(10, 1_234_000_000, 4_500_000_000)
    assert log.lines == ["reading a.tar: 1.23 GB of 4.5 GB (27 %), 123 MB/s, 0:26 left"]


def test_bytes_whose_total_nobody_knows() -> None:
    log = Log("a.tar", "B")
    for second in range(130):
        log.tell(second, 5000 * second, 0)
    log.tell(130, 650_000, 650_000)
    assert log.lines == [
        "a.tar: 50 kB, 5 kB/s",
        "a.tar: 300 kB, 5 kB/s",
        "a.tar: 600 kB, 5 kB/s",
        "a.tar: 650 kB of 650 kB (100 %), 5 kB/s, took 2:10",
    ]


def test_a_download_that_begins_anew() -> None:
    log = Log("a.tar", "B")
    log.tell(0, 500, 1000)
    log.tell(11, 600, 1000)
    log.tell(12, 0, 1000)
    log.tell(32, 200, 1000)
    assert log.lines[1:] == ["a.tar: 200 B of 1 kB (20 %), 10 B/s, 1:20 left"]


@given(
    st.lists(st.floats(0.01, 40), min_size=1, max_size=200), st.integers(0, 50), st.integers(1, 9)
)
def test_never_more_lines_than_promised(pauses: list[float], start: int, size: int) -> None:
    log, times, counts = Log(), [0.0], []
    total = start + size * len(pauses)
    log.tell(0, start, total)
    for step, pause in enumerate(pauses, 1):
        times.append(times[-1] + pause)
        log.tell(times[-1], start + size * step, total)
        counts.append(len(log.lines))
    assert len(log.lines) <= min(11, times[-1] / 10)
    assert bool(log.lines) == (times[-1] - 1e-6 > 10) or abs(times[-1] - 10) < 1e-3
    assert not any(set("\r\n\x1b") & set(line) for line in log.lines)


# On a terminal

SHOW = """
import sys, time
import click
from hsc.base.cli import bars, command

@command
def main():
    progress = bars("CAM training", "step")
    progress(200, 400)
    for step in range(201, 401):
        time.sleep(0.25 if step == 400 else 0.005)  # a bar is drawn again after 0.2 seconds
        progress(step, 400, loss=1.23456, lr=0.01, equivariance=0.5, classification=0.25)
        if step == 300 and "fail" in sys.argv[1:]:
            raise {error}
    print("the weights are written")
    again = bars("CRF", "image")
    again(0, 3)
    again(2, 3)  # and no more: the next one ends its line
    bars("masks", "image")(0, 0)
    return "outputs/x: done"

main([])
"""


def terminal(program: str, *arguments: str, columns: int = 100) -> tuple[int, str]:
    """The program's exit code and what a terminal was sent."""
    command = [sys.executable, "-c", program, *arguments]
    done = run_on_terminal(command, ROOT, environment(), columns, timeout=60)
    return done.returncode, done.stderr


def pictures(sent: str) -> list[str]:
    """What one line of the terminal showed, one after the other."""
    return [part.rstrip() for part in re.split(r"[\r\n]+", sent) if part.strip()]


def test_a_bar_with_rate_time_left_and_figures() -> None:
    code, sent = terminal(SHOW.format(error="None"))
    assert code == 0
    shown = pictures(sent)
    assert shown[0].startswith("CAM training:  50%|")
    assert "200/400 [00:00<?" in shown[0], "it stands there at once"
    within = [part for part in shown if re.match(r"CAM training: +[6-9]\d%", part)]
    assert within
    for part in within:
        found = re.search(
            r"\| \d+/400 \[\d\d:\d\d<\d\d:\d\d, +([\d.]+)step/s, loss 1.235, lr 0.01(, .*)?\]$",
            part,
        )
        assert found, part
        assert float(found[1]) <= 200, "200 steps were done before"
        assert len(part) <= 100
    assert shown[-1].startswith("outputs/x: done ("), "on a line of its own"
    assert sum("400/400" in part for part in shown) == 1
    assert "\x1b[A" not in sent, "one bar at a time"
    ended, _, _ = sent.partition("the weights are written")
    assert re.search(r"400/400 [^\r\n]*\]\r?\n$", ended), "and it ends with its work"


def test_figures_that_do_not_fit_are_left_out_whole() -> None:
    narrow, wide = (pictures(terminal(SHOW.format(error="None"), columns=n)[1]) for n in (80, 160))
    last = [next(part for part in shown if "400/400" in part) for shown in (narrow, wide)]
    assert last[0].endswith("step/s, loss 1.235]")
    assert last[1].endswith("step/s, loss 1.235, lr 0.01, equivariance 0.5, classification 0.25]")


@pytest.mark.parametrize(
    ("error", "code", "last"),
    [
        (
            '__import__("hsc.base.errors").base.errors.HscError("tags.csv: bad")',
            1,
            "Error: tags.csv: bad",
        ),
        ('ValueError("a bug")', 1, "Traceback (most recent call last):"),
        ("KeyboardInterrupt", 1, "Aborted!"),
    ],
)
def test_an_error_ends_the_line_of_the_bar(error: str, code: int, last: str) -> None:
    found, sent = terminal(SHOW.format(error=error), "fail")
    assert found == code
    before, error_line, _ = sent.partition(last)
    assert error_line
    assert re.search(r"CAM training: +75%\|.*300/400 .*\]\s*\n\s*$", before), before[-200:]


def run_piped(program: str, *arguments: str) -> Any:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True, text=True, env=environment(), cwd=ROOT, timeout=60,
    )  # fmt: skip


def test_without_a_terminal_there_are_whole_lines_only() -> None:
    """The seconds of the log are made tenths: nobody waits half a minute for a test."""
    faster = "import hsc.base.shown_progress as shown\nshown._SECONDS = 0.2\n"
    done = run_piped(faster + SHOW.format(error="None"))
    assert done.returncode == 0
    lines = done.stderr.splitlines(keepends=True)
    assert 2 <= len(lines) <= 11
    for line in lines:
        assert re.fullmatch(
            r"CAM training: \d+/400 step \(\d+ %\), [\d.]+ step/s, (\d+:\d\d left|took \d+:\d\d), "
            r"loss 1\.235, lr 0\.01, equivariance 0\.5, classification 0\.25\n",
            line,
        )
    assert re.fullmatch(r"the weights are written\noutputs/x: done \(\d+\.\d s\)\n", done.stdout)


def test_without_a_terminal_short_work_is_silent() -> None:
    done = run_piped(SHOW.format(error="None"))
    assert (done.returncode, done.stderr) == (0, "")


def test_only_the_first_process_shows_anything() -> None:
    second = "import os\nos.environ.update(RANK='1', WORLD_SIZE='2', LOCAL_RANK='1', " \
        "LOCAL_WORLD_SIZE='2')\nimport sys\nsys.stderr.isatty = lambda: True\n"  # fmt: skip
    program = SHOW.replace("command", "training_stage").format(error="None")
    done = run_piped(second + program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "the weights are written\n", "")
    first = run_piped(second.replace("='1'", "='0'") + program)
    assert "CAM training:  50%|" in first.stderr
