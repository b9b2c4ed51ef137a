"""The CAMs of an inference that may be killed, kept in parts until all are there."""

import shutil
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hsc.base.behind import behind
from hsc.base.errors import HscError
from hsc.store import CamReader, CamWriter

Cam = tuple[str, NDArray[np.float32], list[int]]
"""An image's id, its CAM (K, H, W) in [0, 1] and its K class indices"""

_IMAGES = 64  # of a part: what a kill loses at most


class CamParts:
    """A folder `.hsc/resume/infer_cams-<key>` of CAM files, one for every 64 images.

    It lies outside the declared outputs, which DVC deletes before a stage runs. `key` is a digest
    of all that a CAM depends on, so that a changed run never goes on from another's parts.
    """

    def __init__(self, folder: Path, key: str, class_names: Sequence[str], ids: Iterable[str]):
        """ids: of all images, in any order. class_names: the C foreground classes."""
        self._folder = folder / f"infer_cams-{key[:16]}"
        self._names = class_names
        self.ids = sorted(ids)
        self._parts = [
            (self._folder / f"{number:05d}.h5", self.ids[start : start + _IMAGES])
            for number, start in enumerate(range(0, len(self.ids), _IMAGES))
        ]

    def missing(self) -> list[str]:
        """The ids that are in no part yet, ascending."""
        return [image_id for path, ids in self._parts if not path.exists() for image_id in ids]

    def keep(self, cams: Iterable[Cam]) -> None:
        """Write the parts that are missing; `cams` gives those of `missing()`, in order.

        An image is written while the next one is inferred. Raises ValueError and OSError as
        `CamWriter.add`, up to five images later, and what `cams` raises.
        """
        coming = iter(cams)
        for path, ids in self._parts:
            if not path.exists():
                with CamWriter(path, self._names, "") as writer, behind(writer.add) as add:
                    for cam in islice(coming, len(ids)):
                        add(*cam)
        next(coming, None)  # what stands behind the last of them is run too

    def join(self, writer: CamWriter) -> None:
        """Append all images to the file of the whole. Raises HscError for a damaged part."""
        for path, _ in self._parts:
            try:
                with CamReader(path) as reader:
                    writer.extend(reader)
            except HscError:
                raise HscError(f"{path}: damaged; delete it and run the stage again") from None

    def clear(self) -> None:
        """Delete the parts, once the whole is written."""
        shutil.rmtree(self._folder, ignore_errors=True)
