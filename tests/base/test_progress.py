"""Progress: what is told, and when."""

import pytest

from hsc.base.progress import follow, silent, unseen


def test_follow_tells_the_start_and_every_item_that_is_done() -> None:
    calls: list[object] = []
    for item in follow("ab", 2, lambda *done: calls.append(done)):
        calls.append(item)
    assert calls == [(0, 2), "a", (1, 2), "b", (2, 2)]


def test_follow_takes_items_as_they_are_needed() -> None:
    def items():
        yield 1
        pytest.fail("asked for too early")

    assert next(follow(items(), 2, unseen)) == 1


def test_an_item_that_fails_is_not_done() -> None:
    calls: list[tuple[int, int]] = []
    items = follow("ab", 2, lambda *done: calls.append(done))
    next(items)
    next(items)
    items.close()  # as where the work on "b" fails
    assert calls == [(0, 2), (1, 2)]


def test_silence(capfd: pytest.CaptureFixture[str]) -> None:
    silent("CRF", "image")(3, 4, loss=1.0)
    assert capfd.readouterr() == ("", "")
