"""Inference of a segmentation network: class probabilities and labels of whole pictures.

Letters: B pictures of a batch, C foreground classes, H W pixels.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from hsc.base.pool import map_ordered
from hsc.base.progress import Progress, follow, unseen
from hsc.base.sharing import in_turns
from hsc.cam.inference import ScaledPictures, scale_picture
from hsc.crf.dense import CrfConfig, refine_prediction
from hsc.crf.device import crf_processes
from hsc.data.voc import VocFolder, write_mask
from hsc.engine.loading import in_order
from hsc.engine.runtime import Runtime, detect_runtime, one_thread
from hsc.nets.segmentation import SegmentationNetwork, load_segmentation
from hsc.nets.weights import check_classes
from hsc.params.segmentation import PredictParams


def predict_logits(
    network: SegmentationNetwork, batches: Sequence[Tensor], size: tuple[int, int]
) -> Tensor:
    """Mean of the logits over scales and flips: (C+1, H, W) float32.

    batches: one (1 or 2, 3, h', w') a scale, the second picture being the mirror image.
    """
    return predict_batch(network, batches, size, 1)[0]


@torch.no_grad()
def predict_batch(
    network: SegmentationNetwork, batches: Sequence[Tensor], size: tuple[int, int], pictures: int
) -> Tensor:
    """The same for several pictures of one size: (B, C+1, H, W) float32.

    batches: one (B or 2 B, 3, h', w') a scale, the mirror images behind all B `pictures`.
    """
    # A running sum: for 81 classes the maps of all scales together would take a gigabyte.
    total = torch.zeros((), device=batches[0].device)
    for batch in batches:
        logits = network(batch).float()
        logits = torch.cat([logits[:pictures], logits[pictures:].flip(3)])
        resized = F.interpolate(logits, size, mode="bilinear", align_corners=False)
        total = total + resized.unflatten(0, (-1, pictures)).sum(dim=0)
    return total / (sum(map(len, batches)) // pictures)


def picture_logits(
    network: SegmentationNetwork,
    image: NDArray[np.uint8],
    scales: Sequence[float],
    flip: bool,
    runtime: Runtime,
) -> Tensor:
    """The logits of one picture (H, W, 3) that is there already: (C+1, H, W) float32.

    On the device, where the network is, in eval mode.
    """
    batches = [batch.to(runtime.device) for batch in scale_picture(image, scales, flip)]
    with runtime.autocast():
        return predict_logits(network, batches, image.shape[:2])


def predict_labels(
    network: SegmentationNetwork,
    folder: VocFolder,
    ids: Sequence[str],
    scales: Sequence[float],
    flip: bool,
    runtime: Runtime,
    progress: Progress = unseen,
    crf: CrfConfig | None = None,
    processes: int = 1,
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield `(id, labels (H, W) uint8)` for each picture, in order.

    With `crf` they are those of a dense CRF on the softmax, in `processes` processes while this one
    goes on with the network; without, those of the largest logit.
    """
    work = partial(_labels, network, folder, scales, flip, crf)
    labels = in_turns(work, ids, [runtime, processes], [detect_runtime, crf_processes])
    yield from follow(zip(ids, labels, strict=True), len(ids), progress)


def _labels(
    network: SegmentationNetwork,
    folder: VocFolder,
    scales: Sequence[float],
    flip: bool,
    crf: CrfConfig | None,
    ids: Sequence[str],
    runtime: Runtime,
    processes: int,
) -> Iterator[NDArray[np.uint8]]:
    """Labels (H, W) of each picture."""
    logits = _logits(network, folder, scales, flip, ids, runtime)
    if crf is None:
        yield from (found.argmax(dim=0).to(torch.uint8).cpu().numpy() for found in logits)
        return
    found = (each.softmax(dim=0).contiguous().cpu().numpy() for each in logits)
    tasks = zip(map(folder.image, ids), found, strict=True)
    with one_thread():
        yield from map_ordered(partial(refine_prediction, config=crf), tasks, processes)


def _logits(
    network: SegmentationNetwork,
    folder: VocFolder,
    scales: Sequence[float],
    flip: bool,
    ids: Sequence[str],
    runtime: Runtime,
) -> Iterator[Tensor]:
    """(C+1, H, W) float32 of each picture, on the device."""
    runtime.ready(network)
    for _, size, batches in in_order(ScaledPictures(folder, ids, scales, flip), runtime):
        moved = [batch.to(runtime.device, non_blocking=True) for batch in batches]
        with runtime.autocast():
            logits = predict_logits(network, moved, tuple(size))
        yield logits


def predict_split(
    weights: Path,
    folder: VocFolder,
    split: str,
    how: PredictParams,
    progress: Progress = unseen,
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """The same for a split, with the network in a weights file, where this run happens.

    Raises HscError, at the first item, for weights of another kind or of other classes.
    """
    network, spec = load_segmentation(weights)
    check_classes(weights, spec, folder.class_names)
    yield from predict_labels(
        network, folder, folder.ids(split), how.scales, how.flip, detect_runtime(), progress,
        how.crf, crf_processes(),
    )  # fmt: skip


def write_labels(labels: Iterable[tuple[str, NDArray[np.uint8]]], folder: Path) -> int:
    """Write `(id, labels)` as palette PNGs; returns how many."""
    count = 0
    for image_id, indices in labels:
        write_mask(folder / f"{image_id}.png", indices)
        count += 1
    return count
