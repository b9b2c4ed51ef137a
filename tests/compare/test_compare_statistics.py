"""Student's t against the printed tables, and differences worked out by hand."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import special

from hsc.compare.statistics import p_value, paired, quantile


@pytest.mark.parametrize(
    ("df", "value"), [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (30, 2.042), (120, 1.980)]
)
def test_quantiles_are_those_of_the_table(df: int, value: float) -> None:
    assert quantile(df) == pytest.approx(value, abs=5e-4)
    assert p_value(quantile(df), df) == pytest.approx(0.05, abs=1e-9)


@pytest.mark.parametrize("t", [5.640596894822597e-07, 0.3, 1.0, -2.5, 40.0])
def test_p_values_in_closed_form(t: float) -> None:
    # 1 df is Cauchy's distribution; with 2 df the distribution function is algebraic.
    assert p_value(t, 1) == pytest.approx(1 - 2 / math.pi * math.atan(abs(t)), rel=1e-9)
    assert p_value(t, 2) == pytest.approx(1 - abs(t) / math.sqrt(2 + t * t), rel=1e-9)


@example(1, 5.640596894822597e-07)
@given(st.integers(1, 400), st.floats(0, 60))
def test_p_values_are_those_of_scipy(df: int, t: float) -> None:
    # Not by stdtr, which is off by up to 5e-9 next to t = 0, where the closed forms bear us out.
    inside = special.betainc(0.5, df / 2, t * t / (df + t * t))
    assert p_value(t, df) == pytest.approx(1 - inside, abs=1e-12)


@given(st.integers(1, 400), st.floats(0.5, 0.9995))
def test_quantiles_are_those_of_scipy(df: int, probability: float) -> None:
    expected = special.stdtrit(df, probability)
    assert quantile(df, probability) == pytest.approx(expected, rel=1e-8, abs=1e-9)


def test_p_value_of_no_difference_is_one() -> None:
    assert p_value(0.0, 7) == pytest.approx(1.0)


def test_three_differences_by_hand() -> None:
    found = paired([1.0, 2.0, 3.0])
    assert (found.n, found.mean, found.sd) == (3, 2.0, 1.0)
    error = 1 / math.sqrt(3)
    assert found.half == pytest.approx(4.3027 * error, abs=1e-4)
    assert found.t == pytest.approx(2 / error)
    assert found.p == pytest.approx(1 - math.sqrt(12) / math.sqrt(14))  # t^2 = 12, 2 df


def test_the_interval_touches_zero_where_p_is_five_percent() -> None:
    differences = [0.4, -0.2, 0.9, 0.3]
    found = paired(differences)
    assert found.half is not None
    moved = paired([value - found.mean + found.half for value in differences])
    assert moved.p == pytest.approx(0.05)


def test_one_difference_has_only_a_mean() -> None:
    found = paired([-1.5])
    assert (found.n, found.mean) == (1, -1.5)
    assert (found.sd, found.half, found.t, found.p) == (None, None, None, None)


def test_equal_differences_have_no_t() -> None:
    found = paired([2.0, 2.0])
    assert (found.sd, found.half, found.t, found.p) == (0.0, 0.0, None, None)


def test_nothing_to_summarise() -> None:
    with pytest.raises(ValueError, match="no differences"):
        paired([])
