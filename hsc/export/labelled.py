"""Pictures and their label maps, as they go out to annotation tools.

Letters: C foreground classes, H W pixels.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hsc.base.errors import AnnotationError
from hsc.data.classes import BACKGROUND, IGNORE
from hsc.data.pictures import find_pictures
from hsc.data.voc import read_mask

LEGEND = "legend.csv"
"""The names of the classes, where `predict` left its labels."""


class Labelled(NamedTuple):
    """A picture's file and its class indices (H, W) uint8 in 0..C or 255."""

    picture: Path
    labels: NDArray[np.uint8]

    def regions(self) -> Iterator[tuple[int, NDArray[np.bool_]]]:
        """The foreground classes in it, in their order, each with its pixels (H, W)."""
        for index in sorted({*np.unique(self.labels).tolist()} - {BACKGROUND, IGNORE}):
            yield index, self.labels == index


def labelled_pictures(labels: Path, pictures: Path) -> list[Path]:
    """The pictures of a folder that have labels `<labels>/<stem>.png`, by name.

    Raises HscError where there are none, and for labels of no picture.
    """
    by_stem = {path.stem: path for path in find_pictures([pictures])}
    stems = sorted(path.stem for path in labels.glob("[!.]*.png"))
    if not stems:
        raise AnnotationError(f"{labels}: no labels (PNG) in it; run the stage that writes them")
    if alone := [stem for stem in stems if stem not in by_stem]:
        raise AnnotationError(
            f"{labels / alone[0]}.png: no picture of that name in {pictures} ({len(alone)} such); "
            "give the folder of its pictures by --pictures"
        )
    return [by_stem[stem] for stem in stems]


def read_labelled(labels: Path, pictures: Sequence[Path], classes: int) -> Iterator[Labelled]:
    """The pictures with their labels, one at a time. Raises HscError for an index beyond C."""
    for picture in pictures:
        yield Labelled(picture, read_mask(labels / f"{picture.stem}.png", classes))


def read_legend(path: Path) -> list[str]:
    """The foreground classes by their index, 1..C, of a legend that `predict` wrote."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    if not rows or "class" not in rows[0]:
        raise AnnotationError(f"{path}: no legend of index and class; delete it or predict again")
    return [row["class"] for row in rows[1:]]
