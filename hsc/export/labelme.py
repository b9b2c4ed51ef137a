"""Label maps as LabelMe's files, one beside each picture, and corrected files as label maps.

Wada, LabelMe: Image Polygonal Annotation with Python. H W pixels of a picture.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsc.base.errors import AnnotationError
from hsc.export.coco import label_of, read_document
from hsc.export.labelled import Labelled
from hsc.export.outlines import outlines
from hsc.sources.coco_masks import Instance, encode, paint

_VERSION = "5.0.0"  # of the form; LabelMe asks for nothing but a number


def labelme_document(one: Labelled, names: Sequence[str], tolerance: float) -> dict[str, Any]:
    """A polygon for each region of a class; names: of the foreground classes."""
    height, width = one.labels.shape
    shapes = [
        {
            "label": names[index - 1],
            "points": polygon.tolist(),
            "group_id": None,
            "shape_type": "polygon",
            "flags": {},
        }
        for index, region in one.regions()
        for polygon in outlines(region, tolerance)
    ]
    return {
        "version": _VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": one.picture.name,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }


def read_labelme(folder: Path, names: Sequence[str]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """By file its stem and labels (H, W) uint8; polygons and rectangles.

    Where shapes overlap, the smaller is on top. Raises HscError for a folder without files, another
    shape, a class of no such name and a file of another kind.
    """
    files = sorted(folder.glob("[!.]*.json"))
    if not files:
        raise AnnotationError(f"{folder}: no files of LabelMe (JSON) in it; give their folder")
    for path in files:
        content = read_document(path)
        try:
            height, width = content["imageHeight"], content["imageWidth"]
            shapes = [
                Instance(
                    number,
                    label_of(shape["label"], names, path),
                    False,
                    encode([_corners(shape, path)], height, width),
                )
                for number, shape in enumerate(content["shapes"])
            ]
            yield path.stem, paint(height, width, shapes)
        except (KeyError, TypeError, ValueError) as error:
            raise AnnotationError(
                f"{path}: no file of LabelMe ({error!r}); save it again"
            ) from None


def _corners(shape: dict[str, Any], path: Path) -> list[float]:
    """x, y, x, y, ... of a polygon or rectangle."""
    kind = shape.get("shape_type", "polygon")
    if kind == "polygon":
        return [value for point in shape["points"] for value in point]
    if kind == "rectangle":
        (left, top), (right, bottom) = shape["points"]
        return [left, top, right, top, right, bottom, left, bottom]
    raise AnnotationError(f"{path}: a shape is a {kind}; draw it as a polygon")
