"""How long work tells how far it is, without knowing who shows it."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with how much is done and how much there is in all; equal when it is done."""

Bars = Callable[[str, str], Progress]
"""Called with a title and a unit (`B` for bytes) for each piece of work; shows its progress."""


def silent(title: str, unit: str) -> Progress:
    """Shows nothing."""
    return lambda done, total: None
