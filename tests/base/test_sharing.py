"""Items shared out among processes: their order, their errors, and that none is left behind."""

import json
import subprocess
import sys

import pytest

from tests.stage_runs import ROOT, environment


def run(command: str, processes: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.base.turns", command],
        cwd=ROOT,
        env=environment(
            GLOO_SOCKET_IFNAME="lo", HSC_GPUS=str(processes), PYTHONPATH=f"{ROOT}:{ROOT}/tests"
        ),
        capture_output=True,
        text=True,
        timeout=100,
    )


def shown(done: subprocess.CompletedProcess[str]) -> object:
    """The summary, without its time."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.rpartition(" (")[0])


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_results_come_in_the_order_of_the_items(processes: int) -> None:
    given = [f"found by {n % processes}" if n % processes else "given" for n in range(3)]
    expected = [
        [[start + n * n, [n, n, n], given[n]] for n in range(3)] for start in (10, 20)
    ]  # fmt: skip
    assert shown(run("three", processes)) == expected


def test_nothing_to_do() -> None:
    assert shown(run("none", 2)) == [[], []]


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_an_error_comes_at_its_turn_and_once(processes: int) -> None:
    """The process that has the item is the first or another."""
    done = run("failing", processes)
    assert done.returncode == 1
    assert json.loads(done.stdout) == [0, 1]
    assert done.stderr.splitlines()[:-1] == ["Error: picture 2: broken"]


def test_a_bug_in_another_process_keeps_its_traceback() -> None:
    done = run("wrong", 2)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert "yield item // (item - 1)" in done.stderr


def test_a_killed_process_ends_the_command() -> None:
    done = run("dying", 2)
    assert done.returncode == 1
    error, page = done.stderr.splitlines()
    assert error.startswith("Error: process 1 of 2 was ended by SIGKILL"), "and nothing else"
    assert page.startswith("help: ")


def test_an_error_of_the_first_ends_the_others() -> None:
    done = run("first fails", 3)
    assert done.returncode == 1
    assert done.stderr.splitlines()[:-1] == ["Error: the first has failed"]
