"""Folders as people bring them: twelve pictures of a disc and a square, whole or spoilt."""

from pathlib import Path

import numpy as np
from PIL import Image

from hsc.data import voc

IDS = tuple(f"p{number:02}" for number in range(12))
TAGS = (("disc",), ("square",), ("disc", "square"), ())
SIZE = (40, 30)  # width, height


def indices(number: int) -> np.ndarray:
    """The mask of the picture `number`, (30, 40) uint8: 1 disc, 2 square."""
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
    mask = np.zeros(SIZE[::-1], np.uint8)
    if number % 4 in (0, 2):
        mask[(rows - 10) ** 2 + (columns - 10) ** 2 < 60] = 1
    if number % 4 in (1, 2):
        mask[14:26, 22:36] = 2
    return mask


def picture(number: int) -> np.ndarray:
    """(30, 40, 3) uint8."""
    colours = np.array([[90, 120, 90], [200, 60, 50], [50, 80, 210]], np.uint8)
    noise = np.random.default_rng(number).integers(0, 20, (*SIZE[::-1], 3), dtype=np.uint8)
    return colours[indices(number)] + noise


def bring(source: Path, masks: bool = True) -> Path:
    """The folder: pictures and tags.csv beside each other, masks in SegmentationClass/."""
    source.mkdir(parents=True)
    for number, image_id in enumerate(IDS):
        voc.write_image(source / f"{image_id}.jpg", picture(number))
        if masks:
            voc.write_mask(voc.layout(source, image_id).mask, indices(number))
    write_tags(source, [";".join(TAGS[number % 4]) for number in range(len(IDS))])
    return source


def write_tags(source: Path, cells: list[str], names: list[str] | None = None) -> None:
    """tags.csv with these cells; the names are p00.jpg, ... unless they are given."""
    names = names or [f"{image_id}.jpg" for image_id in IDS]
    lines = [f"{name},{cell}" for name, cell in zip(names, cells, strict=True)]
    (source / "tags.csv").write_text("\n".join(["id,tags", *lines, ""]), encoding="utf-8")


def write_split(source: Path, **splits: list[str]) -> None:
    """Split files of these lines."""
    folder = source / "ImageSets" / "Segmentation"
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in splits.items():
        (folder / f"{name}.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")


def repaint(path: Path, change: dict[int, int]) -> None:
    """Put other indices into a mask."""
    table = np.arange(256, dtype=np.uint8)
    for old, new in change.items():
        table[old] = new
    with Image.open(path) as image:
        mask = table[np.array(image)]
    voc.write_mask(path, mask)
