"""The dense CRF over a whole data set, in a pool of processes.

Letters: K tagged classes, H W pixels.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsc.crf import CrfConfig, refine_cam, refine_labels
from hsc.data.voc import VocFolder, write_mask
from hsc.errors import HscError
from hsc.params import CrfParams
from hsc.pool import map_ordered
from hsc.scoring import read_labels
from hsc.store import CamReader

Task = tuple[str, NDArray[np.uint8], NDArray, NDArray]
"""(id, picture (H, W, 3), seed (H, W) or CAM (K, H, W), class indices (K,))"""


def refine_all(
    folder: VocFolder,
    cams: Path,
    seeds: Path,
    params: CrfParams,
    output: Path,
    processes: int,
    progress: Callable[[Iterable], Iterable] = iter,
) -> int:
    """Write the refined labels of `train_aug` to `output`; returns how many."""
    values = params.model_dump(exclude={"unary", "label_confidence", "alpha"})
    config = CrfConfig(**values)
    ids = folder.ids("train_aug")
    if params.unary == "labels":
        refine = partial(
            _refine_seed,
            num_labels=folder.num_classes + 1,
            confidence=params.label_confidence,
            config=config,
        )
        tasks = _seed_tasks(folder, seeds, ids)
    else:
        refine = partial(_refine_cam, alpha=params.alpha, config=config)
        tasks = _cam_tasks(folder, cams, ids)
    results = map_ordered(refine, tasks, processes)
    for image_id, labels in zip(progress(ids), results, strict=True):
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


def _cam_tasks(folder: VocFolder, cams: Path, ids: Sequence[str]) -> Iterator[Task]:
    with CamReader(cams) as reader:
        reader.check(ids)
        for image_id in ids:
            yield image_id, folder.image(image_id), *reader.read(image_id)


def _naming_the_picture(
    refine: Callable[..., NDArray[np.uint8]],
) -> Callable[..., NDArray[np.uint8]]:
    """Let the traceback of an error in a worker end with the picture's id.

    Bad input is found when it is read, with the file's name; what fails here is not foreseen.
    """

    @wraps(refine)
    def named(task: Task, **options: Any) -> NDArray[np.uint8]:
        try:
            return refine(task, **options)
        except Exception as error:
            error.add_note(f"in the CRF of picture {task[0]}")
            raise

    return named


@_naming_the_picture
def _refine_seed(
    task: Task, num_labels: int, confidence: float, config: CrfConfig
) -> NDArray[np.uint8]:
    _, image, seed, _ = task
    return refine_labels(image, seed, num_labels, config, confidence)


@_naming_the_picture
def _refine_cam(task: Task, alpha: float, config: CrfConfig) -> NDArray[np.uint8]:
    _, image, cam, classes = task
    return refine_cam(image, cam, classes, alpha, config)
