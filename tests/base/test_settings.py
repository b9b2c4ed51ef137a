"""Plain values by keys with dots."""

from hsc.base.settings import flat, value_at

NESTED = {"a": {"b": 1, "c": {"d": [1, 2]}}, "e": {}}


def test_flat() -> None:
    assert flat(NESTED) == {"a.b": 1, "a.c.d": [1, 2], "e": {}}
    assert flat(3, "key") == {"key": 3}


def test_value_at() -> None:
    assert value_at(NESTED, "a.c.d") == [1, 2]
    assert value_at(NESTED, "a.b.more") is None
    assert value_at(NESTED, "f") is None
    assert value_at(None, "a") is None
