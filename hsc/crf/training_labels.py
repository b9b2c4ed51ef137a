"""The dense CRF on pseudo labels during training: tensors in, tensors out.

Letters: V views, N batch, S side of the pictures in pixels.
"""

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from hsc.crf import mean_field
from hsc.crf.dense import TRAINING_CRF, refine_labels
from hsc.data.preprocessing import MEAN, STD


def to_pixels(image: Tensor) -> Tensor:
    """Undo the normalisation: (N, 3, S, S) to (N, S, S, 3) uint8 RGB on the same device."""
    mean, std = (image.new_tensor(values)[:, None, None] for values in (MEAN, STD))
    scaled = ((image * std + mean) * 255).round().clamp(0, 255)
    return scaled.permute(0, 2, 3, 1).to(torch.uint8).contiguous()


class LabelRefiner:
    """Refines the pseudo labels of a batch on its pictures (HSC, section 3.4).

    kernels: `exact` (`hsc.crf.mean_field`: on the tensors' device, memory 4 S^4 bytes a
    picture) or `lattice` (pydensecrf's approximation: on one CPU core, for large S).
    """

    def __init__(
        self, num_labels: int, iterations: int, kernels: Literal["exact", "lattice"]
    ) -> None:
        self._num_labels = num_labels
        self._config = replace(TRAINING_CRF, iterations=iterations)
        self._refine = self._exact if kernels == "exact" else self._lattice

    def __call__(self, image: Tensor, labels: Tensor) -> Tensor:
        """(N, 3, S, S) normalised and (V, N, S, S) int64 to (V, N, S, S) int64, same device."""
        return self._refine(to_pixels(image), labels)

    def _exact(self, pictures: Tensor, labels: Tensor) -> Tensor:
        return mean_field.refine_labels(pictures.float(), labels, self._num_labels, self._config)

    def _lattice(self, pictures: Tensor, labels: Tensor) -> Tensor:
        pixels = pictures.cpu().numpy()
        drawn = labels.to(torch.uint8).cpu().numpy()
        refined = [
            [
                refine_labels(picture, one, self._num_labels, self._config)
                for picture, one in zip(pixels, view, strict=True)
            ]
            for view in drawn
        ]
        return torch.from_numpy(np.array(refined)).to(labels.device, torch.int64)
