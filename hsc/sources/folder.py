"""A folder of the user's own: pictures and `tags.csv`, made into a data set in VOC layout.

Needed are `tags.csv` (header `id,tags`; the id is a picture's name, with or without its suffix) and
the pictures, in the folder itself or in `JPEGImages/`. `classes.txt` may be absent (the classes are
then the names in tags.csv, sorted), and so may `Saliency/`, `SegmentationClass/` (then nothing is
scored) and the split files (then the pictures are split by their ids).

Every file is decoded once, and whatever is wrong is told in one error: in the lists, in the files,
between tags and masks.

Letters: H W pixels of a picture as it is seen, upright.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hsc.base.errors import DataError, HscError, SaliencyError
from hsc.base.pool import map_ordered
from hsc.base.problems import in_one, section, some
from hsc.base.progress import Progress, follow, unseen
from hsc.data import voc
from hsc.data.deep_pictures import common_depth
from hsc.data.lists import check_splits, split_path, write_index
from hsc.data.pictures import is_plain, read_picture, shrunk_size
from hsc.data.preprocessing import resize_picture
from hsc.params.data import FolderParams
from hsc.sources.folder_files import FolderFiles, find_files
from hsc.sources.folder_lists import (
    Splits,
    Tags,
    list_problems,
    read_class_names,
    read_folder_tags,
    read_splits,
)
from hsc.sources.mask_check import Tolerance, contradictions, look_black_and_white, only_ignored
from hsc.sources.own_masks import read_own_mask
from hsc.sources.saliency import check_highest, read_map
from hsc.sources.trial import first_of

_QUALITY = 95  # of a JPEG that is written anew


@dataclass(frozen=True)
class _Folder:
    """What was read of a folder before its pictures: ids everywhere."""

    source: Path
    files: FolderFiles
    names: tuple[str, ...]
    tags: Tags
    splits: Splits
    own_splits: bool
    saliency: str  # own, estimated or none

    @property
    def split_ids(self) -> set[str]:
        """All ids of a split, whether their picture is there or not."""
        return {image_id for split in self.splits.values() for image_id in split}

    def broken(self, named: bool) -> list[str]:
        """What is wrong with files that are no pictures, of ids that are named anywhere or not."""
        ids = {*self.tags, *self.split_ids}
        return [said for image_id, said in self.files.broken.items() if (image_id in ids) == named]

    def pictures_of(self, split: str) -> list[str]:
        """The ids of a split whose picture is there."""
        return [image_id for image_id in self.splits[split] if image_id in self.files.pictures]


class _Job(NamedTuple):
    """One picture of an import, and its own maps where it has any that are taken."""

    image_id: str
    picture: Path
    mask: Path | None
    saliency: Path | None


class _Import(NamedTuple):
    """What is the same for every picture. depth: bits of the 16-bit pictures' values."""

    root: Path
    classes: int
    max_side: int | None
    depth: int | None


class _Imported(NamedTuple):
    """What one picture came to. mask: its pixels by index, (256,). brightest: of the saliency."""

    image_id: str
    problems: tuple[str, ...]
    mask: NDArray[np.int64] | None
    brightest: int | None


def import_folder(
    how: FolderParams,
    root: Path,
    processes: int = 1,
    progress: Progress = unseen,
) -> dict[str, Any]:
    """Check the data set in `how.path` and write what is in its splits to `root`.

    A picture is copied as it is; one that is turned by its EXIF data, of a format other than JPEG
    and PNG, of more than 8 bits, or longer than `how.max_side`, is written anew, upright, with its
    maps. processes: change nothing but the time.

    Returns `saliency`, the source of the maps (`own`, `estimated` or `none`; estimated ones are not
    made here); `unused`, what was found and not read; and where there are pictures of 16 bits,
    `depth`, how many of these their values take.
    Raises HscError, naming every file, line and class that is wrong.
    """
    folder = _read(how)
    kept = first_of(folder.splits, how.limit) if how.limit else folder.splits
    jobs = _jobs(folder, kept)
    depth = common_depth([job.picture for job in jobs], processes)
    same = _Import(root, len(folder.names), how.max_side, depth)
    results = map_ordered(partial(_import_one, same), jobs, processes)
    imported = list(follow(results, len(jobs), progress))
    _check_all(how, folder, imported)
    written = {image_id for split in kept.values() for image_id in split}
    tags = {image_id: folder.tags[image_id] for image_id in written if image_id in folder.tags}
    write_index(root, folder.names, tags, kept)
    return _facts(how, folder, depth)


def _read(how: FolderParams) -> _Folder:
    """All but the pictures' content. Raises HscError for lists that cannot be read."""
    source = how.path
    if not source.is_dir():
        raise DataError(
            f"{source}: no such folder; put pictures and tags.csv there, or name another one in "
            "prepare_data.path of the recipe"
        )
    tags = read_folder_tags(source)
    names = read_class_names(source, tags)
    files = find_files(source)
    splits, own_splits = read_splits(source, tags, files)
    check_splits(source, splits)
    saliency = how.saliency
    if saliency == "auto":
        saliency = "own" if files.saliency else "estimated"
    return _Folder(source, files, names, tags, splits, own_splits, saliency)


def _jobs(folder: _Folder, splits: Splits) -> list[_Job]:
    """The pictures of the splits that are there, sorted by id."""
    files = folder.files
    ids = sorted({image_id for split in splits.values() for image_id in split})
    saliency = files.saliency if folder.saliency == "own" else {}
    return [
        _Job(image_id, files.pictures[image_id], files.masks.get(image_id), saliency.get(image_id))
        for image_id in ids
        if image_id in files.pictures
    ]


def _check_all(how: FolderParams, folder: _Folder, imported: Sequence[_Imported]) -> None:
    """Raise one HscError for everything that is wrong."""
    source, files = folder.source, folder.files
    broken = folder.broken(named=True) + [line for result in imported for line in result.problems]
    masks = {each.image_id: each.mask for each in imported if each.mask is not None}
    lists = list_problems(
        source, folder.names, folder.tags, folder.splits, folder.own_splits, files
    )
    problems = [
        section(f"{source}: lists and pictures", list(lists)),
        section(f"{source}: files that cannot be used", broken),
        section(f"{source}: masks of what is scored", list(_missing_masks(folder, masks))),
        _disagreements(how, folder, masks),
    ]
    saliency = list(_saliency_problems(folder, imported))
    if any(problems):
        raise DataError("\n".join(filter(None, [*problems, *saliency])))
    if saliency:
        raise SaliencyError("\n".join(saliency))


def _missing_masks(folder: _Folder, masks: Mapping[str, NDArray[np.int64]]) -> Iterator[str]:
    """Scored splits with masks for a part of their pictures, and masks that score nothing.

    A split without any mask is not scored, which nobody needs to be told as an error.
    """
    for split in ("train", "val"):
        ids = folder.pictures_of(split)
        missing = [i for i in ids if i not in folder.files.masks]
        if 0 < len(missing) < len(ids):
            yield (
                f"{split}: {len(missing)} of {len(ids)} pictures have no mask "
                f"({some(missing)}); add them, or list in "
                f"{split_path(folder.source, split)} those that have one"
            )
    for image_id, counts in masks.items():
        if only_ignored(counts):
            yield f"{folder.files.masks[image_id]}: every pixel is 255, which means ignored"


def _disagreements(
    how: FolderParams, folder: _Folder, masks: Mapping[str, NDArray[np.int64]]
) -> str:
    """Masks that contradict the tags, in words; nothing where none does.

    In the folder's own val the tags may be unknown, so an empty line says nothing there.
    """
    trained = {*folder.splits["train_aug"]} if folder.own_splits else {*masks}
    known = {
        i: counts
        for i, counts in masks.items()
        if folder.tags.get(i) or (i in trained and i in folder.tags)
    }
    tolerance = Tolerance(how.mask_specks, how.unmasked_tags)
    found = contradictions(folder.names, folder.tags, known, tolerance)
    head = f"tags and masks contradict each other in {len(found)} of {len(known)} pictures"
    if found and look_black_and_white(list(known.values())):
        head += "; the masks have 0 and 255 alone: write 1 for the object, 255 means ignored"
    lines = [f"{folder.files.masks[image_id]}: {said}" for image_id, said in found.items()]
    return in_one(f"{folder.source}: {head}", lines) if found else ""


def _saliency_problems(folder: _Folder, imported: Sequence[_Imported]) -> Iterator[str]:
    if folder.saliency != "own":
        return
    missing = [i for i in folder.pictures_of("train_aug") if i not in folder.files.saliency]
    place = folder.source / "Saliency"
    if missing:
        yield (
            f"{place}: no map for {len(missing)} pictures that train ({some(missing)}); add them, "
            "or set prepare_data.saliency to estimated or none"
        )
    brightest = [each.brightest for each in imported if each.brightest is not None]
    if brightest:
        try:
            check_highest(place, max(brightest))
        except SaliencyError as error:
            yield str(error)


def _facts(how: FolderParams, folder: _Folder, depth: int | None) -> dict[str, Any]:
    files = folder.files
    unused = [*files.unused, *folder.broken(named=False)]
    if idle := sorted(set(files.pictures) - folder.split_ids):
        unused.append(f"{len(idle)} pictures of no split ({some(idle)})")
    if files.saliency and folder.saliency != "own":
        unused.append(f"Saliency/, since prepare_data.saliency is {how.saliency}")
    facts = {"saliency": {"source": folder.saliency}, "unused": unused}
    return facts if depth is None else facts | {"depth": depth}


def _import_one(same: _Import, job: _Job) -> _Imported:
    """Check one picture with its maps and write them, as far as they can be read."""
    problems: list[str] = []
    counts = brightest = None
    try:
        picture = Image.fromarray(read_picture(job.picture, same.depth))
    except HscError as error:
        return _Imported(job.image_id, (str(error),), None, None)
    size = shrunk_size(*picture.size, same.max_side)
    _write_picture(same.root, job.image_id, job.picture, picture, size)
    target = voc.layout(same.root, job.image_id)
    try:
        if job.mask is not None:
            mask = read_own_mask(job.mask, same.classes)
            voc.check_size(job.mask, mask, job.picture, picture.size[::-1])
            counts = np.bincount(mask.ravel(), minlength=256)
            voc.write_mask(target.mask, _resized(mask, size, Image.Resampling.NEAREST))
    except HscError as error:
        problems.append(str(error))
    try:
        if job.saliency is not None:
            saliency = read_map(job.saliency)
            if saliency.shape != size[::-1]:  # made from the data set, it is as small as that
                voc.check_size(job.saliency, saliency, job.picture, picture.size[::-1])
            brightest = int(saliency.max())
            voc.write_grey(target.saliency, _resized(saliency, size, Image.Resampling.BILINEAR))
    except HscError as error:
        problems.append(str(error))
    return _Imported(job.image_id, tuple(problems), counts, brightest)


def _write_picture(
    root: Path, image_id: str, path: Path, picture: Image.Image, size: tuple[int, int]
) -> None:
    """Copy a picture that is as every stage reads it; write any other anew, of `size` (W, H)."""
    if is_plain(path) and size == picture.size:
        target = voc.layout(root, image_id, path.suffix).image
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
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
    """(H, W) uint8 at `size` (W, H); of the size that it has, the values themselves."""
    picture = Image.fromarray(values)
    return values if picture.size == size else np.asarray(picture.resize(size, how))
