"""Training batches from the loader, against the published loaders' way with Pillow and numpy.

Both go through `step_batches`, so only the making of a sample differs. Pictures are JPEGs of VOC's
size and weight; the augmentation is that of SEAM and HSC. The start of the workers is not counted.
"""

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from benchmarks.part import Disagreement, PartResult
from benchmarks.reference_loader import PlainSamples
from benchmarks.scene import VOC_SIZE
from hsc.base.errors import HscError
from hsc.base.pool import process_count
from hsc.data.lists import write_index
from hsc.data.preprocessing import STD
from hsc.data.samples import CamSamples
from hsc.data.transforms import Augmentation
from hsc.data.voc import VocFolder, layout
from hsc.engine.loading import step_batches
from hsc.engine.runtime import Runtime

PUBLISHED = Augmentation(448, (448, 768), 0.5, 0.3, 0.3, 0.3, 0.1)
CLASSES = ("thing",)
BATCH = 8
WARM = 3
"""Batches before the clock starts: by then all workers are up and have some batches ready."""
MEAN_DIFFERENCE, LARGE, LARGE_SHARE = 0.1, 16, 1e-4
"""Grey levels that the images may differ by on average, and what share by more than `LARGE`."""

Batches = Iterable[dict[str, Tensor]]


class Rates(NamedTuple):
    """Pictures a second, medians, with this many workers."""

    workers: int
    reference: float
    fast: float


def measure(
    repeats: int,
    pictures: int = 64,
    size: tuple[int, int] = VOC_SIZE,
    how: Augmentation = PUBLISHED,
    batches: int = 20,
    workers: Sequence[int] = (1, 2),
) -> PartResult:
    """Seconds of `batches` batches; the ratio is the worse one of the numbers of workers.

    Raises Disagreement where the images differ by more than the two resizings do.
    """
    if process_count() < max(workers):
        raise HscError(f"loader: needs {max(workers)} CPUs to measure; leave the part out")
    with tempfile.TemporaryDirectory() as name:
        folder, kilobytes = write_pictures(Path(name) / "data", pictures, size)
        ids = folder.ids("train_aug")
        samples = PlainSamples(folder, ids, how, 0), CamSamples(folder, ids, how, 0, False)
        difference = compare(*(loaded(one, WARM, workers=0) for one in samples))
        both = [partial(loaded, one, WARM + batches) for one in samples]
        rates = [race(both, count, repeats) for count in workers]
    worst = min(rates, key=lambda rate: rate.fast / rate.reference)
    each = "; ".join(
        f"{rate.workers} worker{'s' * (rate.workers != 1)} {rate.reference:.1f} and {rate.fast:.1f}"
        for rate in rates
    )
    return PartResult(
        reference="samples by Pillow and numpy, as published",
        fast="`CamSamples`: transforms v2, no work on what is cut away",
        reference_seconds=batches * BATCH / worst.reference,
        fast_seconds=batches * BATCH / worst.fast,
        wanted=1.2,
        agreement=f"images within {difference:.2f} grey levels on average, padding equal; "
        f"pictures a second, plain and here: {each}; {batches * BATCH} crops of {how.crop_size} "
        f"from JPEGs of {size[1]}x{size[0]}, {kilobytes:.0f} kB each",
    )


def write_pictures(root: Path, count: int, size: tuple[int, int]) -> tuple[VocFolder, float]:
    """A data set of textured JPEGs as a camera writes them, and their mean size in kB."""
    ids = [f"{number:04d}" for number in range(count)]
    root.mkdir(parents=True)
    write_index(
        root, CLASSES, dict.fromkeys(ids, CLASSES),
        {"train_aug": ids, "train": ids, "val": []},
    )  # fmt: skip
    total = 0
    for number, image_id in enumerate(ids):
        path = layout(root, image_id).image
        path.parent.mkdir(exist_ok=True)
        picture = Image.fromarray(textured(size, np.random.default_rng(number)))
        picture.save(path, quality=90, subsampling="4:2:0")
        total += path.stat().st_size
    return VocFolder(root), total / count / 1000


def textured(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: soft blobs of colour under noise, as heavy a JPEG as VOC's pictures are."""
    coarse = rng.normal(128, 40, (24, 32, 3)).clip(0, 255).astype(np.uint8)
    blobs = Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC)
    return (np.asarray(blobs) + rng.normal(0, 18, (*size, 3))).clip(0, 255).astype(np.uint8)


def loaded(samples: PlainSamples | CamSamples, steps: int, workers: int) -> Batches:
    """The batches of a training of so many steps."""
    runtime = Runtime(torch.device("cpu"), bf16=False, workers=workers)
    return step_batches(samples, 0, BATCH, steps, runtime)(0)


def race(both: Sequence[Callable[[int], Batches]], workers: int, repeats: int) -> Rates:
    """Medians of both, in turns."""
    turns = [[rate(one(workers)) for one in both] for _ in range(repeats)]
    return Rates(workers, *(statistics.median(rates) for rates in zip(*turns, strict=True)))


def rate(batches: Batches) -> float:
    """Pictures a second after the first `WARM` batches."""
    rest = iter(batches)
    for _ in itertools.islice(rest, WARM):
        pass
    start = time.perf_counter()
    pictures = sum(len(batch["image"]) for batch in rest)
    return pictures / (time.perf_counter() - start)


def compare(reference: Batches, fast: Batches) -> float:
    """The mean difference of the images in grey levels.

    Raises Disagreement for other tags or padding, and for images that differ by more than resizing
    with weights of fewer bits, and then the jitter, makes them.
    """
    differences = []
    for plain, ours in zip(reference, fast, strict=True):
        if not torch.equal(plain["tags"], ours["tags"]):
            raise Disagreement("the tags differ")
        if not torch.equal(outside(plain["image"]), outside(ours["image"])):
            raise Disagreement("the padding differs")
        levels = (plain["image"] - ours["image"]).abs() * 255 * torch.tensor(STD)[:, None, None]
        differences.append(float(levels.mean()))
        if not differences[-1] <= MEAN_DIFFERENCE:
            raise Disagreement(f"images differ by {differences[-1]} grey levels on average")
        share = float((levels > LARGE).float().mean())
        if not share <= LARGE_SHARE:
            raise Disagreement(f"images differ by more than {LARGE} in a share of {share}")
    return statistics.mean(differences)


def outside(image: Tensor) -> Tensor:
    """Where (N, 3, S, S) is padding: no colour is zero in all channels after the normalisation."""
    return image.eq(0).all(dim=1)
