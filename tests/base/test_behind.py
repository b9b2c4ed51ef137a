"""Work that another thread does."""

import threading

import pytest

from hsc.base.behind import behind


def test_it_is_done_in_order_by_the_end_of_the_block() -> None:
    done: list[int] = []
    with behind(done.append) as later:
        for number in range(20):
            later(number)
    assert done == list(range(20))


def test_this_thread_goes_on_meanwhile() -> None:
    go_on = threading.Event()
    with behind(lambda: go_on.wait(10)) as later:
        later()
        go_on.set()


def test_what_it_raises_is_raised_a_few_calls_later() -> None:
    def fail(number: int) -> None:
        if number == 2:
            raise OSError("full")

    calls = []

    def call_often() -> None:
        with behind(fail) as later:
            for number in range(20):
                later(number)
                calls.append(number)

    with pytest.raises(OSError, match="full"):
        call_often()
    assert 2 < len(calls) < 10


def test_and_at_the_latest_at_the_end() -> None:
    def fail() -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"), behind(fail) as later:
        later()
