"""Label maps as COCO's annotations, and corrected annotations as label maps.

Lin et al., Microsoft COCO: Common Objects in Context (ECCV 2014). H W pixels of a picture.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from hsc.base.errors import AnnotationError
from hsc.data.classes import BACKGROUND
from hsc.export.labelled import Labelled
from hsc.export.outlines import outlines
from hsc.sources.coco_masks import Instance, encode, paint


def coco_document(
    pictures: Iterable[Labelled], names: Sequence[str], tolerance: float | None
) -> dict[str, Any]:
    """COCO's object annotations: of each class the polygons of its regions, or its run lengths.

    names: of the foreground classes. tolerance: as of `outlines`; None for run lengths, one
    annotation for all pixels of a class. Pixels that are unsure (255) belong to no annotation.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, one in enumerate(pictures, 1):
        height, width = one.labels.shape
        images.append(
            {"id": number, "file_name": one.picture.name, "height": height, "width": width}
        )
        for index, region in one.regions():
            for segmentation in _segmentations(region, tolerance):
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": index,
                        "segmentation": segmentation,
                        "iscrowd": 0,
                        **_measures(segmentation, height, width),
                    }
                )
    categories = [{"id": index, "name": name} for index, name in enumerate(names, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _segmentations(region: NDArray[np.bool_], tolerance: float | None) -> list[Any]:
    if tolerance is not None:
        return [[polygon.ravel().tolist()] for polygon in outlines(region, tolerance)]
    runs = coco.encode(np.asfortranarray(region, dtype=np.uint8))
    return [{"size": list(region.shape), "counts": runs["counts"].decode()}]


def _measures(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    runs = {"size": [height, width], "counts": encode(segmentation, height, width)}
    return {"area": int(coco.area(runs)), "bbox": coco.toBbox(runs).tolist()}


def read_coco(path: Path, names: Sequence[str]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """By picture its stem and labels (H, W) uint8, of annotations that were corrected.

    Categories are told by their name. Where annotations overlap, the smaller is on top. Raises
    HscError for a file of another kind, a category of no such name and a broken segmentation.
    """
    content = read_document(path)
    try:
        labels = {each["id"]: label_of(each["name"], names, path) for each in content["categories"]}
        of_picture = defaultdict(list)
        for each in content["annotations"]:
            of_picture[each["image_id"]].append(each)
        for image in content["images"]:
            mask = _painted(image, of_picture[image["id"]], labels)
            yield Path(image["file_name"]).stem, mask
    except (KeyError, TypeError, ValueError) as error:
        raise AnnotationError(
            f"{path}: no annotations of COCO's form ({error!r}); export them again"
        ) from None


def read_document(path: Path) -> Any:
    """A JSON file that a person or a tool saved. Raises HscError for one that is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AnnotationError(f"{path}: no JSON ({error}); save it again") from None


def _painted(
    image: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]], labels: Mapping[int, int]
) -> NDArray[np.uint8]:
    height, width = image["height"], image["width"]
    return paint(
        height,
        width,
        [
            Instance(
                number,
                labels[each["category_id"]],
                bool(each.get("iscrowd", 0)),
                encode(each["segmentation"], height, width),
            )
            for number, each in enumerate(annotations)
        ],
    )


def label_of(name: str, names: Sequence[str], path: Path) -> int:
    """The class index of a name, 0 for `background`. Raises HscError for an unknown one."""
    if name in names:
        return 1 + names.index(name)
    if name == "background":
        return BACKGROUND
    raise AnnotationError(
        f"{path}: class {name!r}, but there are {', '.join(names)}; correct the name"
    )
