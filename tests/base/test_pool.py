"""The process pool: order, memory, one thread a worker, errors and deaths."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hsc.base.errors import HscError
from hsc.base.pool import map_ordered, process_count

REPOSITORY = Path(__file__).resolve().parents[2]


def square(number):
    # the first items take longest, so that results come in out of order
    time.sleep(0.02 if number < 3 else 0)
    return number * number


def thread_variables(_):
    return os.getpid(), os.environ.get("OMP_NUM_THREADS"), os.environ.get("OPENBLAS_NUM_THREADS")


def threads_after_a_product(number):
    matrix = np.full((300, 300), float(number))
    assert (matrix @ matrix).shape == (300, 300)
    return len(os.listdir("/proc/self/task"))


def fail_at_three(number):
    if number == 3:
        raise HscError("picture 3: broken; mend it")
    return number


def die_at_two(number):
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_items(processes):
    assert list(map_ordered(square, range(20), processes)) == [n * n for n in range(20)]
    assert list(map_ordered(square, [], processes)) == []


def test_only_a_window_of_the_items_is_taken():
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    results = map_ordered(square, items(), 2)
    assert next(results) == 0
    assert len(taken) == 8  # 4 for each of 2 workers
    results.close()
    assert len(taken) == 8


@pytest.mark.parametrize(("processes", "ahead"), [(1, 1), (2, 8), (3, 12)])
def test_never_more_than_four_items_a_worker_are_ahead(processes, ahead):
    """From the first item to the last: taken from the iterable, but their results not yet given."""
    given, lead = 0, []

    def items():
        for number in range(30):
            lead.append(number + 1 - given)
            yield number

    for _ in map_ordered(abs, items(), processes):
        given += 1
    assert given == 30
    assert max(lead) == ahead


def test_workers_are_gone_when_the_iterable_fails():
    def items():
        yield from range(3)
        raise HscError("file 3: unreadable")

    with pytest.raises(HscError, match="file 3"):
        list(map_ordered(abs, items(), 2))
    assert not multiprocessing.active_children()


def test_workers_run_one_thread_and_the_caller_keeps_its_own(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    results = list(map_ordered(thread_variables, range(4), 2))
    assert all(found[0] != os.getpid() and found[1:] == ("1", "1") for found in results)
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert "OPENBLAS_NUM_THREADS" not in os.environ


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="counts threads in /proc")
def test_a_worker_multiplies_matrices_in_one_thread(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "4")
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    # the second one waits for the parent's end
    assert set(map_ordered(threads_after_a_product, range(4), 2)) == {2}


@pytest.mark.parametrize("processes", [1, 2])
def test_the_error_of_a_worker_reaches_the_caller_at_its_turn(processes):
    results = map_ordered(fail_at_three, range(10), processes)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(HscError, match="picture 3: broken"):
        next(results)


def test_a_killed_worker_is_an_error_that_says_so():
    with pytest.raises(HscError, match=r"worker process died.*HSC_PROCESSES"):
        list(map_ordered(die_at_two, range(10), 2))


def test_fewer_than_one_process_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        next(map_ordered(square, [1], 0))


def test_the_number_of_processes_comes_from_the_environment():
    assert process_count({"HSC_PROCESSES": "3"}) == 3
    assert process_count({}) >= 1
    for wrong in ("0", "-1", "many", "1.5"):
        with pytest.raises(HscError, match="HSC_PROCESSES"):
            process_count({"HSC_PROCESSES": wrong})


SCRIPT = """
import os, time
from hsc.base.pool import map_ordered

def work(number):
    return os.getpid()

if __name__ == "__main__":
    results = map_ordered(work, iter(range(1000)), 2)
    print(next(results), flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks processes up in /proc")
def test_workers_end_when_the_parent_is_killed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # the tracker's complaint about what the dead parent left
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    worker = Path("/proc") / parent.stdout.readline().decode().strip()
    assert worker.exists()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while _alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(worker)


def _alive(process):
    """Whether a process runs; one that ended may stay in the table as a zombie."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
