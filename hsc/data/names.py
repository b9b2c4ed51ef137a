"""What people call classes and pictures: one Unicode form, and what no class can be called."""

import re
import unicodedata
from collections.abc import Collection, Iterable

_RESERVED = {
    "background": "background is index 0 and no class of its own",
    "ignore": "what is ignored has index 255 and is no class",
    "void": "what is ignored has index 255 and is no class",
    "nan": "that is how pandas writes an empty cell; leave it empty",
    "none": "that is how programs write an empty cell; leave it empty",
    "null": "that is how programs write an empty cell; leave it empty",
    "na": "that is how programs write an empty cell; leave it empty",
}
"""Words, without case and signs, that say the opposite of a class."""

_SEPARATORS = re.compile(r"[,;|\[\]{}\"\\\t]")
"""What stands between or around the items of a list: in a name, a list was read as one item."""

_JOINTS = re.compile(r"[\s/+&]+")


def normal(text: str) -> str:
    """The text in one Unicode form (NFC): `é` is one sign, as a Mac's file names have it in two."""
    return unicodedata.normalize("NFC", text)


def sort_key(name: str) -> list[str | int]:
    """Sorts names as people do: the numbers in them by their value, `2` before `10`."""
    parts = re.split(r"(\d+)", name)  # text and numbers in turn, so like meets like
    return [int(part) if at % 2 else part for at, part in enumerate(parts)]


def name_problem(name: str) -> str | None:
    """Why `name` can be no class, in words; None if it can."""
    if not name:
        return "an empty name"
    word = "".join(sign for sign in name.casefold() if sign.isalnum())
    if word in _RESERVED:
        return f"{name!r}: {_RESERVED[word]}"
    if found := _SEPARATORS.search(name):
        return f"{name!r} has a {found.group()!r}; tags are parted by ';' and by nothing else"
    if hidden := [sign for sign in name if unicodedata.category(sign) in ("Cc", "Cf")]:
        return f"{name!r} has an invisible sign (U+{ord(hidden[0]):04X})"
    return None


def joined_names(name: str, names: Collection[str]) -> bool:
    """Whether `name` is several of `names`, parted by blanks, `/`, `+` or `&`: a list, no name."""
    parts = [part for part in _JOINTS.split(name) if part]
    return len(parts) > 1 and all(part in names for part in parts)


def alike(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs (earlier, later) of names that differ by case, blanks or Unicode form alone."""
    first: dict[str, str] = {}
    pairs = []
    for name in names:
        other = first.setdefault(_bare(name), name)
        if other != name:
            pairs.append((other, name))
    return pairs


def _bare(name: str) -> str:
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())
