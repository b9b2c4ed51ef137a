"""Times as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsc.base import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (12.34, "12.3 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (60, "1 min 00 s"),
        (133, "2 min 13 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (3600 + 2 * 60 + 29, "1 h 02 min"),
        (7199, "2 h 00 min"),
        (26 * 3600 + 5 * 60, "26 h 05 min"),
    ],
)
def test_times_in_words(seconds: float, text: str) -> None:
    assert duration.describe(seconds) == text


@given(st.floats(0, 1e6))
def test_the_seconds_come_back_out_of_the_words(seconds: float) -> None:
    found = duration.seconds_of(duration.describe(seconds))
    exact = 0.0501 if seconds < 59 else 0.501 if seconds < 3599 else 30.01
    assert found == pytest.approx(seconds, abs=exact)


@pytest.mark.parametrize("text", ["", "12 s", "1 min 3 s", "61", "1.5 min", "12.3 s "])
def test_other_words_are_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="is no time such as"):
        duration.seconds_of(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (55.4, "0:55"), (723, "12:03"), (3599.7, "1:00:00"), (3723, "1:02:03")],
)
def test_clock(seconds: float, text: str) -> None:
    assert duration.clock(seconds) == text
