"""What the affinity network is trained on: labels that two CRFs agree about.

Ahn and Kwak (PSA, CVPR 2018), section 3.2.1: the background score of a CAM is (1 - max) ** alpha. A
low alpha makes it strong, so that a pixel which is foreground even then surely is; a high alpha
makes it weak, so that one which is background even then surely is. Without torch, as all that
several processes do.

Letters: K tagged classes of an image, H W pixels.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hsc.base.pool import map_ordered
from hsc.base.progress import Progress, unseen
from hsc.base.sharing import in_turns
from hsc.crf.dense import CrfConfig, cam_probabilities, refine_probabilities
from hsc.crf.device import crf_processes
from hsc.crf.stage import Task, cam_tasks, naming_the_picture, write_all
from hsc.data.classes import BACKGROUND, IGNORE
from hsc.data.voc import VocFolder
from hsc.params.recipe import CrfParams

_NOTHING = 1e-5
"""Scores below it belong to no picture but to what was padded around one."""


def alpha_labels(
    image: NDArray[np.uint8],
    cam: NDArray,
    classes: NDArray,
    alphas: tuple[float, float],
    config: CrfConfig,
) -> NDArray[np.uint8]:
    """A picture's labels: the CRF of its CAM with the low and with the high alpha, merged.

    image: uint8 RGB (H, W, 3). cam: (K, H, W) in [0, 1]. classes: the K class indices, 1..254.
    Returns uint8 (H, W), 255 where nothing is sure; a picture without a tagged class is surely
    background. Raises ValueError for shapes that do not fit, HscError without pydensecrf.
    """
    if not len(classes):
        return np.full(cam.shape[1:], BACKGROUND, dtype=np.uint8)
    low, high = (
        refine_probabilities(image, cam_probabilities(cam, alpha), config) for alpha in alphas
    )
    return merge_alpha(low, high, classes)


def merge_alpha(low: NDArray, high: NDArray, classes: NDArray) -> NDArray[np.uint8]:
    """Labels of what is sure: background, or a class, else 255.

    low, high: scores (K+1, H, W) after the CRF with the low and with the high alpha, background
    first. classes: the K class indices, 1..254. Background where it is the greatest in `high`,
    whatever `low` says; elsewhere the greatest class of `low` where that is no background; 255
    elsewhere, and where all scores are 0. Of equal scores the first counts. Returns uint8 (H, W).
    Raises ValueError for shapes that do not fit.
    """
    if low.ndim != 3 or low.shape != high.shape or len(low) != 1 + len(classes):
        raise ValueError(
            f"low {low.shape}, high {high.shape} and {len(classes)} classes do not fit"
        )
    indices = np.array([IGNORE, *classes], dtype=np.uint8)
    labels = indices[low.argmax(axis=0)]
    labels[high.argmax(axis=0) == 0] = BACKGROUND
    labels[np.maximum(low.max(axis=0), high.max(axis=0)) < _NOTHING] = IGNORE
    return labels


def label_all(
    folder: VocFolder,
    cams: Path,
    alphas: tuple[float, float],
    params: CrfParams,
    output: Path,
    processes: int,
    progress: Progress = unseen,
) -> int:
    """Write what AffinityNet learns from of `train_aug`; returns how many."""
    ids = folder.ids("train_aug")
    work = partial(_labels, folder, cams, partial(_label_cam, alphas=alphas, config=params))
    return write_all(ids, in_turns(work, ids, [processes], [crf_processes]), output, progress)


def _labels(
    folder: VocFolder,
    cams: Path,
    label: Callable[[Task], NDArray[np.uint8]],
    ids: Sequence[str],
    processes: int,
) -> Iterator[NDArray[np.uint8]]:
    yield from map_ordered(label, cam_tasks(folder, cams, ids), processes)


@naming_the_picture
def _label_cam(task: Task, alphas: tuple[float, float], config: CrfConfig) -> NDArray[np.uint8]:
    _, image, cam, classes = task
    return alpha_labels(image, cam, classes, alphas, config)
