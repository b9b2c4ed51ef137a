"""Paired differences: mean, spread, Student's 95 % interval and paired t-test."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


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


def p_value(t: float, df: int) -> float:
    """Two-sided: how often |T| is at least |t|, in [0, 1]; exact to about 1e-15."""
    return max(0.0, 1.0 - _inside(math.atan(abs(t) / math.sqrt(df)), df))


def quantile(df: int, probability: float = 0.975) -> float:
    """Student's t with df degrees of freedom: the value that is not exceeded so often.

    probability: in [0.5, 1). Found by bisection over the angle whose tangent is t / sqrt(df).
    """
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        if _inside(middle, df) < 2 * probability - 1:
            low = middle
        else:
            high = middle
    return math.sqrt(df) * math.tan(low)


def _inside(angle: float, df: int) -> float:
    """How often |T| stays below sqrt(df) * tan(angle): finite sums for whole degrees of freedom.

    Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 26.7.3 and 26.7.4. They need
    no library: importing scipy takes longer than a whole comparison.
    """
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = df % 2
    term, total = (cosine if odd else 1.0), 0.0
    for power in range(odd, df - 1, 2):  # of the cosine in this term
        total += term
        term *= (power + 1) / (power + 2) * cosine**2
    if odd:
        return 2 / math.pi * (angle + sine * total)
    return sine * total
