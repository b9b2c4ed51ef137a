"""A command in several processes by one variable: `HSC_GPUS=4 dvc repro`, or `all`.

The stage's command starts itself once a GPU and waits. The processes are told their places as
torchrun does it (`hsc.base.launch`), so nothing else knows who started them. An error is told once;
when one process dies the others are ended, and none outlives the command.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

from hsc.base.errors import MachineError

_PARENT = "STARTED_BY_HSC"  # process id of the command that started this one
LEFT_ALONE = 75
"""Exit code of a process that says nothing, as another one is gone and tells why."""
_GRACE = 10.0  # seconds in which the others may still end by themselves, with the same error
_LOOK = 0.2  # seconds between two looks


def wanted_processes(environment: Mapping[str, str] = os.environ) -> int:
    """How many processes `HSC_GPUS` asks this command to start; 1: none, it does the work itself.

    One that torchrun or another command started starts no others. Raises HscError for what is no
    number, and for `all` without a GPU.
    """
    text = environment.get("HSC_GPUS", "").strip() or "1"
    if "WORLD_SIZE" in environment:
        return 1
    if text == "all":
        import torch  # which takes seconds to load

        if not (count := torch.cuda.device_count()):
            raise MachineError("HSC_GPUS: all of none, since no GPU is usable; leave it out")
        return count
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text):
        raise MachineError(f"HSC_GPUS: {text!r} is no number of GPUs; use 1, 2, ... or all")
    return int(text)


def start_processes(command: Sequence[str], count: int) -> int:
    """Run a command in `count` processes; the exit code of the whole, 0 when all ended well.

    The first one has this process's output. What another wrote to stderr is shown where the first
    had nothing to say. Raises HscError when one was killed.
    """
    with contextlib.ExitStack() as stack:
        notes = [None, *(stack.enter_context(tempfile.TemporaryFile()) for _ in range(count - 1))]
        with _started(command, notes) as running:
            codes = _wait(running)
        return _tell(codes, notes)


def _wait(running: Sequence[subprocess.Popen[bytes]]) -> list[int | None]:
    """Exit codes once all have ended well, or one has not; None for one that still runs then."""
    while all(process.poll() in (None, 0) for process in running):
        if all(process.poll() == 0 for process in running):
            return [0] * len(running)
        time.sleep(_LOOK)
    until = time.monotonic() + _GRACE
    while time.monotonic() < until and any(process.poll() is None for process in running):
        time.sleep(_LOOK)
    return [process.poll() for process in running]


def _tell(codes: Sequence[int | None], notes: Sequence[IO[bytes] | None]) -> int:
    """The exit code for those of the processes, None for one that had to be ended."""
    for rank, code in enumerate(codes):
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            raise MachineError(
                f"process {rank} of {len(codes)} was ended by {name}, perhaps for want of memory, "
                "and the others with it; run the stage again: it goes on from its last checkpoint"
            )
    told_last = sorted(zip(codes, notes, strict=True), key=lambda pair: pair[0] == LEFT_ALONE)
    for code, note in told_last:
        if code == LEFT_ALONE:
            raise MachineError("the processes have lost each other; run the same command again")
        if code:
            if note is not None:  # the first process has told itself
                note.seek(0)
                sys.stderr.write(note.read().decode(errors="replace"))
            return code
    return 0


@contextlib.contextmanager
def _started(
    command: Sequence[str], notes: Sequence[IO[bytes] | None]
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The processes, of which none is left at the end."""
    count = len(notes)
    threads = str(max(1, (os.cpu_count() or 1) // count))
    shared = {
        "OMP_NUM_THREADS": threads,
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        _PARENT: str(os.getpid()),
    }
    running: list[subprocess.Popen[bytes]] = []
    try:
        for rank, note in enumerate(notes):
            place = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            running.append(subprocess.Popen(command, env=shared | place, stderr=note))
        yield running
    finally:
        for process in running:
            process.kill()
        for process in running:
            process.wait()


def is_started(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether `start_processes` has started this process, and tells what becomes of all."""
    return _PARENT in environment


def end_with_starter(environment: Mapping[str, str] = os.environ) -> None:
    """In a process that `start_processes` started: exit when the command that did so is gone."""
    if not is_started(environment):
        return
    starter = int(environment[_PARENT])

    def watch() -> None:
        while os.getppid() == starter:
            time.sleep(_LOOK)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
