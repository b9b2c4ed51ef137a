"""The text files of a data set in VOC layout: classes, tags and splits, read strictly.

All text is read in one Unicode form (NFC). Everything that is wrong in a file is told in one
HscError, each problem with its line.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from hsc.base.errors import DataError
from hsc.base.problems import in_one
from hsc.data.classes import IGNORE
from hsc.data.names import alike, joined_names, name_problem, normal


def spread(ids: Sequence[str], count: int) -> list[str]:
    """`count` ids at even distances, the first one included; all of them when there are fewer."""
    count = min(count, len(ids))
    return [ids[i * len(ids) // count] for i in range(count)]


def split_path(root: Path, split: str) -> Path:
    """The file that lists a split's ids."""
    return root / "ImageSets" / "Segmentation" / f"{split}.txt"


def check_id(image_id: str, where: Path) -> None:
    """Raise HscError, naming `where`, for an id that is no plain file name."""
    if not is_id(image_id):
        raise DataError(f"{where}: {_no_id(image_id)}")


def is_id(image_id: str) -> bool:
    """Whether an id is a plain file name."""
    return bool(image_id) and not image_id.startswith(".") and not set(image_id) & set("/\\\0")


def check_splits(root: Path, splits: Mapping[str, Sequence[str]]) -> None:
    """Raise HscError unless train_aug and val are apart and train is part of train_aug."""
    training = set(splits["train_aug"])
    for image_id in splits["val"]:
        if image_id in training:
            raise DataError(
                f"{split_path(root, 'val')}: id {image_id!r} is in train_aug too, so the score "
                "would be of a picture that was trained on; take it out of one of the two"
            )
    for image_id in splits["train"]:
        if image_id not in training:
            raise DataError(
                f"{split_path(root, 'train')}: id {image_id!r} is not in train_aug, of which train "
                "is the scored part; add it there or take it out here"
            )


def read_classes(path: Path) -> tuple[str, ...]:
    """Class names, one a line; line i has index i.

    Raises HscError when there are none, too many, one twice or an empty line between them, and for
    names that no class can have (`hsc.data.names`).
    """
    names = [line.strip() for line in read_text(path).rstrip().splitlines()]
    if not any(names):
        raise DataError(f"{path}: no class names; write one a line")
    if len(names) >= IGNORE:
        raise DataError(f"{path}: {len(names)} classes, masks have room for {IGNORE - 1}")
    _raise(path, _class_problems(names))
    return tuple(names)


def _class_problems(names: Sequence[str]) -> Iterator[str]:
    line = {}
    for number, name in enumerate(names, 1):
        if problem := name_problem(name):
            yield f"line {number}: {problem}"
        elif name in line:
            yield f"line {number}: class {name!r} is there twice; remove one"
        line.setdefault(name, number)
    for name, other in alike(names):
        yield _alike(line[other], other, line[name], name)


def read_tags(path: Path) -> dict[str, tuple[str, ...]]:
    """Image id → tag names. Raises HscError for a file that is not as `hsc.data.voc` says."""
    try:
        lines = list(csv.reader(read_text(path).splitlines()))
    except csv.Error as error:
        raise DataError(f"{path}: no CSV file ({error}); write it as 'id,tag;tag'") from None
    if not lines or [cell.strip() for cell in lines[0]] != ["id", "tags"]:
        raise DataError(f"{path}: the first line must be 'id,tags'")
    tags: dict[str, tuple[str, ...]] = {}
    first: dict[str, int] = {}  # the line in which a name stands first
    problems = []
    for number, line in enumerate(lines[1:], 2):
        if not line:
            continue
        problem = _line_problem(line, tags)
        if problem:
            problems.append(f"line {number}: {problem}")
            continue
        names = _names(line[1])
        for name in names:
            first.setdefault(name, number)
        tags[line[0].strip()] = names
    problems += _tag_problems(first)
    _raise(path, problems)
    return tags


def _line_problem(line: Sequence[str], tags: Mapping[str, object]) -> str | None:
    if len(line) != 2:
        return f"{len(line)} columns; write 'id,tag;tag'"
    image_id = line[0].strip()
    if not is_id(image_id):
        return _no_id(image_id)
    if image_id in tags:
        return f"id {image_id!r} is there twice; remove one"
    if "" in _names(line[1]):
        return f"an empty tag in {line[1]!r}; take the ';' too many away"
    return None


def _names(cell: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in cell.split(";")) if cell.strip() else ()


def _tag_problems(first: Mapping[str, int]) -> Iterator[str]:
    """What is wrong with the names that occur; `first`: the line in which each stands first."""
    for name, number in first.items():
        if problem := name_problem(name):
            yield f"line {number}: tag {problem}"
        elif joined_names(name, first):
            yield f"line {number}: tag {name!r} is made of other tags; part them by ';'"
    for name, other in alike(first):
        yield _alike(first[other], other, first[name], name)


def read_ids(path: Path) -> tuple[str, ...]:
    """Ids, one a line. Raises HscError when there are none, one twice or one that is no name."""
    ids = read_lines(path)
    check_ids(path, ids)
    for image_id in ids:
        check_id(image_id, path)
    return ids


def read_lines(path: Path) -> tuple[str, ...]:
    """The lines of a split file that are not empty."""
    return tuple(line.strip() for line in read_text(path).splitlines() if line.strip())


def check_ids(path: Path, ids: Sequence[str]) -> None:
    """Raise HscError for a split without ids or with one twice."""
    if not ids:
        raise DataError(f"{path}: the split is empty; write one id a line")
    for image_id in _repeated(ids):
        raise DataError(f"{path}: id {image_id!r} is there twice; remove one")


def write_index(
    root: Path,
    class_names: Sequence[str],
    tags: Mapping[str, Sequence[str]],
    splits: Mapping[str, Sequence[str]],
) -> None:
    """Write classes.txt, tags.csv (ids sorted) and the split files."""
    (root / "classes.txt").write_text("".join(f"{name}\n" for name in class_names), "utf-8")
    with (root / "tags.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("id", "tags"))
        writer.writerows((image_id, ";".join(tags[image_id])) for image_id in sorted(tags))
    for split, ids in splits.items():
        path = split_path(root, split)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{image_id}\n" for image_id in ids), "utf-8")


def read_text(path: Path) -> str:
    """A file of UTF-8, with or without a byte order mark. Raises HscError if it cannot be read."""
    try:
        return normal(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file; a data set in VOC layout has one: add it or run prepare_data"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error}); write it as UTF-8") from None


def _no_id(image_id: str) -> str:
    return (
        f"id {image_id!r} is no file name (it may not be empty, start with a dot or contain a "
        "slash); rename the picture"
    )


def _alike(line: int, name: str, other_line: int, other: str) -> str:
    return (
        f"line {line}: {name!r} and {other!r} (line {other_line}) differ by case, blanks or "
        "Unicode form alone; write one of them everywhere"
    )


def _raise(path: Path, problems: Iterable[str]) -> None:
    found = list(problems)
    if found:
        raise DataError(in_one(str(path), found))


def _repeated(names: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    return [name for name in names if name in seen or seen.add(name)]
