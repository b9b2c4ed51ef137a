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
from hsc.params.base import CrfConfig

KERNEL_SIDE = 128
"""The side in pixels of the pictures that the kernels' extents are for: the paper's view 2."""


def to_pixels(image: Tensor) -> Tensor:
    """Undo the normalisation: (N, 3, S, S) to (N, S, S, 3) uint8 RGB on the same device."""
    mean, std = (image.new_tensor(values)[:, None, None] for values in (MEAN, STD))
    scaled = ((image * std + mean) * 255).round().clamp(0, 255)
    return scaled.permute(0, 2, 3, 1).to(torch.uint8).contiguous()


class LabelRefiner:
    """Refines the pseudo labels of a batch on its pictures (HSC, section 3.4).

    The kernels reach as far across the picture as those of `TRAINING_CRF` across 128 pixels,
    whatever its side: in pixels, they would take more of an object away the smaller it is shown.

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
        config = _scaled(self._config, image.shape[-1] / KERNEL_SIDE)
        return self._refine(to_pixels(image), labels, config)

    def _exact(self, pictures: Tensor, labels: Tensor, config: CrfConfig) -> Tensor:
        return mean_field.refine_labels(pictures.float(), labels, self._num_labels, config)

    def _lattice(self, pictures: Tensor, labels: Tensor, config: CrfConfig) -> Tensor:
        pixels = pictures.cpu().numpy()
        drawn = labels.to(torch.uint8).cpu().numpy()
        refined = [
            [
                refine_labels(picture, one, self._num_labels, config)
                for picture, one in zip(pixels, view, strict=True)
            ]
            for view in drawn
        ]
        return torch.from_numpy(np.array(refined)).to(labels.device, torch.int64)


def _scaled(config: CrfConfig, scale: float) -> CrfConfig:
    """The same kernels for pictures `scale` times as large."""
    return replace(
        config,
        gaussian_sxy=config.gaussian_sxy * scale,
        bilateral_sxy=config.bilateral_sxy * scale,
    )
