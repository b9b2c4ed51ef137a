"""Seeds: class activation maps cut at a threshold.

Letters: K tagged classes of an image, H W pixels.
"""

import numpy as np
from numpy.typing import NDArray

from hsc.data.classes import BACKGROUND


def threshold_seeds(
    cam: NDArray[np.float32], classes: NDArray, threshold: float
) -> NDArray[np.uint8]:
    """Label each pixel with its arg-max class where that is above the threshold, else background.

    cam: float (K, H, W) in [0, 1]. classes: the K class indices, 1..254. threshold: the background
    score; a value equal to it is background, and the first of equal classes wins. The comparison
    is made in float32, so a CAM that was stored as float16 gives the same seeds everywhere.
    Returns uint8 (H, W). K = 0 gives all background. Raises ValueError for shapes that do not fit.
    """
    classes = np.asarray(classes, dtype=np.uint8)
    if cam.ndim != 3 or len(cam) != len(classes):
        raise ValueError(f"cam {cam.shape} does not fit {len(classes)} classes")
    if not len(classes):
        return np.full(cam.shape[1:], BACKGROUND, dtype=np.uint8)
    foreground = cam.max(axis=0).astype(np.float32, copy=False) > np.float32(threshold)
    return np.where(foreground, classes[cam.argmax(axis=0)], np.uint8(BACKGROUND))
