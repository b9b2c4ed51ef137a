"""DeepLab inference: class probabilities and labels of whole pictures.

Letters: C foreground classes, H W pixels.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from hsc.cams import ScaledPictures
from hsc.data.voc import VocFolder, write_mask
from hsc.engine.loading import in_order
from hsc.engine.runtime import Runtime
from hsc.nets.deeplab import DeepLab


@torch.no_grad()
def predict_logits(network: DeepLab, batches: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Mean of the logits over scales and flips: (C+1, H, W) float32.

    batches: one (1 or 2, 3, h', w') a scale, the second picture being the mirror image.
    """
    total = []
    for batch in batches:
        logits = network(batch).float()
        logits = torch.cat([logits[:1], logits[1:].flip(3)])
        resized = F.interpolate(logits, size, mode="bilinear", align_corners=False)
        total.append(resized)
    return torch.cat(total).mean(dim=0)


def predict_labels(
    network: DeepLab,
    folder: VocFolder,
    ids: Sequence[str],
    scales: Sequence[float],
    flip: bool,
    runtime: Runtime,
    progress: Callable[[Iterable], Iterable] = iter,
) -> Iterable[tuple[str, NDArray[np.uint8]]]:
    """Yield `(id, labels (H, W) uint8)` for each picture, in order."""
    network.to(runtime.device).eval()
    pictures = ScaledPictures(folder, ids, scales, flip)
    for image_id, size, batches in progress(in_order(pictures, runtime)):
        moved = [batch.to(runtime.device, non_blocking=True) for batch in batches]
        with runtime.autocast():
            logits = predict_logits(network, moved, tuple(size))
        yield image_id, logits.argmax(dim=0).to(torch.uint8).cpu().numpy()


def write_labels(labels: Iterable[tuple[str, NDArray[np.uint8]]], folder: Path) -> int:
    """Write `(id, labels)` as palette PNGs; returns how many."""
    count = 0
    for image_id, indices in labels:
        write_mask(folder / f"{image_id}.png", indices)
        count += 1
    return count
