"""Many problems in one error: whoever mends a folder wants to know them all at once."""

from collections.abc import Sequence

SHOWN = 10
"""So many are told word for word; of the others only how many they are."""


def listed(lines: Sequence[str]) -> str:
    """The first ten lines, indented, and how many more there are."""
    shown = [f"  {line}" for line in lines[:SHOWN]]
    if len(lines) > SHOWN:
        shown.append(f"  ... and {len(lines) - SHOWN} more")
    return "\n".join(shown)


def in_one(head: str, lines: Sequence[str]) -> str:
    """One problem as `head: line`, several as a list under `head`."""
    if len(lines) == 1:
        return f"{head}: {lines[0]}"
    return f"{head}: {len(lines)} problems\n{listed(lines)}"


def section(head: str, lines: Sequence[str]) -> str:
    """As `in_one` for lines that name their file themselves; nothing where there is none."""
    return lines[0] if len(lines) == 1 else in_one(head, lines) if lines else ""


def some(names: Sequence[str]) -> str:
    """The first ten names, and how many there are if they are more."""
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown}, ... {len(names)} in all"
