"""Tags and masks of a user's folder against each other: both say which classes a picture shows.

Nothing that trains reads masks; but where the two contradict each other, one of them is not what
it is taken for: black and white masks whose 255 means "ignored" here, indices that are one off, in
another order or of another picture.

Letters: C foreground classes.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hsc.data.classes import BACKGROUND, IGNORE


@dataclass(frozen=True)
class Tolerance:
    """What is no contradiction.

    specks: share of a mask up to which a class may be in it that is not tagged. unmasked: share of
    the pictures of a class up to which their masks may lack it.
    """

    specks: float
    unmasked: float


def contradictions(
    class_names: Sequence[str],
    tags: Mapping[str, Sequence[str]],
    counts: Mapping[str, NDArray[np.int64]],
    tolerance: Tolerance,
) -> dict[str, str]:
    """Id → what is tagged and what the mask holds, for the pictures whose two sides disagree.

    class_names: C of them. tags: of every id of `counts`. counts: id → the mask's pixels by index,
    (256,).
    """
    tagged = {i: {class_names.index(name) + 1 for name in tags[i]} for i in counts}
    untagged = {i for i in counts if _untagged(counts[i], tagged[i], tolerance.specks)}
    often = _often_unmasked(counts, tagged, tolerance.unmasked)
    unmasked = {i for i in counts if any(not counts[i][k] for k in tagged[i] & often)}
    return {
        i: f"tagged {_join(tags[i])}, the mask holds {_describe(counts[i], class_names)}"
        for i in counts
        if i in untagged | unmasked
    }


def only_ignored(counts: NDArray[np.int64]) -> bool:
    """Whether a mask has no pixel that can be scored."""
    return counts[IGNORE] == counts.sum()


def look_black_and_white(counts: Sequence[NDArray[np.int64]]) -> bool:
    """Whether no mask holds anything but 0 and 255, as annotation tools export one class."""
    total = np.sum(counts, axis=0)
    return total[IGNORE] > 0 and total[[BACKGROUND, IGNORE]].sum() == total.sum()


def _untagged(counts: NDArray[np.int64], tagged: set[int], specks: float) -> bool:
    """Whether the mask has more than specks of a class that is not tagged."""
    bound = specks * counts.sum()
    return any(counts[k] > bound for k in _classes_in(counts) if k not in tagged)


def _often_unmasked(
    counts: Mapping[str, NDArray[np.int64]], tagged: Mapping[str, set[int]], share: float
) -> set[int]:
    """The classes that are missing in too many masks of the pictures that are tagged with them."""
    pictures = Counter(k for of_image in tagged.values() for k in of_image)
    missing = Counter(k for i, of_image in tagged.items() for k in of_image if not counts[i][k])
    return {k for k, count in missing.items() if count > share * pictures[k]}


def _classes_in(counts: NDArray[np.int64]) -> list[int]:
    return [int(k) for k in np.flatnonzero(counts) if k not in (BACKGROUND, IGNORE)]


def _describe(counts: NDArray[np.int64], class_names: Sequence[str]) -> str:
    """The classes of a mask and, where it says anything, what is ignored; with their shares."""
    return _join(list(_shares(counts, class_names)))


def _shares(counts: NDArray[np.int64], class_names: Sequence[str]) -> Iterator[str]:
    for k in np.flatnonzero(counts):
        name = {BACKGROUND: "background", IGNORE: "255 (ignored)"}.get(k)
        share = 100 * counts[k] / counts.sum()
        yield f"{name or class_names[k - 1]} {f'{share:.0f}' if share >= 1 else 'under 1'} %"


def _join(names: Sequence[str]) -> str:
    return ", ".join(names) or "nothing"
