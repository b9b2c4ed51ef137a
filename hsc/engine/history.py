"""The loss terms of a training as a table for plots."""

import csv
from pathlib import Path

from hsc.base.files import atomic_file
from hsc.engine.training import History


def write_history(path: Path, history: History) -> None:
    """Write a CSV with a line a step: step, lr and every loss term, six significant digits.

    Raises ValueError for an empty history.
    """
    if not history:
        raise ValueError("no steps to write")
    with atomic_file(path) as partial, partial.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(history[0])
        for row in history:
            step, *values = row.values()
            writer.writerow([int(step), *(f"{value:.6g}" for value in values)])
