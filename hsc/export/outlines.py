"""Label maps as polygons, one a connected region, as annotation tools edit them.

Corners are measured from the picture's upper left corner, in pixels: a pixel covers [x, x + 1].

Letters: H W pixels, P corners of a polygon.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

_FINER = 2
"""A contour goes through the middles of pixels; of pixels of half the size it keeps to its own."""


def outlines(region: NDArray[np.bool_], tolerance: float) -> list[NDArray[np.float64]]:
    """The polygons (P, 2) of x and y around the regions of a mask (H, W).

    Pixels that touch at a corner are of one region. A hole is cut in: the polygon goes to it and
    back on the same line. tolerance: pixels that a polygon may lie beside the edge, to have fewer
    corners (Douglas and Peucker 1973); with 0 pycocotools fills it with the same pixels.
    """
    fine = region.repeat(_FINER, axis=0).repeat(_FINER, axis=1).astype(np.uint8)
    contours, tree = cv2.findContours(fine, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return []
    rings = [_simplified(contour[:, 0], tolerance) for contour in contours]
    parents = tree[0, :, 3]
    found = []
    for outer in np.flatnonzero(parents < 0):
        ring = rings[outer]
        for hole in np.flatnonzero(parents == outer):
            ring = _cut_in(ring, rings[hole])
        found.append(ring)
    return found


def _simplified(contour: NDArray[np.int32], tolerance: float) -> NDArray[np.float64]:
    """(P, 2) in pixels of the mask; what would lose its inside keeps its corners."""
    if tolerance > 0:
        fewer = cv2.approxPolyDP(contour, tolerance * _FINER, closed=True)[:, 0]
        contour = fewer if len(fewer) > 2 else contour
    return (contour + 0.5) / _FINER


def _cut_in(ring: NDArray[np.float64], hole: NDArray[np.float64]) -> NDArray[np.float64]:
    """One ring around both, joined where they are nearest."""
    distances = ((ring[:, None] - hole[None]) ** 2).sum(axis=2)
    at, inner = np.unravel_index(distances.argmin(), distances.shape)
    turned = np.roll(hole, -inner, axis=0)
    return np.concatenate([ring[: at + 1], turned, turned[:1], ring[at:]])
