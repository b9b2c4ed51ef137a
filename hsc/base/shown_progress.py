"""How progress looks: a bar on a terminal, now and then a whole line in a log."""

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from tqdm import tqdm

from hsc.base import duration

_SECONDS = 10.0  # between two lines of a log, at least
_TENTHS = 10  # and so many lines of one piece of work, at most
_UNKNOWN_SECONDS = 60  # between two lines of work whose total nobody knows
_BAR = 10  # columns of a bar at least
_MEASURES = 40  # and of the percentage, the times and the rate behind it
_SIZES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


class TerminalBar:
    """A `hsc.base.progress.Progress` as a bar of tqdm on stderr, as wide as the terminal."""

    def __init__(self, title: str, unit: str) -> None:
        self._title, self._unit = title, unit
        self._bar: tqdm | None = None

    def __call__(self, done: int, total: int, /, **figures: float) -> None:
        if self._bar is None:
            self._bar = self._open(done, total)
        bar, bar.total = self._bar, total or None
        bar.set_postfix_str(self._fitting(total, figures), refresh=False)
        if done >= total > 0:
            bar.n = done
            bar.close()  # draws it: `update` might have done so too
        else:
            bar.update(done - bar.n)

    def close(self) -> None:
        """End the bar's line, wherever it stands."""
        if self._bar is not None:
            self._bar.close()

    def _open(self, done: int, total: int) -> tqdm:
        scaled = {"unit_scale": True, "unit_divisor": 1000} if self._unit == "B" else {}
        return tqdm(
            desc=self._title,
            unit=self._unit,
            initial=done,
            total=total or None,
            dynamic_ncols=True,
            mininterval=0.2,
            miniters=0,  # look at the clock at every call: the next one may be a minute away
            smoothing=0.1,
            **scaled,
        )

    def _fitting(self, total: int, figures: Mapping[str, float]) -> str:
        """The figures that leave room for a bar."""
        room = _columns() - len(self._title) - 2 * len(str(total)) - _MEASURES - _BAR
        shown = ""
        for text in map(_named, figures.items()):
            longer = f"{shown}, {text}" if shown else text
            if len(longer) > room:
                break
            shown = longer
        return shown


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


class _Mark(NamedTuple):
    """A moment of the work."""

    time: float
    done: int
    part: int  # tenths of the work


class LogLines:
    """A `hsc.base.progress.Progress` in whole lines, for where there is no terminal.

    One line after 10 seconds, then one every 10 seconds or every tenth of the work, whichever is
    rarer; none for work that is over before. The rate and the time left are those since the line
    before.
    """

    def __init__(
        self,
        title: str,
        unit: str,
        write: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title, self._unit, self._write, self._clock = title, unit, write, clock
        self._start: _Mark | None = None
        self._last: _Mark | None = None

    def __call__(self, done: int, total: int, /, **figures: float) -> None:
        now = self._now(done, total)
        if self._start is None or done < self._start.done:  # the latter: the work began anew
            self._start = self._last = now
        elif self._is_due(now):
            self._write(self._line(now, total, figures))
            self._last = now

    def _now(self, done: int, total: int) -> _Mark:
        moment = self._clock()
        if total:
            return _Mark(moment, done, _TENTHS * done // total)
        begun = moment if self._start is None else self._start.time
        return _Mark(moment, done, int((moment - begun) // _UNKNOWN_SECONDS))

    def _is_due(self, now: _Mark) -> bool:
        if now.time - self._last.time < _SECONDS:
            return False
        return self._last is self._start or now.part > self._last.part

    def _line(self, now: _Mark, total: int, figures: Mapping[str, float]) -> str:
        rate = max(0.0, (now.done - self._last.done) / (now.time - self._last.time))
        parts = [self._amount(now.done, total), f"{self._number(rate)}/s"]
        if now.done >= total > 0:
            parts.append(f"took {duration.clock(now.time - self._start.time)}")
        elif total and rate:
            parts.append(f"{duration.clock((total - now.done) / rate)} left")
        return f"{self._title}: " + ", ".join([*parts, *map(_named, figures.items())])

    def _amount(self, done: int, total: int) -> str:
        if not total:
            return self._number(done)
        share = f"({100 * done // total} %)"
        if self._unit == "B":
            return f"{_size(done)} of {_size(total)} {share}"
        return f"{done}/{total} {self._unit} {share}"

    def _number(self, value: float) -> str:
        return _size(value) if self._unit == "B" else f"{_short(value, 3)} {self._unit}"


def _named(figure: tuple[str, float]) -> str:
    name, value = figure
    return f"{name} {_short(value)}"


def _short(value: float, digits: int = 4) -> str:
    whole = isinstance(value, int) or abs(value) >= 1000
    return f"{value:.0f}" if whole else f"{value:.{digits}g}"


def _size(value: float) -> str:
    for size, name in _SIZES:
        if value >= size:
            return f"{_short(value / size, 3)} {name}"
    return f"{value:.0f} B"
