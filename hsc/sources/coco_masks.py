"""COCO's segmentations: run lengths in, class indices out.

An object is polygons or run lengths, these plain or as a string; run lengths go down the columns
and begin with those outside. Everything is kept as pycocotools' compressed run lengths, a few
hundred bytes an object.

Lin et al., Microsoft COCO: Common Objects in Context (ECCV 2014). H W pixels of a picture.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from hsc.data.classes import BACKGROUND

_FARTHEST = 1e5  # pixels; pycocotools walks along edges, without end where a corner is far off


class Instance(NamedTuple):
    """An annotated object, or a crowd of them, of class index `label`."""

    number: int
    label: int
    crowd: bool
    runs: bytes


def encode(segmentation: Any, height: int, width: int) -> bytes:
    """A segmentation, as it stands in COCO's JSON, as compressed run lengths of an (H, W) mask.

    A polygon of less than three corners has no inside and is left out. Raises ValueError for what
    is no segmentation, has run lengths of another size than (H, W) or corners far outside.
    """
    if isinstance(segmentation, list):
        return _encode_polygons(segmentation, height, width)
    if isinstance(segmentation, Mapping):
        return _encode_runs(segmentation, height, width)
    raise ValueError("it is neither polygons nor run lengths")


def paint(height: int, width: int, instances: Iterable[Instance]) -> NDArray[np.uint8]:
    """Class indices (H, W) uint8, 0 where nothing is annotated.

    Where instances overlap, the smaller is on top, for what lies in front is mostly the smaller,
    and crowds are below all. Of two of one size, the one of the higher number is on top, so the
    order of `instances` is nothing.
    """
    # columns first, as pycocotools decodes: half the time
    mask = np.full((height, width), BACKGROUND, dtype=np.uint8, order="F")
    for instance in sorted(instances, key=lambda one: _depth(one, height, width)):
        mask[_decode(instance, height, width)] = instance.label
    return np.ascontiguousarray(mask)


def _depth(instance: Instance, height: int, width: int) -> tuple[bool, int, int]:
    area = int(coco.area({"size": [height, width], "counts": instance.runs}))
    return (not instance.crowd, -area, instance.number)


def _decode(instance: Instance, height: int, width: int) -> NDArray[np.bool_]:
    return coco.decode({"size": [height, width], "counts": instance.runs}).view(np.bool_)


def _encode_polygons(polygons: Sequence[Any], height: int, width: int) -> bytes:
    if not polygons:
        raise ValueError("it has no polygon")
    corners = [points for points in map(_corners, polygons) if points.size >= 6]
    if not corners:
        return _compress([height * width], height, width)
    return coco.merge(coco.frPyObjects(corners, height, width))["counts"]


def _corners(polygon: Any) -> NDArray[np.float64]:
    """x, y, x, y, ... of a polygon. Raises ValueError."""
    try:
        points = np.asarray(polygon, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError("a polygon has corners that are no numbers") from None
    if points.ndim != 1 or points.size % 2:
        raise ValueError("a polygon is no list of x, y, x, y, ...")
    if not (np.abs(points) <= _FARTHEST).all():  # so that NaN is caught as well
        raise ValueError("a polygon has a corner far outside of the picture")
    return points


def _encode_runs(encoded: Mapping[str, Any], height: int, width: int) -> bytes:
    """Raises ValueError for run lengths that do not fill (H, W): decoded, they would leave
    whatever the memory held."""
    if encoded.get("size") != [height, width]:
        raise ValueError(f"its size is {encoded.get('size')}, not {[height, width]}")
    counts = encoded.get("counts")
    runs = decompress(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(isinstance(run, int) and run >= 0 for run in runs):
        raise ValueError("its counts are no run lengths")
    if sum(runs) != height * width:
        raise ValueError(f"its run lengths fill {sum(runs)} of {height * width} pixels")
    return _compress(runs, height, width)


def _compress(runs: list[int], height: int, width: int) -> bytes:
    encoded = {"size": [height, width], "counts": runs}
    return coco.frPyObjects(encoded, height, width)["counts"]


def decompress(text: str) -> list[int]:
    """The run lengths in COCO's compressed string.

    Each is a number in groups of five bits, the lowest first, a sixth bit telling that more
    follow, as signs from "0"; from the fourth on, it is the difference to the one before the last.
    Raises ValueError for other signs and for a string that is cut off.
    """
    runs: list[int] = []
    value, shift = 0, 0
    for sign in text:
        bits = ord(sign) - ord("0")
        if not 0 <= bits < 64:
            raise ValueError(f"its counts hold the sign {sign!r}")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value, shift = 0, 0
    if shift:
        raise ValueError("its counts are cut off")
    return runs
