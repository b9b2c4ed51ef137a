"""Times as people read them, and the seconds back out of a summary line."""

import re

PATTERN = r"(?:(\d+\.\d) s|(\d+) min (\d\d) s|(\d+) h (\d\d) min)"
"""What `describe` writes, as a regular expression with the groups that `seconds_of` wants."""


def describe(seconds: float) -> str:
    """`12.3 s` below a minute, `2 min 13 s` below an hour, then `1 h 02 min`."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min"


def seconds_of(text: str) -> float:
    """The seconds that `describe` wrote. Raises ValueError for another text."""
    found = re.fullmatch(PATTERN, text)
    if found is None:
        raise ValueError(f"{text!r} is no time such as '12.3 s', '2 min 13 s' or '1 h 02 min'")
    below, minutes, rest, hours, beyond = (float(part or 0) for part in found.groups())
    return below + 60 * minutes + rest + 3600 * hours + 60 * beyond


def clock(seconds: float) -> str:
    """`0:55`, `12:03`, `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
