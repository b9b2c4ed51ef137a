"""Markdown tables, and how numbers stand in them."""

import statistics
from collections.abc import Iterable, Sequence

NONE = "\u2013"
MINUS = "\u2212"


def markdown(header: Sequence[str], lines: Iterable[Sequence[str]], pad: bool = False) -> str:
    """A Markdown table; with `pad` its columns are as wide as in a terminal they should be."""
    rows = [list(header), ["---"] * len(header), *map(list, lines)]
    if pad:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        rows[1] = ["-" * width for width in widths]
        rows = [
            [cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows
        ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def number(value: float | None, digits: int = 1, sign: bool = False) -> str:
    """Rounded, with its sign where asked for; a dash for None."""
    if value is None:
        return NONE
    rounded = round(value, digits) + 0.0  # -0.0 becomes 0.0
    return f"{rounded:{'+' if sign else ''}.{digits}f}"


def spread(values: Sequence[float], count: bool = False) -> str:
    """Mean ± sample sd, with the number of runs in brackets where asked for."""
    if not values:
        return NONE
    text = number(statistics.fmean(values))
    if len(values) > 1:
        text += f" ± {number(statistics.stdev(values))}"
    return f"{text} ({len(values)})" if count else text


def p_text(p: float | None) -> str:
    """A p value to three digits."""
    return "< 0.001" if p is not None and p < 0.0005 else number(p, 3)
