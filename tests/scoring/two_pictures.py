"""A data set of two pictures of different sizes, and how labels of it score."""

from pathlib import Path
from typing import Any

import numpy as np

from hsc.data.lists import write_index
from hsc.data.voc import VocFolder, layout, write_image, write_mask
from hsc.scoring.metrics import report
from hsc.scoring.stage import count_labels

CLASSES = ["cat", "dog"]
MASKS = {
    "a": np.array([[0, 0, 1], [0, 255, 1]], dtype=np.uint8),
    "b": np.array([[1, 1], [0, 0], [0, 0]], dtype=np.uint8),
}
SPLITS = {"train_aug": ["b", "a"], "train": ["b", "a"], "val": []}


def make_folder(root: Path) -> VocFolder:
    """Both pictures in the split `train`; no dog anywhere."""
    root.mkdir()
    write_index(root, CLASSES, dict.fromkeys(MASKS, ("cat",)), SPLITS)
    for image_id, mask in MASKS.items():
        paths = layout(root, image_id)
        write_image(paths.image, np.zeros((*mask.shape, 3), dtype=np.uint8))
        write_mask(paths.mask, mask)
    return VocFolder(root)


def scored(folder: VocFolder, labels: Path, split: str) -> dict[str, Any]:
    """The report on a folder of labels."""
    matrix = count_labels(folder, labels, split)
    return report(matrix, ["background", *CLASSES], split, len(folder.ids(split)))
