"""Loaders: training batches by step, and whole pictures one by one."""

import errno
import multiprocessing
import multiprocessing.queues
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from hsc.base.distributed import own_share, processes
from hsc.base.errors import HscError, MachineError
from hsc.data.stream import StepSampler
from hsc.engine.runtime import Runtime


def step_batches(
    samples: Dataset[dict[str, Tensor]], seed: int, batch_size: int, steps: int, runtime: Runtime
) -> Callable[[int], Iterable[dict[str, Tensor]]]:
    """The batches of a training from any step on, the same for any number of workers.

    In a distributed run each process loads its own share of every batch; `batch_size` is that of
    the whole. Raises HscError when it cannot be shared out evenly.
    """
    if batch_size % processes():
        raise MachineError(
            f"batch_size: {batch_size} pictures cannot be shared among {processes()} processes; "
            "change one of them"
        )

    def batches(start: int) -> Iterable[dict[str, Tensor]]:
        sampler = StepSampler(seed, len(samples), batch_size, start, steps)  # type: ignore[arg-type]
        own = [own_share(batch) for batch in sampler]
        return _Loader(samples, batch_sampler=own, **_loader_options(runtime))

    return batches


def in_order(samples: Dataset[Any], runtime: Runtime) -> Iterable[Any]:
    """The items of a data set in order, unbatched: pictures differ in size."""
    return _Loader(samples, batch_size=None, **_loader_options(runtime))


_UNSENT = ("exited unexpectedly", "allocate shared memory")
"""Of torch, for a worker that ended by itself and for one that collates a batch."""
_FULL = (
    "most likely because /dev/shm is full; start the container with a larger one "
    "(--shm-size=8g), or set HSC_WORKERS=0"
)


class _Loader(DataLoader[Any]):
    """Raises a worker's HscError as it was: torch makes the worker's traceback its text.

    A worker that cannot be started, or hand over what it has loaded, is an HscError too.
    """

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._started()
        except HscError as error:
            kind = type(error)
            raise kind(str(error).rpartition(f"{kind.__name__}: ")[2].strip()) from None
        except RuntimeError as error:
            if not any(words in str(error) for words in _UNSENT):
                raise
            _end_workers()
            raise MachineError(
                f"a loader process could not hand over what it had loaded, {_FULL}"
            ) from None

    def _started(self) -> Iterator[Any]:
        """Torch's iterator, whose workers run. Raises HscError where there is no room for them."""
        # A half made iterator cannot be taken down: torch prints an error when it is dropped, here.
        hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
        try:
            return super().__iter__()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        finally:
            sys.unraisablehook = hook
        _end_workers()
        raise MachineError(f"loader processes could not be started, {_FULL}")


def _end_when_unsent(worker: int) -> None:
    """Let a worker end when it cannot send a batch: torch would wait for it for ever.

    That is so where /dev/shm is full: the error is raised in a thread of the queue's, which prints
    it and goes on.
    """
    multiprocessing.queues.Queue._on_queue_feeder_error = staticmethod(_end)  # type: ignore[method-assign]


def _end_workers() -> None:
    """End what other workers there are, without a word.

    One that is just starting would print a traceback when its queues are gone, and torch, whose
    handler of SIGCHLD raises for every one that ends, another.
    """
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        for process in multiprocessing.active_children():
            process.terminate()
            process.join()
    finally:
        signal.signal(signal.SIGCHLD, before)


def _end(error: Exception, item: Any) -> None:
    os._exit(1)


def _loader_options(runtime: Runtime) -> dict[str, Any]:
    # Forked workers would inherit torch's threads and open HDF5 files in an unknown state.
    context = "spawn" if runtime.workers else None
    return {
        "num_workers": runtime.workers,
        "multiprocessing_context": context,
        "worker_init_fn": _end_when_unsent,
        "pin_memory": runtime.device.type == "cuda",
        # A loader draws a seed when it starts, and a resumed training starts one more of them: with
        # the global generator, its dropout would not be the undisturbed run's.
        "generator": torch.Generator(),
    }
