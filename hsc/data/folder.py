"""A folder of the user's own: pictures and `tags.csv`, made into a data set in VOC layout.

Needed are `tags.csv` (header `id,tags`; the id is a picture's name, with or without its suffix) and
the pictures, in the folder itself or in `JPEGImages/`. `classes.txt` may be absent (the classes are
then the names in tags.csv, sorted), and so may `Saliency/`, `SegmentationClass/` (then nothing is
scored) and the split files (then the pictures are split by their ids).

Letters: H W pixels of a picture as it is seen, upright.
"""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hsc.data import voc
from hsc.data.pictures import SUFFIXES, is_plain, pictures_in, read_picture, shrunk_size
from hsc.data.preprocessing import resize_picture
from hsc.data.trial import first_of
from hsc.errors import DataError
from hsc.pool import map_ordered
from hsc.progress import Progress, follow, unseen

VAL_SHARE = 0.25
"""Share of the pictures in val where the folder has no split files: as in `shapes`."""

_QUALITY = 95  # of a JPEG that is written anew


class _Import(NamedTuple):
    """What is the same for every picture of an import."""

    source: Path
    root: Path
    classes: int
    max_side: int | None
    with_saliency: bool


def import_folder(
    source: Path,
    root: Path,
    max_side: int | None = None,
    limit: int | None = None,
    with_saliency: bool = True,
    processes: int = 1,
    progress: Progress = unseen,
) -> None:
    """Check the data set in `source` and write what is in its splits to `root`.

    Every picture, saliency map and mask is decoded once, so that no later stage meets a damaged
    one. A picture is copied as it is; one that is turned by its EXIF data, of a format other than
    JPEG and PNG, or longer than `max_side`, is written anew, upright, with its maps.
    limit: pictures of a split, for a quick trial. processes: change nothing but the time.

    Raises HscError, naming the file in `source`, at the first problem.
    """
    if not source.is_dir():
        raise DataError(
            f"{source}: no such folder; give the path of one with pictures and tags.csv"
        )
    tags = _by_stem(voc.read_tags(source / "tags.csv"), source / "tags.csv")
    names = _class_names(source, tags)
    _check_tags(source, names, tags)
    pictures = find_pictures(source)
    splits = _splits(source, tags, pictures)
    if limit:
        splits = first_of(splits, limit)
    voc.check_splits(source, splits)

    ids = sorted({image_id for split in splits.values() for image_id in split})
    jobs = [(image_id, _picture(source, pictures, image_id)) for image_id in ids]
    how = _Import(source, root, len(names), max_side, with_saliency)
    imported = map_ordered(partial(_import_one, how), jobs, processes)
    for _ in follow(imported, len(ids), progress):
        """Written where it is read."""
    kept = {image_id: tags[image_id] for image_id in ids if image_id in tags}
    voc.write_index(root, names, kept, splits)


def has_saliency(source: Path) -> bool:
    """Whether the folder has any saliency maps of its own."""
    return any((source / "Saliency").glob("*.png"))


def find_pictures(source: Path) -> dict[str, Path]:
    """Id → file of the pictures in `JPEGImages/`, or where there is none, in the folder itself.

    Raises HscError for two pictures of one id.
    """
    found: dict[str, Path] = {}
    for path in pictures_in(_picture_folder(source)):
        if path.stem in found:
            raise DataError(
                f"{path} and {found[path.stem].name}: two pictures of one id; rename one of them"
            )
        found[path.stem] = path
    return found


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


def _picture_folder(source: Path) -> Path:
    inner = source / "JPEGImages"
    return inner if inner.is_dir() else source


def _by_stem(tags: Mapping[str, tuple[str, ...]], path: Path) -> dict[str, tuple[str, ...]]:
    """The tags with the suffix of a picture taken off the ids."""
    by_stem: dict[str, tuple[str, ...]] = {}
    for name, of_image in tags.items():
        image_id = _stem(name)
        if image_id in by_stem:
            raise DataError(f"{path}: id {image_id!r} is there twice; remove one")
        by_stem[image_id] = of_image
    return by_stem


def _stem(name: str) -> str:
    return Path(name).stem if Path(name).suffix.lower() in SUFFIXES else name


def _class_names(source: Path, tags: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    path = source / "classes.txt"
    if path.exists():
        return voc.read_classes(path)
    names = tuple(sorted({name for of_image in tags.values() for name in of_image}))
    if not names:
        raise DataError(f"{source / 'tags.csv'}: no tags at all; write them as 'id,tag;tag'")
    return names


def _check_tags(source: Path, names: Sequence[str], tags: Mapping[str, tuple[str, ...]]) -> None:
    for image_id, of_image in tags.items():
        for name in of_image:
            if name not in names:
                raise DataError(
                    f"{source / 'tags.csv'}: tag {name!r} of id {image_id!r} is no class of "
                    f"{source / 'classes.txt'} ({', '.join(names)}); correct one"
                )


def _splits(
    source: Path, tags: Mapping[str, tuple[str, ...]], pictures: Mapping[str, Path]
) -> dict[str, Sequence[str]]:
    """The folder's own splits, or ones made of its pictures."""
    own = {name for name in voc.SPLITS if voc.split_path(source, name).exists()}
    if not own:
        return split_by_id(_tagged(source, tags, pictures))
    # VOC itself has no train_aug: all of train trains. Without train, all of train_aug is scored.
    training = "train_aug" if "train_aug" in own else "train"
    scored = "train" if "train" in own else "train_aug"
    of = {"train_aug": training, "train": scored, "val": "val"}
    splits = {
        name: tuple(map(_stem, voc.read_ids(voc.split_path(source, file))))
        for name, file in of.items()
    }
    for name in ("train_aug", "train"):
        for image_id in splits[name]:
            if image_id not in tags:
                raise _untagged(source, image_id)
    return splits


def _tagged(
    source: Path, tags: Mapping[str, tuple[str, ...]], pictures: Mapping[str, Path]
) -> list[str]:
    """Ids of all pictures of a folder without split files, sorted: every one needs a line."""
    for image_id in pictures:
        if image_id not in tags:
            raise _untagged(source, image_id)
    if len(pictures) < 2:
        raise DataError(
            f"{_picture_folder(source)}: {len(pictures)} pictures ({', '.join(SUFFIXES)}); at "
            "least 2 are needed, to train and val"
        )
    return sorted(pictures)


def _untagged(source: Path, image_id: str) -> DataError:
    return DataError(
        f"{source / 'tags.csv'}: no line for the picture {image_id!r}; add one (with nothing after "
        "the comma if it shows no class)"
    )


def _picture(source: Path, pictures: Mapping[str, Path], image_id: str) -> Path:
    if image_id not in pictures:
        raise DataError(
            f"{_picture_folder(source) / image_id}.jpg: no such picture (nor of another format); "
            f"add it, or take {image_id!r} out of tags.csv and the split files"
        )
    return pictures[image_id]


def _import_one(how: _Import, job: tuple[str, Path]) -> None:
    """Check one picture with its maps and write them."""
    image_id, path = job
    picture = Image.fromarray(read_picture(path))
    size = shrunk_size(*picture.size, how.max_side)
    _write_picture(how.root, image_id, path, picture, size)
    own, target = voc.layout(how.source, image_id), voc.layout(how.root, image_id)
    if own.mask.is_file():
        mask = voc.read_mask(own.mask, how.classes)
        voc.check_size(own.mask, mask, path, picture.size[::-1])
        if size == picture.size:
            _copy(own.mask, target.mask)
        else:
            voc.write_mask(target.mask, _resized(mask, size, Image.Resampling.NEAREST))
    if how.with_saliency and own.saliency.is_file():
        saliency = voc.read_grey(own.saliency)
        voc.check_size(own.saliency, saliency, path, picture.size[::-1])
        if size == picture.size:
            _copy(own.saliency, target.saliency)
        else:
            voc.write_grey(target.saliency, _resized(saliency, size, Image.Resampling.BILINEAR))


def _write_picture(
    root: Path, image_id: str, path: Path, picture: Image.Image, size: tuple[int, int]
) -> None:
    """Copy a picture that is as every stage reads it; write any other anew, of `size` (W, H)."""
    if is_plain(path) and size == picture.size:
        _copy(path, voc.layout(root, image_id, path.suffix).image)
        return
    small = resize_picture(picture, size)
    if path.suffix.lower() in (".jpg", ".jpeg"):
        voc.write_image(voc.layout(root, image_id).image, np.asarray(small), _QUALITY)
    else:
        target = voc.layout(root, image_id, ".png").image
        target.parent.mkdir(parents=True, exist_ok=True)
        small.save(target)


def _resized(
    values: NDArray[np.uint8], size: tuple[int, int], how: Image.Resampling
) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(values).resize(size, how))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
