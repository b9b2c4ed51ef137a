"""Torch data sets over a VOC-layout folder: training crops and whole pictures.

Letters: N batch, C foreground classes, S side of a crop, H W pixels.
"""

import random
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from hsc.base.errors import DataError
from hsc.data.classes import IGNORE
from hsc.data.label_maps import read_labels
from hsc.data.stream import Position
from hsc.data.transforms import (
    Augmentation,
    augment,
    image_plane,
    label_plane,
    saliency_plane,
)
from hsc.data.voc import VocFolder


def sample_rng(seed: int, position: int) -> random.Random:
    """The random numbers of one training sample, the same in any process."""
    return random.Random(f"{seed}/{position}")


class CamSamples(Dataset[dict[str, Tensor]]):
    """Crops with tags and, where asked for, saliency; no mask is ever read here.

    An item is `image` (3, S, S) float32, `tags` (C,) float32, and `saliency` (1, S, S) float32 in
    [0, 1], 0 outside the picture.
    """

    def __init__(
        self,
        folder: VocFolder,
        ids: tuple[str, ...],
        how: Augmentation,
        seed: int,
        with_saliency: bool,
    ) -> None:
        self._folder, self._ids, self._how, self._seed = folder, ids, how, seed
        self._with_saliency = with_saliency

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, position: Position) -> dict[str, Tensor]:
        g, index = position
        image_id = self._ids[index]
        planes = [image_plane(self._folder.image(image_id))]
        if self._with_saliency:
            planes.append(saliency_plane(self._folder.saliency(image_id)))
        image, *saliency = augment(planes, self._how, sample_rng(self._seed, g))
        item = {"image": image, "tags": torch.from_numpy(self._folder.tags(image_id))}
        if self._with_saliency:
            item["saliency"] = saliency[0].float().div(255)
        return item


class SegmentationSamples(Dataset[dict[str, Tensor]]):
    """Crops with pseudo labels: `image` (3, S, S) float32, `label` (S, S) int64, 255 outside.

    labels: a folder of label maps, `<id>.png`.
    """

    def __init__(
        self,
        folder: VocFolder,
        ids: tuple[str, ...],
        labels: Path,
        how: Augmentation,
        seed: int,
    ) -> None:
        self._folder, self._ids, self._labels = folder, ids, labels
        self._how, self._seed = how, seed

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, position: Position) -> dict[str, Tensor]:
        g, index = position
        image_id = self._ids[index]
        picture = self._folder.image(image_id)
        labels = read_labels(self._labels, image_id)
        check_labels(self._folder, self._labels / f"{image_id}.png", picture, labels)
        planes = image_plane(picture), label_plane(labels)
        image, label = augment(planes, self._how, sample_rng(self._seed, g))
        return {"image": image, "label": label[0].long()}


def check_labels(
    folder: VocFolder, path: Path, picture: NDArray[np.uint8], labels: NDArray[np.uint8]
) -> None:
    """Raise HscError for labels (H, W) of another size than the picture or of other classes.

    path: the file that the labels are from.
    """
    highest = labels[labels != IGNORE].max(initial=0)
    if labels.shape != picture.shape[:2] or highest > folder.num_classes:
        raise DataError(
            f"{path}: labels of size {labels.shape} with indices up to {highest} do not belong to "
            f"{folder.root}; run the stage that writes them"
        )
