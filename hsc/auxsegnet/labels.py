"""AuxSegNet's pseudo labels of one picture (Xu et al., ICCV 2021, section 3.4): CAM and saliency.

Nothing here needs torch: the CRF runs in processes of its own.

Letters: K tagged classes of a picture, H W pixels.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hsc.crf.dense import mean_field
from hsc.data.classes import BACKGROUND, IGNORE
from hsc.params.base import CrfConfig
from hsc.params.segmentation import AuxLabelParams

_SMALLEST = 1e-8
_SHARPNESS = 1.05


class Update(NamedTuple):
    """What the network says of a picture, at its size."""

    image_id: str
    image: NDArray[np.uint8]  # (H, W, 3)
    cam: NDArray[np.float32]  # (K, H, W), refined
    classes: NDArray[np.int64]  # (K,), 1..C
    saliency: NDArray[np.float64]  # (H, W) in [0, 1], fused


class RoundLabels(NamedTuple):
    """What a round learns from, of one picture."""

    label: NDArray[np.uint8]  # (H, W), 0..C, 255 where nothing is sure
    saliency: NDArray[np.uint8]  # (H, W), 255 is salient


def label_of(
    cam: NDArray, classes: NDArray, saliency: NDArray, how: AuxLabelParams
) -> NDArray[np.uint8]:
    """The pseudo label: what CAM and saliency agree about, 255 where only one of them is active.

    cam: (K, H, W) >= 0, K may be 0. classes: (K,), 1..C. saliency: (H, W) in [0, 1]. Active is what
    lies strictly above the threshold; of equal classes the first wins. Returns (H, W) uint8.
    """
    classified = cam.max(axis=0, initial=0) > how.cam_threshold
    salient = saliency > how.saliency_threshold
    label = np.full(saliency.shape, IGNORE, dtype=np.uint8)
    label[~classified & ~salient] = BACKGROUND
    both = classified & salient
    if both.any():
        strongest = np.asarray(classes, dtype=np.uint8)[cam.argmax(axis=0)]
        label[both] = strongest[both]
    return label


def refine_saliency(
    image: NDArray[np.uint8], saliency: NDArray, config: CrfConfig
) -> NDArray[np.float32]:
    """A dense CRF of two labels, as published: (H, W) in [0, 1] to the object's probability.

    The unary energy of an object is -log m / (1.05 sigmoid(m)), that of the background the same of
    1 - m. image: (H, W, 3) uint8. Raises as `hsc.crf.dense.mean_field`.
    """
    both = np.stack([1 - saliency, saliency]).astype(np.float64)
    unary = -np.log(both + _SMALLEST) * (1 + np.exp(-both)) / _SHARPNESS
    return mean_field(image, unary, config)[1]


def first_labels(
    cam: NDArray, classes: NDArray, saliency: NDArray[np.uint8], how: AuxLabelParams
) -> RoundLabels:
    """Of the first round: from the CAMs of a classifier and the saliency maps as they are given."""
    return RoundLabels(label_of(cam, classes, saliency / 255, how), saliency)


def next_labels(update: Update, how: AuxLabelParams) -> RoundLabels:
    """Of every further round: the fused saliency goes through the CRF first."""
    try:
        salient = refine_saliency(update.image, update.saliency, how.crf)
    except Exception as error:
        error.add_note(f"in the CRF of picture {update.image_id}")
        raise
    label = label_of(update.cam, update.classes, salient, how)
    return RoundLabels(label, (255 * salient).astype(np.uint8))
