"""The seeds of a whole data set refined on their pictures, in a pool of processes.

The dense CRF needs no torch, PAR does.

Letters: K tagged classes, H W pixels.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hsc.base.errors import HscError
from hsc.base.pool import map_ordered
from hsc.base.progress import Progress, follow, unseen
from hsc.base.sharing import in_turns
from hsc.crf.dense import cam_probabilities, refine_cam, refine_labels, refine_probabilities
from hsc.crf.device import crf_processes, usable_device
from hsc.data.classes import BACKGROUND
from hsc.data.label_maps import read_labels
from hsc.data.voc import VocFolder, write_mask
from hsc.params.recipe import CrfParams
from hsc.store import CamReader

Task = tuple[str, NDArray[np.uint8], NDArray, NDArray]
"""(id, picture (H, W, 3), seed (H, W), CAM (K, H, W) or scores (K+1, H, W), class indices (K,))"""


def naming_the_picture(
    refine: Callable[..., NDArray[np.uint8]],
) -> Callable[..., NDArray[np.uint8]]:
    """Let the traceback of an error in a worker end with the picture's id.

    Bad input is found when it is read, with the file's name; what fails here is not foreseen.
    """

    @wraps(refine)
    def named(task: Task, *given: Any, **options: Any) -> NDArray[np.uint8]:
        try:
            return refine(task, *given, **options)
        except Exception as error:
            error.add_note(f"in the refinement of picture {task[0]}")
            raise

    return named


def refine_all(
    folder: VocFolder,
    cams: Path,
    seeds: Path,
    params: CrfParams,
    output: Path,
    processes: int,
    progress: Progress = unseen,
    by: Literal["crf", "par"] = "crf",
) -> int:
    """Write the refined labels of `train_aug` to `output`; returns how many.

    by: the CRF, or PAR, which has its iterations, start and alpha but not its kernels.
    """
    ids = folder.ids("train_aug")
    work = partial(_refined, folder, cams, seeds, params, by)
    return write_all(ids, in_turns(work, ids, [processes], [crf_processes]), output, progress)


def _refined(
    folder: VocFolder,
    cams: Path,
    seeds: Path,
    params: CrfParams,
    by: Literal["crf", "par"],
    ids: Sequence[str],
    processes: int,
) -> Iterator[NDArray[np.uint8]]:
    """The refined labels of each picture."""
    if params.unary == "labels":
        tasks = _seed_tasks(folder, seeds, ids)
        refine = partial(_refine_seed, num_labels=folder.num_classes + 1)
    else:
        tasks = cam_tasks(folder, cams, ids)
        refine = _refine_cam
    if by == "par":
        refine = _par_seed if params.unary == "labels" else _par_cam
    yield from map_ordered(partial(refine, params=params), tasks, processes)


@naming_the_picture
def refine_scores(task: Task, params: CrfParams, num_labels: int) -> NDArray[np.uint8]:
    """The CRF on scores with the background's in front, (K+1, H, W), by `params.unary`.

    `labels` starts from the arg max of the scores, `alpha` from the scores themselves. num_labels:
    C + 1. Returns uint8 class indices (H, W).
    """
    _, image, scores, classes = task
    if params.unary == "labels":
        labels = score_labels(scores, classes)
        return refine_labels(image, labels, num_labels, params, params.label_confidence)
    return score_labels(refine_probabilities(image, scores, params), classes)


def score_labels(scores: NDArray, classes: NDArray) -> NDArray[np.uint8]:
    """Arg max of (K+1, H, W), the background's scores first: uint8 class indices (H, W)."""
    return np.array([BACKGROUND, *classes], dtype=np.uint8)[scores.argmax(axis=0)]


def write_all(
    ids: Sequence[str],
    results: Iterable[NDArray[np.uint8]],
    output: Path,
    progress: Progress,
) -> int:
    """Write label maps in the order of the ids as palette PNGs; returns how many."""
    for image_id, labels in follow(zip(ids, results, strict=True), len(ids), progress):
        write_mask(output / f"{image_id}.png", labels)
    return len(ids)


def _seed_tasks(folder: VocFolder, seeds: Path, ids: Iterable[str]) -> Iterator[Task]:
    for image_id in ids:
        image, seed = folder.image(image_id), read_labels(seeds, image_id)
        if seed.shape != image.shape[:2] or seed.max(initial=0) > folder.num_classes:
            raise HscError(
                f"{seeds / image_id}.png: a seed of size {seed.shape} with indices up to "
                f"{seed.max(initial=0)} does not belong to {folder.root}; run make_seeds again"
            )
        yield image_id, image, seed, np.empty(0)


def cam_tasks(folder: VocFolder, cams: Path, ids: Sequence[str]) -> Iterator[Task]:
    """Pictures with their CAMs, in the order of the ids, as they are read.

    Raises HscError for a CAM file of other classes or without one of the pictures.
    """
    with CamReader(cams) as reader:
        reader.check_classes(folder.class_names, folder.root)
        reader.check(ids)
        for image_id in ids:
            image = folder.image(image_id)
            yield image_id, image, *reader.read(image_id, image.shape[:2])


@naming_the_picture
def _refine_seed(task: Task, params: CrfParams, num_labels: int) -> NDArray[np.uint8]:
    _, image, seed, _ = task
    return refine_labels(image, seed, num_labels, params, params.label_confidence)


@naming_the_picture
def _refine_cam(task: Task, params: CrfParams) -> NDArray[np.uint8]:
    _, image, cam, classes = task
    return refine_cam(image, cam, classes, params.alpha, params)


@naming_the_picture
def _par_seed(task: Task, params: CrfParams) -> NDArray[np.uint8]:
    """Each label that the seed has is a map of zeros and ones."""
    _, image, seed, _ = task
    present = np.unique(seed)
    return present[_par(image, seed == present[:, None, None], params).argmax(axis=0)]


@naming_the_picture
def _par_cam(task: Task, params: CrfParams) -> NDArray[np.uint8]:
    _, image, cam, classes = task
    return score_labels(_par(image, cam_probabilities(cam, params.alpha), params), classes)


def _par(image: NDArray[np.uint8], scores: NDArray, params: CrfParams) -> NDArray[np.float32]:
    from hsc.crf.par import refine_scores  # torch takes seconds to load

    return refine_scores(image, scores, params.iterations, usable_device())
