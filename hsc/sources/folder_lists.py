"""What a user's folder says of its pictures: tags, classes and splits, of pictures by id.

In `tags.csv` and in the split files a picture may have its suffix, and a split's line may be VOC's
own: `/JPEGImages/x.jpg /SegmentationClass/x.png`, of which the picture counts.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hsc.base.errors import DataError
from hsc.base.problems import in_one, some
from hsc.data import voc
from hsc.data.lists import check_ids, is_id, read_classes, read_lines, read_tags, split_path
from hsc.data.names import sort_key
from hsc.data.pictures import SUFFIXES
from hsc.sources.folder_files import FolderFiles, stem

VAL_SHARE = 0.25
"""Share of the pictures in val where the folder has no split files: as in `shapes`."""

_SUFFIX = "|".join(map(re.escape, SUFFIXES))
_PICTURE_FIRST = re.compile(rf"(?P<picture>\S.*?({_SUFFIX}))(\s+\S+)*", re.IGNORECASE)

Tags = Mapping[str, tuple[str, ...]]
Splits = Mapping[str, tuple[str, ...]]


def read_folder_tags(source: Path) -> dict[str, tuple[str, ...]]:
    """The tags by id. Raises HscError as `hsc.data.lists.read_tags`, and for an id twice."""
    path = source / "tags.csv"
    by_id: dict[str, tuple[str, ...]] = {}
    twice = []
    for name, of_image in read_tags(path).items():
        image_id = stem(name)
        if image_id in by_id:
            twice.append(f"id {image_id!r} is there twice; remove one")
        by_id[image_id] = of_image
    if twice:
        raise DataError(in_one(str(path), twice))
    return by_id


def read_class_names(source: Path, tags: Tags) -> tuple[str, ...]:
    """Those of classes.txt, or the tags, sorted as people do (2 before 10).

    Raises HscError for a tag that is no class, and where there is no tag at all.
    """
    path = source / "classes.txt"
    used = {name for of_image in tags.values() for name in of_image}
    if not used:
        raise DataError(f"{source / 'tags.csv'}: no tags at all; write them as 'id,tag;tag'")
    if not path.exists():
        return tuple(sorted(used, key=sort_key))
    names = read_classes(path)
    wrong = [
        f"tag {name!r} of {some([i for i in tags if name in tags[i]])} is no class of {path} "
        f"({some(names)}); correct one"
        for name in sorted(used - set(names))
    ]
    if wrong:
        raise DataError(in_one(str(source / "tags.csv"), wrong))
    return names


def read_splits(source: Path, tags: Tags, files: FolderFiles) -> tuple[Splits, bool]:
    """The folder's own splits, or ones made of its pictures; and whether they are its own.

    Raises HscError for split files that are not as they should be, and for fewer than two pictures.
    """
    own = {name for name in voc.SPLITS if split_path(source, name).exists()}
    if not own:
        ids = {*files.pictures, *files.broken, *tags}
        if len(ids) < 2:
            raise DataError(
                f"{files.picture_folder}: {len(ids)} pictures ({', '.join(SUFFIXES)}); at least 2 "
                "are needed, to train and val"
            )
        return split_by_id(sorted(ids), tags), False
    # VOC itself has no train_aug: all of train trains. Without train, all of train_aug is scored.
    training = "train_aug" if "train_aug" in own else "train"
    scored = "train" if "train" in own else "train_aug"
    of = {"train_aug": training, "train": scored, "val": "val"}
    return {name: _read_split(split_path(source, file)) for name, file in of.items()}, True


def split_by_id(ids: Sequence[str], tags: Tags) -> dict[str, tuple[str, ...]]:
    """Splits of two or more ids: about a quarter to val, the rest to train_aug and to train.

    An id's side depends on its digest alone, so that pictures which join later move no other one,
    except where a side would be empty, or a class without a picture that trains.
    """
    place = {image_id: hashlib.sha256(image_id.encode()).digest() for image_id in ids}
    ordered = sorted(ids, key=place.__getitem__)
    left = Counter(name for image_id in ids for name in set(tags.get(image_id, ())))
    val: list[str] = []
    for image_id in ordered[:-1]:
        names = set(tags.get(image_id, ()))
        drawn = place[image_id][0] < int(VAL_SHARE * 256) or not val
        if drawn and all(left[name] > 1 for name in names):
            val.append(image_id)
            left.subtract(names)
    val = val or ordered[:1]
    training = tuple(sorted(set(ids) - set(val)))
    return {"train_aug": training, "train": training, "val": tuple(sorted(val))}


def list_problems(
    source: Path, names: Sequence[str], tags: Tags, splits: Splits, own: bool, files: FolderFiles
) -> Iterator[str]:
    """What does not fit together: lines without a picture, pictures without a line, classes.

    own: the splits are the folder's, so pictures of val need no tags.
    """
    ids = {image_id for split in splits.values() for image_id in split}
    there = {*files.pictures, *files.broken}
    if missing := sorted(ids - there):
        yield (
            f"{files.picture_folder}: no picture for these ids of tags.csv or of a split: "
            f"{some(missing)}; add them, or take the lines out"
        )
    want_line = {*splits["train_aug"], *splits["train"]} if own else ids
    untagged = sorted((want_line & there) - set(tags))
    if untagged:
        yield (
            f"{source / 'tags.csv'}: no line for these pictures: {some(untagged)}; add one each "
            "(with nothing after the comma if it shows no class)"
        )
    trained = {name for image_id in splits["train_aug"] for name in tags.get(image_id, ())}
    for name in names:
        if name not in trained:
            others = sum(name in of_image for of_image in tags.values())
            yield (
                f"{source}: class {name!r} is tagged in no picture that trains (in {others} "
                "others); add pictures of it, list one in the split file of training, or drop it"
            )


def _read_split(path: Path) -> tuple[str, ...]:
    ids = tuple(map(_line_id, read_lines(path)))
    check_ids(path, ids)
    wrong = [
        f"{image_id!r}: a line is a picture's name, with or without its suffix, or VOC's own two "
        "paths (/JPEGImages/x.jpg /SegmentationClass/x.png)"
        for image_id in ids
        if not is_id(image_id)
    ]
    if wrong:
        raise DataError(in_one(str(path), wrong))
    return ids


def _line_id(line: str) -> str:
    """The id of a split's line: a name with or without suffix, or the first of VOC's paths."""
    found = _PICTURE_FIRST.fullmatch(line)
    return stem(re.split(r"[/\\]", found["picture"])[-1]) if found else line
