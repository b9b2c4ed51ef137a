"""A few pictures of each split, for a trial that finds a broken path in minutes."""

from collections.abc import Mapping, Sequence


def first_of(splits: Mapping[str, Sequence[str]], limit: int) -> dict[str, tuple[str, ...]]:
    """The first `limit` ids of each split; about half of those of train_aug are of train.

    So train stays a part of train_aug, and both kinds of pictures are tried.
    """
    few = {name: tuple(ids[:limit]) for name, ids in splits.items()}
    few["train"] = tuple(splits["train"][: -(-limit // 2)])
    scored = set(splits["train"])
    others = [image_id for image_id in splits["train_aug"] if image_id not in scored]
    others = others or [i for i in splits["train_aug"] if i not in few["train"]]
    few["train_aug"] = tuple(sorted((*few["train"], *others[: limit - len(few["train"])])))
    return few
