"""The crops that a round of AuxSegNet learns from.

Letters: C foreground classes, S side of a crop.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from hsc.auxsegnet.labels import RoundLabels
from hsc.base.errors import DataError
from hsc.data.label_maps import read_labels
from hsc.data.samples import check_labels, sample_rng
from hsc.data.stream import Position
from hsc.data.transforms import augment, image_plane, label_plane, saliency_plane
from hsc.data.voc import VocFolder, read_grey, write_grey, write_mask
from hsc.params.base import Augmentation

LABELS, SALIENCY = "labels", "saliency"
"""Folders of a round: `<id>.png` in each."""


def write_round(folder: Path, image_id: str, labels: RoundLabels) -> None:
    """Write what a round learns from of one picture."""
    write_mask(folder / LABELS / f"{image_id}.png", labels.label)
    write_grey(folder / SALIENCY / f"{image_id}.png", labels.saliency)


class AuxSamples(Dataset[dict[str, Tensor]]):
    """An item is `image` (3, S, S) float32, `tags` (C,) float32, `label` (S, S) int64 in 0..C or
    255, `saliency` (S, S) int64, 0 or 1 where salient (above 0.5).

    Outside of the picture both maps are 255, or 0 with `padding="background"`, as published.
    """

    def __init__(
        self,
        folder: VocFolder,
        ids: tuple[str, ...],
        labels: Path,
        how: Augmentation,
        seed: int,
        padding: str,
    ) -> None:
        """labels: the folder of a round, as `write_round` makes it."""
        self._folder, self._ids, self._labels = folder, ids, labels
        self._how, self._seed, self._padding = how, seed, padding

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, position: Position) -> dict[str, Tensor]:
        g, index = position
        image_id = self._ids[index]
        picture = self._folder.image(image_id)
        labels = read_labels(self._labels / LABELS, image_id)
        check_labels(self._folder, self._labels / LABELS / f"{image_id}.png", picture, labels)
        given = read_grey(self._labels / SALIENCY / f"{image_id}.png")
        if given.shape != labels.shape:
            raise DataError(
                f"{self._labels / SALIENCY / image_id}.png: of another size than the picture; "
                "delete the training's state and run it again"
            )
        inside = label_plane(np.zeros_like(labels))  # its padding tells what is outside
        planes = image_plane(picture), label_plane(labels), saliency_plane(given), inside
        image, label, saliency, inside = augment(planes, self._how, sample_rng(self._seed, g))
        label, salient = label[0].long(), (saliency[0].float() > 127.5).long()
        outside = inside[0] != 0
        filled = 0 if self._padding == "background" else 255
        return {
            "image": image,
            "tags": torch.from_numpy(self._folder.tags(image_id)),
            "label": label.masked_fill(outside, filled),
            "saliency": salient.masked_fill(outside, filled),
        }
