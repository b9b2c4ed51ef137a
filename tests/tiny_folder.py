"""A data set of a few small pictures in VOC layout, without any mask."""

from pathlib import Path

import numpy as np
from PIL import Image

from hsc.data.lists import write_index
from hsc.data.voc import VocFolder, layout, write_grey

CLASSES = ("cat", "dog", "owl")
TAGS = {"a": ["cat"], "b": ["dog", "owl"], "c": ["owl"], "d": []}
SPLITS = {"train_aug": ["b", "a", "c"], "train": ["a"], "val": ["d"]}


def tiny_folder(root: Path, saliency: bool = True) -> VocFolder:
    """Four pictures of about 12 x 16 pixels (PNG, so that their pixels are exact)."""
    rng = np.random.default_rng(0)
    for position, image_id in enumerate(TAGS):
        height, width = 12, 16 + position
        paths = layout(root, image_id, ".png")
        paths.image.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(paths.image)
        if saliency:
            write_grey(paths.saliency, pixels[..., 0])
    write_index(root, CLASSES, TAGS, SPLITS)
    return VocFolder(root)
