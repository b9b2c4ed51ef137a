"""A folder of the user's own in VOC layout, checked picture by picture and copied.

Needed are `tags.csv` and `JPEGImages/`. `classes.txt` may be absent (the classes are then the names
in tags.csv, sorted), and so may `Saliency/` (then EPS cannot run), `SegmentationClass/` (then
nothing is scored) and the split files (then the pictures are split by their ids).
"""

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from hsc.data import voc
from hsc.errors import HscError

VAL_SHARE = 0.25
"""Share of the pictures in val where the folder has no split files: as in `shapes`."""


def import_folder(
    source: Path, root: Path, progress: Callable[[int, int], None] | None = None
) -> None:
    """Check the data set in `source` and copy what is in its splits into `root`.

    Every picture, saliency map and mask is decoded once, so that no later stage meets a damaged
    one. `progress` is called with the number of pictures done and the number of all.

    Raises HscError, naming the file in `source`, at the first problem.
    """
    if not source.is_dir():
        raise HscError(f"{source}: no such folder; give the path of one in VOC layout")
    tags = voc.read_tags(source / "tags.csv")
    data = voc.VocFolder(source, _class_names(source, tags))
    splits = _splits(data, tags)
    voc.check_splits(source, splits)

    ids = sorted({image_id for split in splits.values() for image_id in split})
    for image_id in tags:
        data.tags(image_id)
    for done, image_id in enumerate(ids, 1):
        data.image(image_id)
        picture = data.image_path(image_id)
        target = voc.layout(root, image_id, picture.suffix)
        _copy(picture, target.image)
        if data.saliency_path(image_id).is_file():
            data.saliency(image_id)
            _copy(data.saliency_path(image_id), target.saliency)
        if data.mask_path(image_id).is_file():
            data.mask(image_id)
            _copy(data.mask_path(image_id), target.mask)
        if progress:
            progress(done, len(ids))
    kept = {image_id: tags[image_id] for image_id in ids if image_id in tags}
    voc.write_index(root, data.class_names, kept, splits)


def _class_names(source: Path, tags: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    path = source / "classes.txt"
    if path.exists():
        return voc.read_classes(path)
    names = tuple(sorted({name for of_image in tags.values() for name in of_image}))
    if not names:
        raise HscError(f"{source / 'tags.csv'}: no tags at all; write them as 'id,tag;tag'")
    return names


def _splits(data: voc.VocFolder, tags: dict[str, tuple[str, ...]]) -> dict[str, Sequence[str]]:
    """The folder's own splits, or ones made of its pictures."""
    own = {name for name in voc.SPLITS if voc.split_path(data.root, name).exists()}
    if not own:
        return split_by_id(_pictures(data.root, tags))
    # VOC itself has no train_aug: all of train trains. Without train, all of train_aug is scored.
    training = "train_aug" if "train_aug" in own else "train"
    scored = "train" if "train" in own else "train_aug"
    return {"train_aug": data.ids(training), "train": data.ids(scored), "val": data.ids("val")}


def _pictures(source: Path, tags: dict[str, tuple[str, ...]]) -> list[str]:
    """Ids of all pictures of a folder without split files, sorted."""
    folder = source / "JPEGImages"
    counts = Counter(
        path.stem
        for path in folder.glob("*")
        if path.suffix in voc.IMAGE_SUFFIXES and not path.name.startswith(".")
    )
    for image_id, count in sorted(counts.items()):
        if count > 1:
            raise HscError(
                f"{folder / image_id}: {count} pictures of this id, in different formats; keep one"
            )
        if image_id not in tags:
            raise HscError(
                f"{source / 'tags.csv'}: no line for the picture {image_id!r}; add one (with "
                "nothing after the comma if it shows no class)"
            )
    if len(counts) < 2:
        raise HscError(f"{folder}: {len(counts)} pictures; at least 2 are needed, to train and val")
    return sorted(counts)


def split_by_id(ids: Sequence[str]) -> dict[str, Sequence[str]]:
    """Splits of two or more ids: about a quarter to val, the rest to train_aug and to train.

    An id's side depends on its digest alone, so that pictures which join later move no other one,
    except where a side would be empty.
    """
    place = {image_id: hashlib.sha256(image_id.encode()).digest() for image_id in ids}
    ordered = sorted(ids, key=place.__getitem__)
    bound = int(VAL_SHARE * 256)
    count = sum(place[image_id][0] < bound for image_id in ids)
    count = min(max(count, 1), len(ordered) - 1)
    val, training = sorted(ordered[:count]), sorted(ordered[count:])
    return {"train_aug": training, "train": training, "val": val}


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
