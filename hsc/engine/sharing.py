"""Inference shared out among processes, a GPU each, with the results in the order of the items.

Process r of W has every W-th item, from the r-th, with its own loader and its own GPU, and may be a
few results ahead. Arithmetic is that of one process, so the results are its bytes (on CPUs for the
same number of threads).
"""

import contextlib
import multiprocessing
import os
import queue
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import torch

from hsc.base.errors import HscError
from hsc.base.launch import Place
from hsc.base.pool import end_with_parent
from hsc.engine.runtime import Runtime, own_gpu

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Sequence[Item], Runtime], Iterator[Result]]
"""One result an item, in their order. It has to pickle: a function of a module, or a partial."""

_AHEAD = 4  # results of each process that wait to be taken
_LOOK = 1.0  # seconds after which it is asked whether a process that is silent still lives


def in_turns(
    work: Work[Item, Result], items: Sequence[Item], runtime: Runtime, count: int
) -> Iterator[Result]:
    """Yield the result of each item, in order, from `count` processes; 1: from this one.

    Raises what the work raised, at that item's turn, and HscError where a process was killed.
    """
    count = min(count, len(items))
    if count <= 1:
        yield from work(items, runtime)
        return
    runtimes = [_share(runtime, rank, count) for rank in range(count)]
    context = multiprocessing.get_context("spawn")
    results = [context.Queue(_AHEAD) for _ in range(count)]
    with contextlib.ExitStack() as stack:
        running = []
        for rank, (own, to) in enumerate(zip(runtimes, results, strict=True)):
            arguments = (work, items[rank::count], own, _threads(count), to)
            process = context.Process(target=_run, args=arguments)
            stack.callback(_end, process)
            process.start()
            running.append(process)
        for number in range(len(items)):
            yield _take(results[number % count], running[number % count])


def _share(runtime: Runtime, rank: int, count: int) -> Runtime:
    """The same for one of several processes. Raises HscError for more processes than GPUs."""
    device = runtime.device
    if device.type == "cuda":
        device = own_gpu(device, Place(rank, count, rank, count))
    return replace(runtime, device=device, workers=-(-runtime.workers // count))


def _threads(count: int) -> int:
    """Torch's in each of several processes: as the environment says, or a share of the cores."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdecimal() else max(1, (os.cpu_count() or 1) // count)


def _run(work: Work, items: Sequence[Any], runtime: Runtime, threads: int, results: Any) -> None:
    """In a process of its own: hand on (True, result) for each item, or (False, error)."""
    end_with_parent()
    torch.set_num_threads(threads)
    try:
        for result in work(items, runtime):
            results.put((True, result))
    except Exception as error:
        results.put((False, error))


def _take(results: Any, process: BaseProcess) -> Any:
    """The next result of a process."""
    while True:
        lives = process.is_alive()  # before it is asked: what it handed on last still counts
        try:
            well, result = results.get(timeout=_LOOK)
        except queue.Empty:
            if lives:
                continue
            raise HscError(
                "a process of the inference died: it was killed, perhaps for want of memory; free "
                "memory or set HSC_GPUS lower and run the stage again"
            ) from None
        if well:
            return result
        raise result


def _end(process: BaseProcess) -> None:
    if process.pid is not None:
        process.kill()
        process.join()
