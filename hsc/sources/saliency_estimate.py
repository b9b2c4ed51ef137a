"""Where the foreground of a picture is, from the picture alone: no network, no weights.

Zhu, Liang, Wei, Sun: Saliency Optimization from Robust Background Detection (CVPR 2014), over the
superpixels of SLIC (Achanta et al., PAMI 2012), sharpened by GrabCut (Rother, Kolmogorov, Blake,
SIGGRAPH 2004). The idea: background touches the picture's border along much of its outline, so what
does not, and differs in colour from what does, is an object.

H W pixels of the picture, h w of its smaller version, N superpixels. Colours are CIE Lab
(L in 0..100), positions fractions of the picture's height and width.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from hsc.base.errors import SaliencyError
from hsc.data.pictures import shrunk_size

METHOD = (
    "mean of robust background detection (Zhu, Liang, Wei, Sun, CVPR 2014; SLIC superpixels of "
    "OpenCV) and of GrabCut (Rother, Kolmogorov, Blake, SIGGRAPH 2004; OpenCV) started from it"
)
"""What `estimate` is, for the metrics."""

_LONGEST = 300  # of the smaller version; 400 takes half as long again and measured alike
_SUPERPIXELS = 250
_RULER = 20.0  # how compact SLIC keeps superpixels, in OpenCV's scale of 8-bit Lab
_SLIC_STEPS = 10
_SMALLEST_PART = 25  # percent of a superpixel; smaller parts join a neighbour
_GEODESIC_SIGMA = 7.0  # the paper has 10; from 5 to 10 it measured alike
_COLOUR_SIGMA = 10.0
_DISTANCE_SIGMA = 0.25
_LEAST_SMOOTHNESS = 0.1
_CUT_STEPS = 1

Plane = NDArray[np.float64]
Labels = NDArray[np.int64]


class Regions(NamedTuple):
    """The superpixels of a picture."""

    colour: Plane
    """(N, 3) mean colour."""
    position: Plane
    """(N, 2) mean position."""
    adjacent: NDArray[np.bool_]
    """(N, N), symmetric, False on the diagonal."""
    border: Labels
    """Those at the picture's border, ascending."""


def estimate(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The saliency of a picture (H, W, 3) uint8 RGB: (H, W) uint8, 255 is salient.

    The same for the same picture, whatever the number of threads. A picture of one colour has
    none. OpenCV's random numbers are seeded on the way.
    Raises ValueError for another shape or type, HscError where OpenCV is not installed.
    """
    _check_picture(picture)
    cv2 = _opencv()
    with _one_thread(cv2):
        return _estimate(cv2, picture)


def _check_picture(picture: NDArray[np.uint8]) -> None:
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
        raise ValueError(f"needs (H, W, 3) uint8, got {picture.shape} {picture.dtype}")


def sharpen(picture: NDArray[np.uint8], rough: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Saliency from a rough map: the mean of it and of GrabCut's foreground started from it.

    picture: (H, W, 3) uint8 RGB. rough: (H, W) float in [0, 1], such as the strongest class of a
    CAM. Returns (H, W) uint8, 255 is salient. Deterministic as `estimate`; raises as `estimate`,
    and ValueError for a map of another size than the picture.
    """
    _check_picture(picture)
    if rough.shape != picture.shape[:2]:
        raise ValueError(f"a map of {rough.shape} does not fit a picture {picture.shape}")
    cv2 = _opencv()
    with _one_thread(cv2):
        small = _shrink(cv2, picture)
        size = small.shape[1::-1]
        shrunk = cv2.resize(rough.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
        return _with_cut(cv2, small, _in_bytes(shrunk), picture.shape[:2])


def _estimate(cv2: ModuleType, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    small = _shrink(cv2, picture)
    labels = _superpixels(cv2, small)
    regions = describe(cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), labels)
    rough = _in_bytes(region_saliency(regions))[labels]
    return _with_cut(cv2, small, rough, picture.shape[:2])


def _in_bytes(saliency: NDArray) -> NDArray[np.uint8]:
    """0..1 to 0..255, so that the last bits of a solver or a network do not reach the cut."""
    return np.rint(255 * saliency).clip(0, 255).astype(np.uint8)


def _with_cut(
    cv2: ModuleType, small: NDArray[np.uint8], rough: NDArray[np.uint8], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """The mean of a rough map (h, w) and its cut, at `size` = (H, W)."""
    mean = (rough.astype(np.float32) + _cut(cv2, small, rough)) / 2
    full = cv2.resize(mean, size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.rint(full).clip(0, 255).astype(np.uint8)


def describe(lab: NDArray[np.float32], labels: Labels) -> Regions:
    """The superpixels of a picture (h, w, 3) in Lab; labels (h, w), each of 0..N-1 is there."""
    counts = np.bincount(labels.ravel())
    rows, columns = np.indices(labels.shape)

    def means(*planes: NDArray) -> Plane:
        sums = [np.bincount(labels.ravel(), plane.ravel().astype(float)) for plane in planes]
        return np.stack(sums, axis=1) / counts[:, None]

    height, width = labels.shape
    adjacent = np.zeros((len(counts), len(counts)), dtype=bool)
    for one, other in _neighbours(labels):
        adjacent[one.ravel(), other.ravel()] = True
    adjacent |= adjacent.T
    np.fill_diagonal(adjacent, False)
    edges = labels[0], labels[-1], labels[:, 0], labels[:, -1]
    return Regions(
        means(*lab.transpose(2, 0, 1)),
        means(rows / height, columns / width),
        adjacent,
        np.unique(np.concatenate(edges)),
    )


def region_saliency(regions: Regions) -> Plane:
    """The saliency of each superpixel, (N,) in 0..1, the highest is 1.

    The minimum of Σ background s² + Σ contrast (s - 1)² + Σ smoothness (s - s')², the paper's
    cost; all 0 where no superpixel differs from another.
    """
    difference = _distances(regions.colour)
    background = background_probability(regions, difference)
    contrast = _background_contrast(regions, difference, background)
    if not contrast.any():
        return contrast
    # The paper's graph: neighbours, the neighbours of these, and the border's among themselves.
    near = regions.adjacent.astype(int)
    linked = _with_linked_border((near + near @ near) > 0, regions.border)
    smoothness = linked * (_gaussian(difference, _COLOUR_SIGMA) + _LEAST_SMOOTHNESS)
    system = np.diag(smoothness.sum(axis=1) + background + contrast) - smoothness
    return _stretch(np.linalg.solve(system, contrast))


def background_probability(regions: Regions, difference: Plane) -> Plane:
    """How surely each superpixel is background, (N,) in 0..1; difference: (N, N) of the colours.

    The paper's boundary connectivity: how much of the border belongs to the superpixel's soft
    region, over the square root of the region's area. A region is what can be reached by small
    steps of colour. As in the paper's code, a step costs only what it exceeds the usual step to
    the closest neighbour by, so that texture does not add up.
    """
    nearest = np.where(regions.adjacent, difference, np.inf).min(axis=1)
    usual = nearest[np.isfinite(nearest)].mean() if np.isfinite(nearest).any() else 0.0
    one, other = np.nonzero(_with_linked_border(regions.adjacent, regions.border))
    # Given as a list, since a free step is 0 and would count as none in a matrix.
    costs = np.maximum(difference[one, other] - usual, 0)
    graph = sparse.csr_matrix((costs, (one, other)), shape=difference.shape)
    region = _gaussian(csgraph.shortest_path(graph, method="D"), _GEODESIC_SIGMA)
    connectivity = region[:, regions.border].sum(axis=1) / np.sqrt(region.sum(axis=1))
    return 1 - np.exp(-(connectivity**2) / 2)


def _background_contrast(regions: Regions, difference: Plane, background: Plane) -> Plane:
    """How much each superpixel differs from background near it, (N,) in 0..1."""
    closeness = _gaussian(_distances(regions.position), _DISTANCE_SIGMA)
    return _stretch((difference * closeness * background).sum(axis=1))


def _with_linked_border(adjacent: NDArray[np.bool_], border: Labels) -> NDArray[np.bool_]:
    linked = adjacent.copy()
    linked[np.ix_(border, border)] = True
    np.fill_diagonal(linked, False)
    return linked


def _neighbours(labels: Labels) -> list[tuple[Labels, Labels]]:
    """Labels of pixels that touch: across, down, and on both diagonals."""
    return [
        (labels[:, 1:], labels[:, :-1]),
        (labels[1:], labels[:-1]),
        (labels[1:, 1:], labels[:-1, :-1]),
        (labels[1:, :-1], labels[:-1, 1:]),
    ]


def _distances(points: Plane) -> Plane:
    """(N, D) to (N, N)."""
    return np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2))


def _gaussian(distance: Plane, sigma: float) -> Plane:
    return np.exp(-(distance**2) / (2 * sigma**2))


def _stretch(values: Plane) -> Plane:
    """To 0..1; all 0 where they are equal but for rounding."""
    low, high = values.min(), values.max()
    if high - low <= 1e-9 * max(abs(high), 1):
        return np.zeros_like(values)
    return (values - low) / (high - low)


def _opencv() -> ModuleType:
    """OpenCV is imported here, since only estimating needs it."""
    try:
        import cv2
        import cv2.ximgproc
    except ImportError as error:
        raise SaliencyError(
            f"saliency cannot be estimated without OpenCV and its contributed modules ({error}); "
            "pip install opencv-contrib-python-headless, or choose another saliency"
        ) from None
    return cv2


@contextmanager
def _one_thread(cv2: ModuleType) -> Iterator[None]:
    """Pictures are small and their results must not depend on threads; workers are many."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _shrink(cv2: ModuleType, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    size = shrunk_size(width, height, _LONGEST)
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _superpixels(cv2: ModuleType, small: NDArray[np.uint8]) -> Labels:
    """(h, w) labels 0..N-1 of superpixels, about 250 in a picture of usual shape."""
    smooth = cv2.cvtColor(cv2.GaussianBlur(small, (3, 3), 0), cv2.COLOR_RGB2LAB)
    side = max(2, int(np.sqrt(smooth[..., 0].size / _SUPERPIXELS)))
    slic = cv2.ximgproc.createSuperpixelSLIC(smooth, cv2.ximgproc.SLIC, side, _RULER)
    slic.iterate(_SLIC_STEPS)
    slic.enforceLabelConnectivity(_SMALLEST_PART)
    labels = slic.getLabels()
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape)


def _cut(
    cv2: ModuleType, small: NDArray[np.uint8], rough: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """GrabCut's foreground of a picture (h, w, 3), (h, w) of 0 and 255.

    rough: (h, w) saliency, by whose Otsu threshold it starts. Far from the threshold the saliency
    is taken for certain. Where it does not part the picture, it is returned as it is.
    """
    bound = cv2.threshold(rough, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[0]
    seeds = np.where(rough > bound, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    seeds[rough < 0.3 * bound] = cv2.GC_BGD
    seeds[rough > bound + 0.6 * (255 - bound)] = cv2.GC_FGD
    if not _parted(cv2, seeds):
        return rough.astype(np.float32)
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    bgr = np.ascontiguousarray(small[..., ::-1])
    cv2.grabCut(bgr, seeds, None, *models, _CUT_STEPS, cv2.GC_INIT_WITH_MASK)
    return np.where(_is_foreground(cv2, seeds), np.float32(255), np.float32(0))


def _is_foreground(cv2: ModuleType, seeds: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return (seeds == cv2.GC_FGD) | (seeds == cv2.GC_PR_FGD)


def _parted(cv2: ModuleType, seeds: NDArray[np.uint8]) -> bool:
    """GrabCut fits colours to both sides, so it needs pixels of both."""
    inside = _is_foreground(cv2, seeds)
    return bool(inside.any() and not inside.all())
