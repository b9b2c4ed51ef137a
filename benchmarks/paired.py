"""Paired differences: mean, spread, Student's 95 % interval and paired t-test."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import special


@dataclass(frozen=True)
class Paired:
    """What n differences say; what n does not allow is None.

    sd: sample standard deviation (n - 1), from two on. half: half width of the 95 % interval of
    the mean. t, p: of the two-sided paired t-test against a mean of 0; None, too, where all
    differences are equal.
    """

    n: int
    mean: float
    sd: float | None
    half: float | None
    t: float | None
    p: float | None


def quantile(df: int, probability: float = 0.975) -> float:
    """Student's t with df degrees of freedom: the value that is not exceeded so often."""
    return float(special.stdtrit(df, probability))


def p_value(t: float, df: int) -> float:
    """Two-sided: how often |T| is at least |t|, in [0, 1]."""
    return float(2 * special.stdtr(df, -abs(t)))


def paired(differences: Sequence[float]) -> Paired:
    """The summary of differences in one unit. Raises ValueError without any."""
    n = len(differences)
    if n == 0:
        raise ValueError("no differences to summarise")
    mean = statistics.fmean(differences)
    if n == 1:
        return Paired(1, mean, None, None, None, None)
    sd = statistics.stdev(differences)
    error = sd / math.sqrt(n)
    half = quantile(n - 1) * error
    if error == 0:
        return Paired(n, mean, sd, half, None, None)
    return Paired(n, mean, sd, half, mean / error, p_value(mean / error, n - 1))
