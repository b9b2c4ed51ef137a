"""What a segmentation network says while it is trained, to look at.

Letters: H W pixels.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from hsc.data.overlay import colour_labels
from hsc.data.voc import VocFolder
from hsc.engine.runtime import Runtime
from hsc.engine.watch import looked_at
from hsc.nets.segmentation import SegmentationNetwork
from hsc.segmentation.inference import picture_logits


def label_pictures(
    network: SegmentationNetwork, folder: VocFolder, ids: Sequence[str], runtime: Runtime
) -> dict[str, NDArray[np.uint8]]:
    """By id a picture and its prediction at one scale side by side: (H, 2 W, 3) RGB."""
    with looked_at(network):
        return {image_id: _drawn(network, folder.image(image_id), runtime) for image_id in ids}


def _drawn(
    network: SegmentationNetwork, image: NDArray[np.uint8], runtime: Runtime
) -> NDArray[np.uint8]:
    logits = picture_logits(network, image, [1.0], False, runtime)
    labels = logits.argmax(dim=0).to(torch.uint8).cpu().numpy()
    return np.concatenate([image, colour_labels(image, labels)], axis=1)
