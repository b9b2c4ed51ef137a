"""A part of the measurements: what its module gives, and timing side by side.

A part is a module `benchmarks/parts/NAME.py` with `measure(repeats: int) -> PartResult`. It runs a
plain version and the one that the pipeline uses on the same input and raises `Disagreement` where
their results differ by more than it says.
"""

import importlib
import pkgutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import benchmarks.parts


class Disagreement(Exception):  # noqa: N818
    """The plain version and the fast one gave different results."""


@dataclass(frozen=True)
class PartResult:
    """One line of the table.

    reference, fast: in words, the plain version and the pipeline's. reference_seconds,
    fast_seconds: what they take, medians, in `unit`: "s", or "B" for a part that measures bytes.
    wanted: the least ratio that is good enough. agreement: how far their results are the same, and
    what else has to be said.
    """

    reference: str
    fast: str
    reference_seconds: float
    fast_seconds: float
    wanted: float
    agreement: str
    unit: str = "s"

    @property
    def ratio(self) -> float:
        """What the plain version takes over what the pipeline's does."""
        return self.reference_seconds / self.fast_seconds


def side_by_side(
    reference: Callable[[], Any], fast: Callable[[], Any], repeats: int
) -> tuple[float, float]:
    """Median seconds of both, run in turns in this process, so that both meet the same load.

    Raises ValueError for fewer than 1 repeat.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}")
    pairs = [(seconds(reference), seconds(fast)) for _ in range(repeats)]
    first, second = zip(*pairs, strict=True)
    return statistics.median(first), statistics.median(second)


def seconds(function: Callable[[], Any]) -> float:
    """Seconds of one call, by the clock on the wall."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def part_names() -> list[str]:
    """The modules of the folder `parts`, sorted. None is imported."""
    return sorted(found.name for found in pkgutil.iter_modules(benchmarks.parts.__path__))


def measure(name: str, repeats: int) -> PartResult:
    """Run a part. Raises what the part raises."""
    return importlib.import_module(f"benchmarks.parts.{name}").measure(repeats)
