"""Pseudo labels refined on their pictures during training: tensors in, tensors out.

Letters: V views, N batch, S side of the pictures in pixels.
"""

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from hsc.crf import par
from hsc.crf.dense import TRAINING_CRF
from hsc.crf.mean_field import refine_labels
from hsc.data.preprocessing import MEAN, STD


def to_pixels(image: Tensor) -> Tensor:
    """Undo the normalisation: (N, 3, S, S) to (N, S, S, 3) uint8 RGB on the same device."""
    mean, std = (image.new_tensor(values)[:, None, None] for values in (MEAN, STD))
    scaled = ((image * std + mean) * 255).round().clamp(0, 255)
    return scaled.permute(0, 2, 3, 1).to(torch.uint8).contiguous()


class LabelRefiner:
    """Refines the pseudo labels of a batch on its pictures (HSC, section 3.4).

    by: the CRF with the kernels of `hsc.crf.mean_field.refine_labels`, `exact` for small S, since
    all pairs take 4 S^4 bytes a picture, `lattice` for an S of 128; or `par`, `hsc.crf.par`.
    """

    def __init__(
        self, num_labels: int, iterations: int, by: Literal["exact", "lattice", "par"]
    ) -> None:
        self._num_labels, self._by = num_labels, by
        self._config = replace(TRAINING_CRF, iterations=iterations)

    def __call__(self, image: Tensor, labels: Tensor) -> Tensor:
        """(N, 3, S, S) normalised and (V, N, S, S) int64 to (V, N, S, S) int64, same device."""
        pictures = to_pixels(image).float()
        if self._by == "par":
            planes = pictures.permute(0, 3, 1, 2).contiguous()
            return par.refine_labels(planes, labels, self._num_labels, self._config.iterations)
        return refine_labels(pictures, labels, self._num_labels, self._config, kernels=self._by)
