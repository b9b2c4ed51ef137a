"""Several processes from one command: their places, what is told, that none is left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hsc.base.company import start_processes, wanted_processes
from hsc.base.errors import HscError
from hsc.base.launch import read_place

ROOT = Path(__file__).resolve().parents[2]


def python(code: str) -> list[str]:
    return [sys.executable, "-c", f"import os, sys, time, signal\n{code}"]


@pytest.mark.parametrize(
    ("environment", "count"),
    [
        ({}, 1),
        ({"HSC_GPUS": ""}, 1),
        ({"HSC_GPUS": "1"}, 1),
        ({"HSC_GPUS": "4"}, 4),
        ({"HSC_GPUS": "4", "WORLD_SIZE": "2", "RANK": "0"}, 1),
    ],
)
def test_the_variable(environment: dict[str, str], count: int) -> None:
    """One of several starts no others."""
    assert wanted_processes(environment) == count


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_no_number(value: str) -> None:
    with pytest.raises(HscError, match=r"HSC_GPUS: .* is no number of GPUs"):
        wanted_processes({"HSC_GPUS": value})


def test_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert wanted_processes({"HSC_GPUS": "all"}) == 3
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(HscError, match="no GPU is usable"):
        wanted_processes({"HSC_GPUS": "all"})


def test_each_knows_its_place(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """And the first alone is heard."""
    code = (
        f"open(f'{tmp_path}/' + os.environ['RANK'], 'w').write(repr(dict(os.environ)))\n"
        "print('out', os.environ['RANK']); print('note', os.environ['RANK'], file=sys.stderr)"
    )
    assert start_processes(python(code), 3) == 0
    told = [eval((tmp_path / str(rank)).read_text()) for rank in range(3)]
    assert [read_place(each) for each in told] == [(rank, 3, rank, 3) for rank in range(3)]
    assert len({each["MASTER_PORT"] for each in told}) == 1
    assert capfd.readouterr().err == "note 0\n"


def test_an_error_of_all_is_told_once(capfd: pytest.CaptureFixture[str]) -> None:
    assert start_processes(python("sys.exit('Error: wrong')"), 3) == 1
    assert capfd.readouterr().err == "Error: wrong\n"


def test_an_error_of_one_ends_the_others(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hsc.base.company._GRACE", 0.5)
    start = time.monotonic()
    code = "sys.exit('Error: mine') if os.environ['RANK'] == '1' else time.sleep(60)"
    assert start_processes(python(code), 3) == 1
    assert capfd.readouterr().err == "Error: mine\n"
    assert time.monotonic() - start < 30


def test_the_error_of_one_is_told_where_the_first_is_left_alone(
    capfd: pytest.CaptureFixture[str],
) -> None:
    code = "sys.exit('Error: mine' if os.environ['RANK'] == '2' else 75)"
    assert start_processes(python(code), 3) == 1
    assert capfd.readouterr().err == "Error: mine\n"
    with pytest.raises(HscError, match="the processes have lost each other"):
        start_processes(python("sys.exit(75)"), 2)


def test_a_killed_one_ends_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hsc.base.company._GRACE", 0.5)
    code = (
        f"open(f'{tmp_path}/' + os.environ['RANK'], 'w').write(str(os.getpid()))\n"
        "time.sleep(60) if os.environ['RANK'] == '0' else os.kill(os.getpid(), signal.SIGKILL)"
    )
    with pytest.raises(HscError, match="process 1 of 2 was ended by SIGKILL"):
        start_processes(python(code), 2)
    assert not any(runs(int(path.read_text())) for path in tmp_path.iterdir())


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_none_outlives_the_command(tmp_path: Path, by: signal.Signals) -> None:
    child = (
        "from hsc.base.company import end_with_starter; end_with_starter()\n"
        f"open(f'{tmp_path}/' + os.environ['RANK'], 'w').write(str(os.getpid()))\n"
        "time.sleep(60)"
    )
    code = f"from hsc.base.company import start_processes; start_processes({python(child)!r}, 2)"
    starter = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True
    )
    wait_for(lambda: sum(path.read_text() != "" for path in tmp_path.iterdir()) == 2)
    pids = [int(path.read_text()) for path in tmp_path.iterdir()]
    assert all(map(runs, pids))
    starter.send_signal(by)
    starter.wait(timeout=30)
    wait_for(lambda: not any(map(runs, pids)))


def wait_for(is_so: Callable[[], bool], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)


def runs(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
    except ProcessLookupError:
        return False


def test_threads_are_shared_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    code = f"open('{tmp_path}/threads', 'w').write(os.environ['OMP_NUM_THREADS'])"
    start_processes(python(code), 2)
    assert (tmp_path / "threads").read_text() == str(max(1, (os.cpu_count() or 1) // 2))
