"""The items of a command shared out among processes, also of several machines.

The first process runs the command; the others, which torchrun or `HSC_GPUS` has started
(`hsc.base.company`), wait for their share of the items and send back what they make of them. All
see the same files. Process r of W has every W-th item, from the r-th, and may be a few results
ahead. Arithmetic is that of one process, so the results are its bytes (on CPUs for the same number
of threads).

Torch, whose Gloo carries the messages, is imported only where there are several processes.
"""

import traceback
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from hsc.base.behind import behind
from hsc.base.company import LEFT_ALONE
from hsc.base.errors import HscError
from hsc.base.launch import read_place
from hsc.base.machine_problems import is_left_alone

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[..., Iterator[Result]]
"""Called with items and what it works with: one result an item, in their order. It has to pickle:
a function of a module, or a partial of one."""

_PATIENCE = timedelta(days=2)  # for one item, and for the command's end


def in_turns(
    work: Work[Result],
    items: Sequence[Item],
    here: Sequence[Any],
    there: Sequence[Callable[[], Any]],
) -> Iterator[Result]:
    """Yield the result of each item, in order; with other processes, where they take part.

    here: what the work is called with behind the items, such as this process's device. there: what
    each of the others asks for the same; it has to pickle.
    Raises what the work raised, at that item's turn, and RuntimeError, as Gloo words it, where a
    process is gone (`hsc.base.machine_problems.is_left_alone`).
    """
    count = min(_processes(), len(items))
    for rank in range(1, count):
        _send((work, items[rank::count], there), rank)
    own = work(items[:: count or 1], *here)
    for number in range(len(items)):
        rank = number % count
        yield _taken(rank) if rank else next(own)
    yield from own  # it has no more, but may have something to end


def with_helpers(command: Callable[[], Result]) -> Result | None:
    """Run a command whose `in_turns` may share; None in a process that has helped another's.

    Raises what the command raises, and HscError as `read_place`.
    """
    place = read_place()
    if place.processes == 1:
        return command()
    import torch.distributed as dist

    dist.init_process_group("gloo", timeout=_PATIENCE)
    try:
        if place.rank:
            _help()
            return None
        result = command()
        for rank in range(1, place.processes):
            _send(None, rank)
        return result
    finally:
        dist.destroy_process_group()


def _help() -> None:
    """Do the first process's jobs until it has no more. Ends the process when that one is gone."""
    try:
        _do_jobs()
    except RuntimeError as error:
        if not is_left_alone(error):
            raise
        # The first has told why, or whoever started them will.
        raise SystemExit(LEFT_ALONE) from None


def _do_jobs() -> None:
    while (job := _receive(0)) is not None:
        work, items, there = job
        with behind(_send) as send:
            try:
                for result in work(items, *(find() for find in there)):
                    send((True, result), 0)
            except Exception as error:
                if not isinstance(error, HscError):
                    error.add_note(f"in another process:\n{traceback.format_exc()}")
                send((False, error), 0)


def _processes() -> int:
    """How many take part: 1 in a command that nobody helps."""
    if read_place().processes == 1:
        return 1
    import torch.distributed as dist

    return dist.get_world_size() if dist.is_initialized() else 1


def _taken(rank: int) -> Any:
    """The next result of a process."""
    well, result = _receive(rank)
    if not well:
        raise result
    return result


def _send(value: Any, rank: int) -> None:
    import torch.distributed as dist

    dist.send_object_list([value], rank)


def _receive(rank: int) -> Any:
    import torch.distributed as dist

    held = [None]
    dist.recv_object_list(held, rank)
    return held[0]
