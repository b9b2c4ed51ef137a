"""HSC's CRF on pseudo labels: pydensecrf in two processes, and the lattice in torch.

At the size of the papers' views, 128 x 128: four pictures in two views.
"""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.part import Disagreement, PartResult, side_by_side
from benchmarks.scene import scenes
from hsc.crf import mean_field
from hsc.crf.dense import TRAINING_CRF, refine_labels

PICTURES, VIEWS, SIDE, LABELS = 4, 2, 128, 21
PROCESSES = 2
LEAST_AGREEMENT = 0.999


def measure(repeats: int) -> PartResult:
    """A batch's labels. The processes of the plain version have started before."""
    images, labels = batch()
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
        tasks = [(images[i], labels[v, i]) for v, i in product(range(VIEWS), range(PICTURES))]

        def plain() -> NDArray:
            return np.stack(list(pool.map(one, tasks))).reshape(labels.shape)

        ours = on_lattice(images, labels)
        same = (plain() == ours()).mean()
        if not same >= LEAST_AGREEMENT:
            raise Disagreement(f"{100 * same:.2f} % of the labels are the same")
        slow, fast = side_by_side(plain, ours, repeats)
    return PartResult(
        reference=f"pydensecrf in {PROCESSES} processes, a picture and view after the other",
        fast="permutohedral lattice in torch, all at once, in one process",
        reference_seconds=slow,
        fast_seconds=fast,
        wanted=1,
        agreement=f"{100 * same:.2f} % of the labels; {PICTURES} pictures of {SIDE} x {SIDE} in "
        f"{VIEWS} views",
    )


def batch() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pictures (N, S, S, 3), and labels (V, N, S, S): masks with an eighth of the cells emptied."""
    shown = scenes(PICTURES, (4 * SIDE, 4 * SIDE))
    images = [Image.fromarray(scene.image).resize((SIDE, SIDE)) for scene in shown]
    truth = np.stack([scene.truth[::4, ::4] for scene in shown]).astype(np.int64)
    labels = np.where(truth < LABELS, truth, 0).repeat(VIEWS, 0).reshape(PICTURES, VIEWS, SIDE, -1)
    labels = np.ascontiguousarray(labels.swapaxes(0, 1))
    generator = np.random.default_rng(0)
    cells = generator.random((VIEWS, PICTURES, 16, 16)) < 1 / 8
    labels[cells.repeat(SIDE // 16, axis=2).repeat(SIDE // 16, axis=3)] = 0
    return np.stack([np.asarray(image) for image in images]), labels


def one(task: tuple[NDArray[np.uint8], NDArray[np.int64]]) -> NDArray[np.int64]:
    """A labelling of a picture, by pydensecrf."""
    return refine_labels(*task, LABELS)


def on_lattice(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Callable[[], NDArray]:
    """All of them, as `hsc.crf.training_labels` does it."""
    pictures, drawn = torch.from_numpy(images).float(), torch.from_numpy(labels)

    def run() -> NDArray:
        return mean_field.refine_labels(
            pictures, drawn, LABELS, TRAINING_CRF, kernels="lattice"
        ).numpy()

    return run
