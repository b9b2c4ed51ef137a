"""What every part of the benchmarks measures: a plain reference beside what the package does."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PartResult:
    """One line of the table. Seconds are medians, `ratio` is reference over fast."""

    part: str
    reference: str
    fast: str
    reference_seconds: float
    fast_seconds: float
    ratio: float
    wanted: float
    agreement: str


def side_by_side(
    reference: Callable[[], Any], fast: Callable[[], Any], repeats: int
) -> tuple[float, float]:
    """Median seconds of both, run in turns so that a busy machine slows both alike.

    Each runs once before, unmeasured.
    """
    reference()
    fast()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for function, found in zip((reference, fast), times, strict=True):
            start = time.perf_counter()
            function()
            found.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])
