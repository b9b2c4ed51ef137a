"""Items shared out among processes: their order, their errors, and that none is left behind."""

import json
import subprocess
import sys

import pytest

from tests.stage_runs import ROOT, environment

START = """
import sys
from hsc.base.company import start_processes
from hsc.base.errors import HscError
command = [sys.executable, "-m", "tests.base.turns", sys.argv[1]]
try:
    sys.exit(start_processes(command, int(sys.argv[2])))
except HscError as error:
    sys.exit(f"Error: {error}")
"""


def run(command: str, processes: int) -> subprocess.CompletedProcess[str]:
    if processes == 1:
        program = ["-m", "tests.base.turns", command]
    else:
        program = ["-c", START, command, str(processes)]
    return subprocess.run(
        [sys.executable, *program],
        cwd=ROOT,
        env=environment(GLOO_SOCKET_IFNAME="lo", PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_results_come_in_the_order_of_the_items(processes: int) -> None:
    done = run("three", processes)
    assert done.returncode == 0, done.stderr
    given = [f"found by {n % processes}" if n % processes else "given" for n in range(3)]
    expected = [
        [[start + n * n, [n, n, n], given[n]] for n in range(3)] for start in (10, 20)
    ]  # fmt: skip
    assert json.loads(done.stdout) == expected


def test_nothing_to_do() -> None:
    assert json.loads(run("none", 2).stdout) == [[], []]


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_an_error_comes_at_its_turn_and_once(processes: int) -> None:
    """The process that has the item is the first or another."""
    done = run("failing", processes)
    assert done.returncode == 1
    assert json.loads(done.stdout) == [0, 1]
    assert done.stderr.splitlines() == ["Error: picture 2: broken"]


def test_a_bug_in_another_process_keeps_its_traceback() -> None:
    done = run("wrong", 2)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert "yield item // (item - 1)" in done.stderr


def test_a_killed_process_ends_the_command() -> None:
    done = run("dying", 2)
    assert done.returncode == 1
    assert "Error: process 1 of 2 was ended by SIGKILL" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_of_the_first_ends_the_others() -> None:
    done = run("first fails", 3)
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["Error: the first has failed"]
