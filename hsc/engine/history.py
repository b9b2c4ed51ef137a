"""The loss terms of a training as a table for plots."""

import csv
from pathlib import Path

from hsc.base.files import atomic_file

History = list[dict[str, float]]
"""A row a step: step, lr, loss and its terms."""
_FIRST = ("lr", "loss")


def write_history(path: Path, history: History) -> None:
    """Write a CSV with a line a step: step, lr and every loss term, six significant digits.

    A row may have its terms in any order, as JSON sorts them. Raises ValueError for an empty
    history.
    """
    if not history:
        raise ValueError("no steps to write")
    terms = [name for name in history[0] if name not in ("step", *_FIRST)]
    columns = [*(name for name in _FIRST if name in history[0]), *terms]
    with atomic_file(path) as partial, partial.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["step", *columns])
        for row in history:
            values = (row[name] for name in columns)
            writer.writerow([int(row["step"]), *(f"{value:.6g}" for value in values)])
