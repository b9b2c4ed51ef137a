"""The loaders: the order of the batches is a function of seed and step, and of nothing else."""

import errno
import gc
import multiprocessing
import sys
from multiprocessing.context import SpawnProcess
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from hsc.base.errors import HscError
from hsc.data.samples import CamSamples
from hsc.data.voc import VocFolder
from hsc.engine.loading import in_order, step_batches
from hsc.engine.runtime import detect_runtime
from hsc.params.base import Augmentation

Batch = dict[str, Tensor]


class Numbers(Dataset[Batch]):
    """Item g, index -> both numbers."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, position: tuple[int, int]) -> Batch:
        return {"g": torch.tensor(position[0]), "index": torch.tensor(position[1])}


class Squares(Dataset[int]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        return index**2


def indices(seed: int, runtime: Any, start: int = 0, steps: int = 8) -> list[list[int]]:
    batches = step_batches(Numbers(), seed, 3, steps, runtime)(start)
    return [batch["index"].tolist() for batch in batches]


def assert_same(first: list[Batch], second: list[Batch]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_order_is_a_function_of_the_seed(cpu: Any) -> None:
    assert indices(0, cpu) == indices(0, cpu)
    assert indices(0, cpu) != indices(1, cpu)


@pytest.mark.parametrize("start", range(9))
def test_tail_is_what_an_undisturbed_run_reads(start: int, cpu: Any) -> None:
    assert indices(0, cpu, start) == indices(0, cpu)[start:]


def test_every_sample_comes_once_an_epoch_in_changing_order(cpu: Any) -> None:
    flat = [i for batch in indices(0, cpu, steps=10) for i in batch]  # 30 draws of 10 samples
    epochs = [flat[i : i + 10] for i in (0, 10, 20)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_samples_are_told_their_number_in_the_training(cpu: Any) -> None:
    batches = step_batches(Numbers(), 0, 3, 8, cpu)(5)
    assert next(iter(batches))["g"].tolist() == [15, 16, 17]


def test_length_of_the_run_does_not_change_the_order(cpu: Any) -> None:
    assert indices(0, cpu, steps=4) == indices(0, cpu, steps=8)[:4]


def test_random_state_of_the_process_is_left_alone(cpu: Any) -> None:
    """A resumed run opens a loader more than an undisturbed one: dropout must not notice."""
    torch.manual_seed(4)
    before = torch.get_rng_state()
    first = indices(0, cpu)
    list(in_order(Squares(), cpu))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(5)
    assert indices(0, cpu) == first


def test_in_order_gives_items_one_by_one(cpu: Any) -> None:
    assert list(in_order(Squares(), cpu)) == [0, 1, 4, 9]


@pytest.fixture(scope="module")
def samples(tiny_folder: VocFolder, tiny_augmentation: Augmentation) -> CamSamples:
    how = tiny_augmentation
    return CamSamples(tiny_folder, tiny_folder.ids("train_aug"), how, 0, with_saliency=True)


def test_batches_are_stacked_crops(samples: CamSamples, cpu: Any) -> None:
    batch = next(iter(step_batches(samples, 0, 4, 3, cpu)(0)))
    assert batch["image"].shape == (4, 3, 32, 32)
    assert batch["tags"].shape == (4, 8)
    assert batch["saliency"].shape == (4, 1, 32, 32)
    assert batch["saliency"].min() >= 0
    assert batch["saliency"].max() <= 1


def test_crops_of_a_resumed_run_are_those_of_an_undisturbed_one(
    samples: CamSamples, cpu: Any
) -> None:
    whole = list(step_batches(samples, 0, 4, 7, cpu)(0))
    assert_same(list(step_batches(samples, 0, 4, 7, cpu)(4)), whole[4:])
    assert not torch.equal(whole[0]["image"], whole[3]["image"]), "a new epoch, new crops"


def test_number_of_workers_does_not_matter(samples: CamSamples, cpu: Any) -> None:
    found = []
    for workers in ("0", "1", "2"):
        runtime = detect_runtime({"HSC_DEVICE": "cpu", "HSC_WORKERS": workers})
        assert runtime.workers == int(workers)
        found.append(list(step_batches(samples, 0, 4, 5, runtime)(1)))
    assert_same(found[0], found[1])
    assert_same(found[0], found[2])


class Unsendable(Dataset[Any]):
    """Its second item cannot leave the worker: as any where /dev/shm is full.

    text: what torch says while it collates a batch; None: it fails in the queue's thread.
    """

    def __init__(self, text: str | None) -> None:
        self._text = text

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        if index != 1:
            return index
        if self._text is None:
            return lambda: index
        raise RuntimeError(self._text)


@pytest.mark.parametrize(
    "text", [None, "unable to allocate shared memory(shm) for file </torch_1>: No space left (28)"]
)
def test_what_a_worker_cannot_send_ends_in_words(
    text: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    """In the queue torch would wait for it for ever; and the other worker has nothing to add."""
    runtime = detect_runtime({"HSC_DEVICE": "cpu", "HSC_WORKERS": "2"})
    with pytest.raises(HscError, match=r"a loader process could not hand over .* HSC_WORKERS=0"):
        list(in_order(Unsendable(text), runtime))
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("started", [0, 1])
def test_workers_that_cannot_be_started_end_in_words(
    started: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where /dev/shm is full before they begin: one may run already, torch's iterator is half made.

    Torch would print an error of its own when it takes such an iterator down, behind ours.
    """
    left, start = [started], SpawnProcess.start

    def until_full(process: SpawnProcess) -> None:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= 1
        start(process)

    printed: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", printed.append)
    monkeypatch.setattr(SpawnProcess, "start", until_full)
    runtime = detect_runtime({"HSC_DEVICE": "cpu", "HSC_WORKERS": "2"})
    with pytest.raises(HscError, match=r"loader processes could not be started, .* HSC_WORKERS=0"):
        list(in_order(Unsendable(None), runtime))
    gc.collect()
    assert printed == []
    assert multiprocessing.active_children() == []


def test_other_problems_of_starting_workers_are_not_taken_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(process: SpawnProcess) -> None:
        raise OSError(errno.EAGAIN, "too many processes")

    monkeypatch.setattr(SpawnProcess, "start", fail)
    runtime = detect_runtime({"HSC_DEVICE": "cpu", "HSC_WORKERS": "1"})
    with pytest.raises(OSError, match="too many processes"):
        list(in_order(Unsendable(None), runtime))


@pytest.mark.parametrize("text", ["-1", "two", "", "1.5"])
def test_workers_that_are_no_number_are_an_error(text: str) -> None:
    with pytest.raises(HscError, match=r"HSC_WORKERS: .* is no number of processes"):
        detect_runtime({"HSC_DEVICE": "cpu", "HSC_WORKERS": text})
