"""Miniatures of COCO 2014's archives with their true layout."""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from hsc.data.classes import COCO_CLASSES, palette

CATEGORY_IDS = tuple(
    number for number in range(1, 91) if number not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
)
"""COCO's, of which ten of 1 to 90 were never used."""

HEIGHT, WIDTH = 48, 64


def file_name(part: str, number: int) -> str:
    """The name of a picture of train2014 or val2014."""
    return f"COCO_{part}_{number:012d}.jpg"


def image_entry(part: str, number: int, height: int, width: int) -> dict[str, Any]:
    """A picture in the JSON's `images`."""
    return {
        "license": 5, "file_name": file_name(part, number), "height": height, "width": width,
        "date_captured": "2013-11-14 16:28:13", "id": number,
    }  # fmt: skip


def annotation_entry(
    number: int, image: int, name: str, segmentation: Any, crowd: bool = False
) -> dict[str, Any]:
    """An object in the JSON's `annotations`. Area and box are those of no object."""
    return {
        "segmentation": segmentation, "area": 1.5, "iscrowd": int(crowd), "image_id": image,
        "bbox": [0.0, 0.0, 1.0, 1.0], "id": number,
        "category_id": CATEGORY_IDS[COCO_CLASSES.index(name)],
    }  # fmt: skip


def instances(
    images: Sequence[Mapping[str, Any]],
    annotations: Sequence[Mapping[str, Any]],
    order: Sequence[str] = ("info", "images", "licenses", "annotations", "categories"),
) -> bytes:
    """instances_*.json, the keys in COCO's order or another."""
    contents = {
        "info": {"description": "COCO 2014 Dataset", "year": 2014},
        "images": list(images),
        "licenses": [{"id": 5, "name": "Attribution License"}],
        "annotations": list(annotations),
        "categories": [
            {"supercategory": "thing", "id": number, "name": name}
            for number, name in zip(CATEGORY_IDS, COCO_CLASSES, strict=True)
        ],
    }
    return json.dumps({key: contents[key] for key in order}).encode()


def rectangle(left: int, top: int, right: int, bottom: int) -> list[float]:
    """The polygon of the pixels left <= x < right, top <= y < bottom."""
    return [float(v) for v in (left, top, right, top, right, bottom, left, bottom)]


def plain_runs(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Run lengths down the columns, plain, as crowds have them."""
    flat = np.concatenate(([False], mask.flatten(order="F")))
    edges = np.flatnonzero(np.diff(flat))
    runs = np.diff(np.concatenate(([0], edges, [mask.size])))
    return {"counts": runs.tolist(), "size": list(mask.shape)}


def compressed_runs(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Run lengths as pycocotools' string."""
    encoded = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"counts": encoded["counts"].decode(), "size": list(mask.shape)}


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """(H, W, 3) RGB or (H, W) grey pixels as a JPEG."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=92)
    return stream.getvalue()


def pack(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write a zip file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return path


def write_archives(folder: Path, train: int, val: int) -> dict[str, Path]:
    """Write train2014.zip, val2014.zip and annotations_trainval2014.zip to `folder`.

    train, val: annotated pictures in each; one more has no annotation. The classes take turns, two
    a picture: a rectangle of the one, and of the other in turn a polygon, a crowd with plain run
    lengths and compressed run lengths. Every fifth picture is grey. Returns the paths under the
    names of `hsc.sources.coco2014.build`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    jsons, paths = {}, {}
    for part, count in (("train", train), ("val", val)):
        files, jsons[f"annotations/instances_{part}2014.json"] = _draw_part(f"{part}2014", count)
        paths[f"{part}_images"] = pack(folder / f"{part}2014.zip", files)
    jsons["annotations/captions_val2014.json"] = b"{}"
    return paths | {"annotations": pack(folder / "annotations_trainval2014.zip", jsons)}


def _draw_part(part: str, count: int) -> tuple[dict[str, bytes], bytes]:
    """The pictures' files and the JSON."""
    files, images, annotations = {}, [], []
    start = 1 if part == "train2014" else 500_001  # COCO's numbers are different as well
    for index in range(count + 1):
        number = start + 7 * index
        pixels = np.random.default_rng(number).integers(0, 80, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        if index < count:
            annotations += _draw_objects(pixels, index, number)
        shown = pixels.mean(axis=2).astype(np.uint8) if index % 5 == 4 else pixels
        files[f"{part}/{file_name(part, number)}"] = jpeg(shown)
        images.append(image_entry(part, number, HEIGHT, WIDTH))
    return files, instances(images, annotations)


def _draw_objects(pixels: NDArray[np.uint8], index: int, number: int) -> list[dict[str, Any]]:
    """Draw two objects into the picture; return their annotations."""
    entries = []
    shift = index % 6
    for place, left in enumerate((4 + shift, 34 + shift)):
        box = (left, 6 + shift, left + 20, 36 + shift)
        label = (2 * index + place) % len(COCO_CLASSES)
        inside = np.zeros((HEIGHT, WIDTH), dtype=bool)
        inside[box[1] : box[3], box[0] : box[2]] = True
        pixels[inside] = palette()[label + 1] // 2 + 100
        forms = ([rectangle(*box)], plain_runs(inside), compressed_runs(inside))
        form = index % 3 * place
        name = COCO_CLASSES[label]
        entries.append(
            annotation_entry(10 * number + place, number, name, forms[form], crowd=form == 1)
        )
    return entries
