"""hsc.sources.mask_check: what contradicts the tags and what is let pass."""

import numpy as np
from numpy.typing import NDArray

from hsc.sources.mask_check import (
    Tolerance,
    contradictions,
    look_black_and_white,
    only_ignored,
)

NAMES = ("cat", "dog", "owl")
STRICT = Tolerance(specks=0.01, unmasked=0.2)


def pixels(**counts: int) -> NDArray[np.int64]:
    """Pixels by index: `pixels(_0=50, _2=50)`."""
    found = np.zeros(256, np.int64)
    for index, count in counts.items():
        found[int(index[1:])] = count
    return found


def test_masks_of_the_tagged_classes_are_fine() -> None:
    tags = {"a": ("cat",), "b": ("dog", "owl"), "c": ()}
    counts = {"a": pixels(_0=90, _1=10), "b": pixels(_2=50, _3=40, _255=10), "c": pixels(_0=100)}
    assert contradictions(NAMES, tags, counts, STRICT) == {}


def test_a_class_that_is_not_tagged_is_told_with_all_that_the_mask_holds() -> None:
    counts = {"a": pixels(_0=60, _1=20, _3=15, _255=5)}
    found = contradictions(NAMES, {"a": ("cat", "dog")}, counts, STRICT)
    holds = "background 60 %, cat 20 %, owl 15 %, 255 (ignored) 5 %"
    assert found == {"a": f"tagged cat, dog, the mask holds {holds}"}


def test_specks_are_let_pass() -> None:
    counts = {"a": pixels(_0=9900, _1=100)}
    assert contradictions(NAMES, {"a": ()}, counts, STRICT) == {}
    assert contradictions(NAMES, {"a": ()}, counts, Tolerance(0.009, 0.2))


def test_objects_that_are_tagged_and_not_outlined_are_let_pass_up_to_a_share() -> None:
    tags = {str(number): ("cat",) for number in range(10)}
    counts = {i: pixels(_0=90, _1=10 * (int(i) >= 2), _255=10) for i in tags}
    assert contradictions(NAMES, tags, counts, STRICT) == {}
    counts["2"] = pixels(_0=100)
    assert sorted(contradictions(NAMES, tags, counts, STRICT)) == ["0", "1", "2"]


def test_the_share_is_of_each_class() -> None:
    """One class of many whose masks all lack it is told, however many pictures others have."""
    tags = {str(number): ("cat",) for number in range(99)} | {"x": ("owl",)}
    counts = {i: pixels(_0=90, _1=10) for i in tags}
    counts["x"] = pixels(_0=100)
    assert contradictions(NAMES, tags, counts, STRICT) == {
        "x": "tagged owl, the mask holds background 100 %"
    }


def test_indices_that_are_one_off_are_told_everywhere() -> None:
    tags = {"a": ("cat",), "b": ("dog",)}
    counts = {"a": pixels(_0=50, _2=50), "b": pixels(_0=50, _3=50)}
    assert sorted(contradictions(NAMES, tags, counts, STRICT)) == ["a", "b"]


def test_black_and_white() -> None:
    assert look_black_and_white([pixels(_0=5), pixels(_0=5, _255=5)])
    assert not look_black_and_white([pixels(_0=5), pixels(_0=4, _1=1, _255=5)])
    assert not look_black_and_white([pixels(_0=5)])


def test_only_ignored() -> None:
    assert only_ignored(pixels(_255=7))
    assert not only_ignored(pixels(_0=1, _255=7))
