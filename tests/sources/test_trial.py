"""hsc.sources.trial: few pictures, and still splits that fit each other."""

from hypothesis import given
from hypothesis import strategies as st

from hsc.sources.trial import first_of


def test_both_kinds_of_training_pictures() -> None:
    splits = {"train_aug": tuple("abcdefgh"), "train": tuple("bdfh"), "val": tuple("xyz")}
    assert first_of(splits, 3) == {"train_aug": ("a", "b", "d"), "train": ("b", "d"),
                                   "val": ("x", "y", "z")}  # fmt: skip
    assert first_of(splits, 2)["val"] == ("x", "y")


def test_where_all_training_pictures_are_scored() -> None:
    splits = {"train_aug": tuple("abcd"), "train": tuple("abcd"), "val": tuple("x")}
    assert first_of(splits, 4) == {"train_aug": tuple("abcd"), "train": ("a", "b"), "val": ("x",)}


@given(st.integers(1, 12), st.integers(1, 10), st.integers(0, 10))
def test_train_stays_in_train_aug(limit: int, scored: int, others: int) -> None:
    ids = [f"{number:02}" for number in range(scored + others)]
    splits = {"train_aug": ids, "train": ids[::-1][:scored], "val": ["v"]}
    few = first_of(splits, limit)
    assert set(few["train"]) <= set(few["train_aug"])
    assert 1 <= len(few["train_aug"]) <= limit
    assert len(few["train_aug"]) == len(set(few["train_aug"]))
    assert few["train"]
