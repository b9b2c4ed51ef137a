"""Work shared out among processes: its order, its errors, and that none is left behind."""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from hsc.base.errors import HscError
from hsc.engine.runtime import Runtime
from hsc.engine.sharing import in_turns

CPU = Runtime(torch.device("cpu"), bf16=False, workers=3)


def squares(start: int, items: Sequence[int], runtime: Runtime) -> Iterator[tuple]:
    for item in items:
        yield start + item**2, np.full(3, item), runtime.workers, os.getpid()


def failing(items: Sequence[int], runtime: Runtime) -> Iterator[int]:
    for item in items:
        if item == 3:
            raise HscError("picture 3: broken")
        yield item


def dying(items: Sequence[int], runtime: Runtime) -> Iterator[int]:
    for item in items:
        if item == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        yield item


def threads(items: Sequence[int], runtime: Runtime) -> Iterator[int]:
    yield from (torch.get_num_threads() for _ in items)


@pytest.mark.parametrize("count", [1, 2, 9])
def test_results_come_in_the_order_of_the_items(count: int) -> None:
    found = list(in_turns(partial(squares, 10), list(range(3)), CPU, count))
    assert [value for value, *_ in found] == [10 + n * n for n in range(3)]
    for number, (_, array, _, _) in enumerate(found):
        np.testing.assert_array_equal(array, np.full(3, number))
    assert len({pid for *_, pid in found}) == min(count, 3)
    assert ({pid for *_, pid in found} == {os.getpid()}) == (count == 1)
    assert {workers for _, _, workers, _ in found} == {{1: 3, 2: 2, 9: 1}[count]}
    assert not multiprocessing.active_children()


def test_nothing_to_do() -> None:
    assert list(in_turns(failing, [], CPU, 2)) == []


@pytest.mark.parametrize("count", [1, 2])
def test_an_error_comes_at_its_turn(count: int) -> None:
    found = in_turns(failing, [1, 2, 3, 4], CPU, count)
    assert [next(found), next(found)] == [1, 2]
    with pytest.raises(HscError, match="picture 3: broken"):
        next(found)
    assert not multiprocessing.active_children()


def test_a_killed_process_is_an_error() -> None:
    found = in_turns(dying, [1, 2, 3, 4], CPU, 2)
    with pytest.raises(HscError, match="a process of the inference died"):
        list(found)
    assert not multiprocessing.active_children()


def test_it_may_be_given_up() -> None:
    found = in_turns(partial(squares, 0), list(range(100)), CPU, 2)
    next(found)
    found.close()
    assert not multiprocessing.active_children()


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert set(in_turns(threads, [1, 2], CPU, 2)) == {3}
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert set(in_turns(threads, [1, 2], CPU, 2)) == {max(1, (os.cpu_count() or 1) // 2)}


def test_each_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    gpu = replace(CPU, device=torch.device("cuda"))
    with pytest.raises(HscError, match="3 processes on a machine with 2 GPUs"):
        next(in_turns(failing, [1, 2, 3], gpu, 3))
    with pytest.raises(HscError, match="'cuda:1' is one GPU for 2 processes"):
        next(in_turns(failing, [1, 2, 3], replace(CPU, device=torch.device("cuda:1")), 2))
