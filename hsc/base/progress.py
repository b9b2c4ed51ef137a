"""How long work tells how far it is, without knowing who shows it."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

_Item = TypeVar("_Item")


class Progress(Protocol):
    """Called with how much is done and how much there is in all.

    The first call says where the work starts (what was done before does not count for its rate),
    the last one has them equal. A total of 0: nobody knows it yet. figures: the current losses or
    counts, what matters most first.
    """

    def __call__(self, done: int, total: int, /, **figures: float) -> None: ...


Bars = Callable[[str, str], Progress]
"""Called with a title and a unit (`image`, `step`, `B` for bytes) for each piece of work."""


def unseen(done: int, total: int, /, **figures: float) -> None:
    """A progress that nobody sees."""


def silent(title: str, unit: str) -> Progress:
    """Shows nothing."""
    return unseen


def follow(
    items: Iterable[_Item], total: int, progress: Progress, before: int = 0
) -> Iterator[_Item]:
    """The items; `progress` is called first and whenever the work on one of the `total` is done.

    before: how many of them were done by another run and are not among the items.
    """
    progress(before, total)
    for done, item in enumerate(items, before + 1):
        yield item
        progress(done, total)
