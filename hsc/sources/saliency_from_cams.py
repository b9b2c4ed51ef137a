"""Saliency maps from the CAMs of a first run, for a second round of EPS."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hsc.base.pool import map_ordered, process_count
from hsc.base.progress import Progress, follow, unseen
from hsc.base.sharing import in_turns
from hsc.data import voc
from hsc.sources.saliency_estimate import sharpen
from hsc.store import CamReader


def write_sharpened(
    folder: voc.VocFolder,
    cams: Path,
    target: Path,
    processes: int = 1,
    progress: Progress = unseen,
) -> int:
    """Write `<id>.png`, 8-bit grey, to the folder `target` for each picture of `train_aug`.

    The strongest of a picture's CAMs is its rough map (`sharpen`). processes: as in
    `hsc.base.pool.map_ordered`. Returns how many there are.
    Raises HscError for a CAM file of other classes or pictures, for a picture that is missing or
    damaged, and where OpenCV is not installed.
    """
    ids = folder.ids("train_aug")
    work = partial(_sharpened, folder, cams, target)
    for _ in follow(in_turns(work, ids, [processes], [process_count]), len(ids), progress):
        """Written where it is made."""
    return len(ids)


def _sharpened(
    folder: voc.VocFolder, cams: Path, target: Path, ids: Sequence[str], processes: int
) -> Iterator[None]:
    with CamReader(cams) as reader:
        reader.check_classes(folder.class_names, folder.root)
        reader.check(ids)
        tasks = (
            (
                folder.image_path(image_id),
                reader.read(image_id, folder.size(image_id))[0].max(axis=0, initial=0),
                target / f"{image_id}.png",
            )
            for image_id in ids
        )
        yield from map_ordered(_sharpen_one, tasks, processes)


def _sharpen_one(task: tuple[Path, NDArray[np.float32], Path]) -> None:
    picture, rough, target = task
    voc.write_grey(target, sharpen(voc.read_image(picture), rough))
