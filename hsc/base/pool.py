"""Work on many items in several processes, the results in the order of the items.

Workers are started fresh ("spawn"): a fork of a process that holds threads of torch or an open
HDF5 file would share their locks. So a script that gets here guards its entry with
`if __name__ == "__main__":`, and the function and the items must pickle.

The environment variable `HSC_PROCESSES` sets their number: where a stage runs is no parameter of
the science.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from hsc.base.errors import HscError, MachineError
from hsc.base.launch import read_place
from hsc.base.memory import keep_freed_memory

Item = TypeVar("Item")
Result = TypeVar("Result")

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",  # numpy's BLAS on a Mac
)  # fmt: skip
_AHEAD = 4  # items in flight for each worker: enough that none waits, few enough for the memory


def process_count(environment: Mapping[str, str] = os.environ) -> int:
    """The number of worker processes: `HSC_PROCESSES`, or one for each CPU that we may use.

    Of several processes of a machine that share the work each has its part of the CPUs. Raises
    HscError unless it is a number from 1.
    """
    text = environment.get("HSC_PROCESSES", "").strip()
    if not text:
        return max(1, _cpus() // read_place(environment).local_processes)
    if not text.isdecimal() or int(text) < 1:
        raise MachineError(f"HSC_PROCESSES: {text!r} is no number of processes; use 1, 2, ...")
    return int(text)


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_ordered(
    function: Callable[[Item], Result], items: Iterable[Item], processes: int
) -> Iterator[Result]:
    """Yield function(item) for each item, in order, whatever the number of processes.

    function: a function of a module, or a functools.partial of one. items: taken from the iterable
    as they are needed, so a generator may read them from a file in this process; at most 4 for
    each worker are in memory. processes: 1 runs everything here, without a pool. Each worker runs
    one thread of BLAS and OpenMP, and ends when this process dies.

    Raises what the function raised, at that item's turn; HscError when a worker was killed;
    ValueError, on the first item, for fewer than 1 process.
    """
    if processes < 1:
        raise ValueError(f"processes must be at least 1, got {processes}")
    if processes == 1:
        keep_freed_memory()
        yield from map(function, items)
        return
    pool = ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), initializer=_start_worker
    )
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            # the pool starts a worker inside submit(), while the variables are set
            with _one_thread():
                waiting.append(pool.submit(function, item))
            if len(waiting) >= _AHEAD * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise HscError(
            "a worker process died: it was killed, perhaps for want of memory, or could not "
            "start; free memory or set HSC_PROCESSES lower and run the stage again"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Set the thread variables for processes started meanwhile.

    They must stand in the environment before a worker imports numpy, and it does so before any
    initialiser runs, with the main script.
    """
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _start_worker() -> None:
    """In a worker, before its first item."""
    keep_freed_memory()
    end_with_parent()


def end_with_parent() -> None:
    """In a process that multiprocessing started: exit when the parent is gone.

    A worker that waits for work holds both ends of its queue and would wait for ever after a
    `kill -9` of the parent.
    """
    parent = multiprocessing.parent_process()

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    if parent is not None:
        threading.Thread(target=watch, daemon=True).start()
