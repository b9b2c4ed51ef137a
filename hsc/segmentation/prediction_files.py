"""What prediction writes: masks, overlays, the legend, the shares of the classes.

    <stem>.png             class indices with VOC's palette, as large as the picture
    overlays/<stem>.jpg    the classes' colours over the picture
    legend.csv             index, class, red, green, blue
    predictions.csv        id (the stem), class, share of the picture's pixels

Without torch: the processes that refine and write need none.

Letters: C foreground classes, H W pixels of a picture, h w those that the network was shown.
"""

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hsc.base.errors import PredictionError
from hsc.base.files import atomic_file
from hsc.crf.dense import CrfConfig, refine_prediction
from hsc.data.classes import palette
from hsc.data.overlay import colour_labels
from hsc.data.pictures import shrink_picture
from hsc.data.voc import write_image, write_mask

OVERLAYS = "overlays"
_LONGEST_JPEG = 65500  # pixels a side


@dataclass(frozen=True)
class Failure:
    """A picture without a result; `reason` names it."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Summary:
    """The classes found in a picture, by index: their shares of its pixels, which sum to 1."""

    path: Path
    shares: dict[int, float]


@dataclass(frozen=True)
class Prediction:
    """What the network says of a picture.

    image: (H, W, 3) uint8. scores: labels (h, w) uint8, or for a CRF probabilities (C+1, h, w)
    float32.
    """

    path: Path
    image: NDArray[np.uint8]
    scores: NDArray[Any]


@dataclass(frozen=True)
class Output:
    """Where results go and how they are made.

    max_side: as of `hsc.data.pictures.shrunk_size`; the CRF sees what the network saw.
    """

    folder: Path
    crf: CrfConfig | None = None
    max_side: int | None = None
    overlays: bool = True


def check_output(folder: Path, pictures: Sequence[Path]) -> None:
    """Raise HscError when a result would overwrite one of the pictures."""
    # By inode: paths are written in many ways, and some file systems ignore capitals.
    inputs = {key for path in pictures for key in (_inode(path.stat()), _inode(path.lstat()))}
    for path in pictures:
        for result in (_mask_path(folder, path), _overlay_path(folder, path)):
            if os.path.lexists(result) and _inode(result.lstat()) in inputs:
                raise PredictionError(
                    f"{result}: one of the pictures, which the results would overwrite; give "
                    "another folder for --out"
                )


def _inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def make_folder(folder: Path) -> None:
    """Make a folder of results. Raises HscError where that is impossible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PredictionError(
            f"{folder}: no folder, and none can be made ({error.strerror}); give another one for "
            "--out"
        ) from None


def finish(prediction: Prediction | Failure, output: Output) -> Summary | Failure:
    """Refine, bring to the picture's size and write one prediction; a failure stays one.

    The scores are refined by the output's CRF, if any, and enlarged to the nearest neighbour.
    """
    if isinstance(prediction, Failure):
        return prediction
    path, image, labels = prediction.path, prediction.image, prediction.scores
    height, width = image.shape[:2]
    if output.overlays and max(width, height) > _LONGEST_JPEG:
        reason = f"{path}: longer than {_LONGEST_JPEG} pixels, too long for an overlay"
        return Failure(path, f"{reason}; leave them out (--no-overlays)")
    if output.crf is not None:
        seen = shrink_picture(image, output.max_side)
        labels = refine_prediction((seen, prediction.scores), output.crf)
    if labels.shape != (height, width):
        resized = Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST)
        labels = np.asarray(resized)
    if output.overlays:
        with atomic_file(_overlay_path(output.folder, path)) as partial:
            write_image(partial, colour_labels(image, labels))
    with atomic_file(_mask_path(output.folder, path)) as partial:
        write_mask(partial, labels)
    counts = np.bincount(labels.ravel())
    return Summary(path, {int(k): float(counts[k] / labels.size) for k in counts.nonzero()[0]})


def write_legend(folder: Path, names: Sequence[str]) -> None:
    """Write legend.csv; names: C+1, background first."""
    rows = ((index, name, *palette()[index].tolist()) for index, name in enumerate(names))
    _write_csv(folder / "legend.csv", ("index", "class", "red", "green", "blue"), rows)


def write_shares(folder: Path, summaries: Iterable[Summary], names: Sequence[str]) -> None:
    """Write predictions.csv; names: C+1, background first."""
    rows = (
        (summary.path.stem, names[index], f"{share:.6f}")
        for summary in summaries
        for index, share in summary.shares.items()
    )
    _write_csv(folder / "predictions.csv", ("id", "class", "share"), rows)


def list_shares(results: Iterable[Summary | Failure], names: Sequence[str]) -> list[str]:
    """A line a picture: its file and its classes, the largest first; names as `write_shares`."""
    return [_describe(found, names) for found in results if isinstance(found, Summary)]


def _describe(summary: Summary, names: Sequence[str]) -> str:
    shares = sorted(summary.shares.items(), key=lambda item: (-item[1], item[0]))
    listed = ", ".join(f"{names[index]} {100 * share:.1f} %" for index, share in shares)
    return f"{summary.path}: {listed}"


def check_failures(results: Sequence[Summary | Failure], folder: Path) -> None:
    """Raise HscError, naming them all, when some pictures have no result."""
    failures = [result.reason for result in results if isinstance(result, Failure)]
    if failures:
        raise PredictionError(
            f"{len(failures)} of {len(results)} pictures have no prediction, the others are in "
            f"{folder}:\n" + "\n".join(failures)
        )


def _mask_path(folder: Path, picture: Path) -> Path:
    return folder / f"{picture.stem}.png"


def _overlay_path(folder: Path, picture: Path) -> Path:
    return folder / OVERLAYS / f"{picture.stem}.jpg"


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with atomic_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
