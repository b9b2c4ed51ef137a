"""A step of SEAM + HSC and EPS + HSC at the papers' size, and the same step written plainly.

Each runs in a process of its own, so that its peak of memory is its own, and in turns.
"""

import multiprocessing
import statistics
from multiprocessing.connection import Connection
from typing import NamedTuple

import torch

from benchmarks import step
from benchmarks.part import Disagreement, PartResult
from benchmarks.reference_step import PlainStep
from hsc.engine.runtime import detect_runtime, seed_torch

NAMES = ("seam+hsc", "eps+hsc")
SIZE, SMALL = step.Size(2, 448, 128, "lattice"), step.Size(2, 64, 32, "lattice")
CRF_SIDE = 16
"""Of the published code; the paper's, and ours, is that of view 2."""
MOST_OFF = 1e-5
KINDS = (("plain", "fp32"), ("fast", "fp32"), ("fast", "bf16"))


class Measured(NamedTuple):
    """Median seconds and peak bytes of each of `KINDS`; the relative difference of the losses."""

    name: str
    seconds: list[float]
    peaks: list[int]
    difference: float


def measure(repeats: int, size: step.Size = SIZE) -> PartResult:
    """The slower one's ratio. The losses are compared without a CRF, on small pictures."""
    found = [one(name, repeats, size) for name in NAMES]
    worst = min(found, key=lambda each: each.seconds[0] / each.seconds[1])
    told = "; ".join(f"{each.name} {amounts(each)}" for each in found)
    return PartResult(
        reference=f"a view, picture and class after the other; CRF at {CRF_SIDE} x {CRF_SIDE}",
        fast=f"batched, channels last; CRF at {size.view2} x {size.view2}",
        reference_seconds=worst.seconds[0],
        fast_seconds=worst.seconds[1],
        wanted=1.2,
        agreement=f"losses within {max(each.difference for each in found):.1g}; ResNet-38, "
        f"{size.batch} pictures of {size.crop} + {size.view2}; plain, here, here in bf16: {told}",
    )


def amounts(found: Measured) -> str:
    """Seconds and memory, in words."""
    pairs = zip(found.seconds, found.peaks, strict=True)
    return ", ".join(f"{seconds:.3g} s and {peak / 1e9:.2g} GB" for seconds, peak in pairs)


def one(name: str, repeats: int, size: step.Size) -> Measured:
    """Each version of a method, in turns."""
    difference, threads = compare(name), torch.get_num_threads()
    context = multiprocessing.get_context("spawn")
    pipes = []
    for kind in KINDS:
        pipe, theirs = context.Pipe()
        given = theirs, name, *kind, size, threads
        context.Process(target=take_steps, args=given, daemon=True).start()
        theirs.close()  # so that a process that dies ends the wait for it
        pipe.recv()
        pipes.append(pipe)
    turns = [[asked(pipe, "step") for pipe in pipes] for _ in range(repeats)]
    seconds = [statistics.median(times) for times in zip(*turns, strict=True)]
    return Measured(name, seconds, [asked(pipe, "peak") for pipe in pipes], difference)


def asked(pipe: Connection, what: str) -> float:
    pipe.send(what)
    return pipe.recv()


def take_steps(
    pipe: Connection, name: str, version: str, precision: str, size: step.Size, threads: int
) -> None:
    """A process: its first step, which is not counted, then one for each word `step`, and `peak`.

    It sends seconds, and last its peak of memory in bytes.
    """
    torch.set_num_threads(threads)
    seed_torch(0)
    objective, optimiser = step.method(name, size)
    runtime = detect_runtime({"HSC_DEVICE": "cpu", "HSC_PRECISION": precision})
    batch = step.random_batch(size, runtime.device)
    if version == "plain":
        batch["image"] = batch["image"].contiguous()
        objective = PlainStep(objective, size.view2, CRF_SIDE)
        for group in optimiser.param_groups:
            group["fused"] = group["foreach"] = False
    else:
        objective.to(memory_format=torch.channels_last)
    said = "step"
    while said == "step":
        pipe.send(step.step(objective, optimiser, batch, runtime)[0])
        said = pipe.recv()
    pipe.send(step.peak_bytes(runtime.device))


def compare(name: str) -> float:
    """How far the losses of one network are apart, behind a first batch; without a CRF.

    Raises Disagreement beyond `MOST_OFF`.
    """
    seed_torch(0)
    method, _ = step.method(name, SMALL)
    method.contrast.params = method.contrast.params.model_copy(update={"crf": "none"})
    plain = PlainStep(method, SMALL.view2, crf_side=0)
    device = torch.device("cpu")
    first, second = (step.random_batch(SMALL, device) for _ in range(2))
    found = []
    for objective in (method, plain):
        objective.train()
        seed_torch(1)
        with torch.no_grad():
            for buffer in method.contrast.buffers():
                buffer.zero_()
            objective.losses(first)
            objective.commit()
            found.append(objective.losses(second)["loss"].item())
    difference = abs(found[0] - found[1]) / abs(found[0])
    if not difference < MOST_OFF:
        raise Disagreement(f"{name}: the losses differ by {difference:.2g} of them")
    return difference
