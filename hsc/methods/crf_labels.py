"""The dense CRF on pseudo labels during training: tensors in, tensors out.

Letters: N batch, S side of view 2 in pixels.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from hsc.crf import TRAINING_CRF, refine_labels
from hsc.data.transforms import MEAN, STD


def to_pixels(image: Tensor) -> np.ndarray:
    """Undo the normalisation: (N, 3, S, S) to (N, S, S, 3) uint8 RGB."""
    mean, std = (image.new_tensor(values)[:, None, None] for values in (MEAN, STD))
    scaled = ((image * std + mean) * 255).round().clamp(0, 255)
    return scaled.permute(0, 2, 3, 1).to(torch.uint8).cpu().numpy()


class LabelRefiner:
    """Refines the pseudo labels of a batch, picture by picture (HSC, section 3.4)."""

    def __init__(self, num_labels: int, iterations: int) -> None:
        self._num_labels = num_labels
        self._config = replace(TRAINING_CRF, iterations=iterations)

    def __call__(self, image: Tensor, label: Tensor) -> Tensor:
        """(N, 3, S, S) normalised and (N, S, S) int64 to (N, S, S) int64 on the same device."""
        pictures = to_pixels(image)
        labels = label.to(torch.uint8).cpu().numpy()
        refined = [
            refine_labels(picture, one, self._num_labels, self._config)
            for picture, one in zip(pictures, labels, strict=True)
        ]
        return torch.from_numpy(np.stack(refined)).to(label.device, torch.int64)
