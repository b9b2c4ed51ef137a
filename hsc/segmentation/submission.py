"""What the VOC evaluation server takes for the pictures of `test`, whose masks nobody has.

    results/VOC2012/Segmentation/comp6_test_cls/<id>.png

in one archive: a palette picture of class indices for every id of ImageSets/Segmentation/test.txt,
as large as the picture, and nothing else. `comp6` is the competition for methods that may use other
data than VOC's (ImageNet).
"""

import gzip
import tarfile
from collections.abc import Sequence
from pathlib import Path

from hsc.base.errors import SubmissionError
from hsc.base.files import atomic_file
from hsc.base.progress import Progress, follow, unseen
from hsc.data.classes import VOC_CLASSES, palette
from hsc.data.label_maps import extra_files
from hsc.data.picture_problems import opened
from hsc.data.voc import VocFolder, read_mask

SPLIT = "test"
FOLDER = Path("results/VOC2012/Segmentation/comp6_test_cls")
ARCHIVE = "results.tgz"

_NAMED = 5  # of several files that are missing or too many


def check_voc(folder: VocFolder) -> None:
    """Raise HscError unless the data set has VOC's classes, in its order."""
    if folder.class_names != VOC_CLASSES:
        raise SubmissionError(
            f"{folder.root / 'classes.txt'}: the classes are {', '.join(folder.class_names)}, but "
            "the server scores VOC's 20; predict with a network of VOC's classes"
        )


def check_predictions(folder: VocFolder, predictions: Path, progress: Progress = unseen) -> int:
    """Check that a folder is what the server takes for `test`; return how many pictures it has.

    Raises HscError when a prediction is missing or belongs to no picture, is no palette picture
    with VOC's colours, has an index that is no class, or is of another size than its picture.
    """
    check_voc(folder)
    ids = folder.ids(SPLIT)
    missing = [f"{name}.png" for name in ids if not (predictions / f"{name}.png").is_file()]
    if missing:
        raise SubmissionError(
            f"{predictions}: no prediction for {_few(missing)} of {SPLIT}, but the server wants "
            f"all {len(ids)}; predict the whole split again"
        )
    if extra := extra_files(predictions, ids):
        raise SubmissionError(
            f"{predictions}: {_few(extra)} is of no picture of {SPLIT}, and the server refuses "
            "more than it asked for; take it out"
        )
    for image_id in follow(ids, len(ids), progress):
        _check_picture(predictions / f"{image_id}.png", folder.size(image_id))
    return len(ids)


def _check_picture(path: Path, size: tuple[int, int]) -> None:
    with opened(path) as image:
        mode, colours = image.mode, image.getpalette()
    if mode != "P" or colours is None:
        raise SubmissionError(
            f"{path}: a picture of mode {mode}; save the indices with VOC's palette"
        )
    expected = palette()[: len(VOC_CLASSES) + 1].ravel().tolist()
    if colours[: len(expected)] != expected:
        raise SubmissionError(
            f"{path}: its palette is not VOC's; save the indices with VOC's palette"
        )
    labels = read_mask(path, len(VOC_CLASSES))
    if labels.shape != size:
        raise SubmissionError(
            f"{path}: (height, width) is {labels.shape}, but its picture has {size}; predict it "
            "again"
        )
    if labels.max(initial=0) > len(VOC_CLASSES):  # 255, which a mask may have
        raise SubmissionError(
            f"{path}: index {labels.max()}, but a prediction has 0..{len(VOC_CLASSES)}; every "
            "pixel needs a class"
        )


def write_archive(root: Path, archive: Path) -> None:
    """Pack the predictions below `root` (in `FOLDER`) as a gzipped tar file.

    The same files give the same bytes: ids sorted, no times, no owners.
    """
    with (
        atomic_file(archive) as partial,
        partial.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for path in sorted((root / FOLDER).glob("*.png")):
            entry = tarfile.TarInfo((FOLDER / path.name).as_posix())
            entry.size, entry.mode = path.stat().st_size, 0o644
            with path.open("rb") as stream:
                tar.addfile(entry, stream)


def _few(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
