"""Folders of label maps: seeds, masks, predictions, a PNG a picture.

Letters: H W pixels.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hsc.base.errors import HscError
from hsc.data.classes import IGNORE
from hsc.data.voc import read_mask


def read_labels(folder: Path, image_id: str) -> NDArray[np.uint8]:
    """The class indices uint8 (H, W) of `<folder>/<image_id>.png`, a palette or grey picture.

    Raises HscError when the file is missing, damaged or in colour.
    """
    path = folder / f"{image_id}.png"
    if not path.is_file():
        raise HscError(f"{path}: no such file; run the stage that writes {folder}")
    return read_mask(path, IGNORE)


def extra_files(labels: Path, ids: Iterable[str]) -> list[str]:
    """Names of the files in a folder of labels that belong to none of the ids, sorted."""
    expected = {f"{image_id}.png" for image_id in ids}
    found = {path.name for path in labels.glob("*") if not path.name.startswith(".")}
    return sorted(found - expected)
