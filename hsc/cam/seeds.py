"""Seeds: class activation maps cut at a threshold, a given one or their own.

Letters: K tagged classes of an image, H W pixels, B bins.
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


def otsu_threshold(histogram: NDArray) -> float:
    """The threshold that parts scores in [0, 1] into two groups whose means are furthest apart.

    histogram: (B,) non-negative counts or weights of B equal bins over [0, 1]. Returns the edge of
    two bins for which w0 w1 (m0 - m1)^2 is largest, w and m being the groups' weights and means
    (Otsu, A Threshold Selection Method from Gray-Level Histograms, 1979, equation 14); the middle
    one of equal edges. Raises ValueError for a histogram with a negative value or without a
    positive one.
    """
    weights = np.asarray(histogram, dtype=np.float64)
    if weights.ndim != 1 or weights.min(initial=0) < 0 or not weights.sum() > 0:
        raise ValueError("a histogram has one axis, no negative value and a positive one")
    bins = len(weights)
    weights = weights / weights.sum()
    below = weights.cumsum()[:-1]
    moment = (weights * (np.arange(bins) + 0.5) / bins).cumsum()
    apart = (moment[-1] * below - moment[:-1]) ** 2
    spread = np.divide(apart, below * (1 - below), out=np.zeros_like(apart), where=apart > 0)
    # Between two groups with nothing in the middle every edge is as good.
    (best,) = np.nonzero(np.isclose(spread, spread.max(initial=0), rtol=1e-9, atol=0))
    return float(best.mean() + 1) / bins if len(best) else 0.5
