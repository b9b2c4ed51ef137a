"""Work that another thread does, call by call, while this one goes on."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

_CALLS = 4  # that wait


@contextlib.contextmanager
def behind(work: Callable[..., None]) -> Iterator[Callable[..., None]]:
    """Yield a function that has `work` done by another thread, the calls in their order.

    What `work` raises is raised up to five calls later, at the latest at the end of the block.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        begun: deque[Future[None]] = deque()

        def later(*arguments: object) -> None:
            begun.append(thread.submit(work, *arguments))
            if len(begun) > _CALLS:
                begun.popleft().result()

        yield later
        for one in begun:
            one.result()
