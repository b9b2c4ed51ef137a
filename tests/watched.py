"""Bars for tests, which remember what they were told."""

from hsc.base.progress import Progress

Call = tuple[int, int, dict[str, float]]


class Watched:
    """`bars` in place of a real one.

    shown: title, unit and calls, (done, total, figures), of each piece of work, in order.
    """

    def __init__(self) -> None:
        self.shown: list[tuple[str, str, list[Call]]] = []

    def bars(self, title: str, unit: str) -> Progress:
        calls: list[Call] = []
        self.shown.append((title, unit, calls))

        def progress(done: int, total: int, /, **figures: float) -> None:
            calls.append((done, total, figures))

        return progress

    def calls(self, title: str) -> list[Call]:
        """Those of the only work of that title."""
        (found,) = (calls for shown, _, calls in self.shown if shown == title)
        return found

    def done(self) -> dict[str, tuple[int, int]]:
        """By title: how far it came, and of how much."""
        return {title: calls[-1][:2] for title, _, calls in self.shown}
