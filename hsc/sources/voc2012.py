"""PASCAL VOC 2012 with SBD's additional pictures, from the archives that their makers publish.

`train_aug` is (VOC's train + SBD's train and val) without VOC's val. Tags are the names of all
objects in VOC's XML annotations, difficult ones too, and never come from masks. Masks of VOC's
train and val are kept for scoring; those of SBD only on request.

Everingham et al., The PASCAL Visual Object Classes Challenge (IJCV 2010); Hariharan et al.,
Semantic Contours from Inverse Detectors (ICCV 2011).
"""

import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from hsc.base.disk_space import check_room
from hsc.base.errors import DataError
from hsc.base.progress import Bars, Progress, follow, silent, unseen
from hsc.data import voc
from hsc.data.classes import VOC_CLASSES
from hsc.data.lists import read_ids, write_index
from hsc.sources.trial import first_of
from hsc.sources.unpack import Choice, unpack

AUGMENTED = "SegmentationClassAug"
"""Folder of the masks for full supervision; no stage reads it."""

_LISTS = "lists"
_SETS, _OBJECTS, _SBD = "ImageSets/Segmentation", "Annotations", "sbd"


def build(
    root: Path,
    trainval: Path,
    sbd: Path,
    test: Path | None,
    counts: Mapping[str, int],
    limit: int | None = None,
    augmented_masks: bool = False,
    only: Collection[str] | None = None,
    bars: Bars = silent,
) -> None:
    """Write the data set in VOC layout to `root`, a folder without one.

    trainval: VOCtrainval_11-May-2012.tar. sbd: benchmark.tgz. test: VOC2012test.tar, for the split
    `test`. counts: what the splits must have. limit: pictures of a split, for a quick trial.
    augmented_masks: write `SegmentationClassAug/` too, a mask for every picture of train_aug, of
    VOC where it has one and of SBD otherwise: the upper bound that full supervision sets.
    only: the ids to take of each split, None for all.
    Raises HscError for an archive that is damaged or another, a split of another size, a picture
    or mask that is missing and an annotation that cannot be read.
    """
    lists = root / _LISTS
    if test is not None and not test.is_file():
        raise DataError(f"{test}: no such file; correct prepare_data.test, or set it to null")
    root.mkdir(parents=True, exist_ok=True)
    archives = [archive for archive in (trainval, test) if archive is not None]
    check_room(root, sum(archive.stat().st_size for archive in archives), "VOC 2012 unpacked")
    unpack(sbd, lists, _choose_sbd(augmented_masks), bars(f"reading {sbd.name}", "B"))
    for archive in archives:
        unpack(archive, lists, _choose_list, bars(f"reading {archive.name}", "B"))
    splits = read_splits(lists, with_test=test is not None)
    check_counts(splits, counts)
    if only is not None:
        splits = {name: tuple(i for i in ids if i in only) for name, ids in splits.items()}
    if limit:
        splits = first_of(splits, limit)
    tagged = sorted({*splits["train_aug"], *splits["val"]})
    reading = follow(tagged, len(tagged), bars("reading the tags", "image"))
    tags = {name: read_objects(lists / _OBJECTS / f"{name}.xml") for name in reading}
    choose = _choose_pictures({name for ids in splits.values() for name in ids})
    for archive in archives:
        unpack(archive, root, choose, bars(f"unpacking {archive.name}", "B"))
    if augmented_masks:
        progress = bars("masks of train_aug", "image")
        write_augmented(root, lists / _SBD, splits["train_aug"], progress)
    shutil.rmtree(lists)
    write_index(root, VOC_CLASSES, tags, splits)


def write_augmented(root: Path, sbd: Path, ids: Sequence[str], progress: Progress = unseen) -> None:
    """Write `SegmentationClassAug/<id>.png`: VOC's mask, or the one in SBD's `<id>.mat`.

    Raises HscError for a picture that neither has a mask of, or one of another size.
    """
    for image_id in follow(ids, len(ids), progress):
        target = root / AUGMENTED / f"{image_id}.png"
        own = voc.layout(root, image_id).mask
        if own.is_file():
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(own, target)
            continue
        mask = read_sbd_mask(sbd / f"{image_id}.mat")
        with Image.open(voc.layout(root, image_id).image) as picture:
            if (picture.height, picture.width) != mask.shape:
                raise DataError(f"{image_id}.mat: {mask.shape}, another size than its picture's")
        voc.write_mask(target, mask)


def read_sbd_mask(path: Path) -> NDArray[np.uint8]:
    """The class indices (H, W) uint8 in one of SBD's MATLAB files. Raises HscError."""
    if not path.is_file():
        raise DataError(f"{path.name}: not in SBD's archive; get it again")
    try:
        mask = loadmat(path)["GTcls"]["Segmentation"][0, 0]
    except (KeyError, IndexError, ValueError, TypeError, OSError, MatReadError) as error:
        raise DataError(f"{path.name}: no mask of SBD ({error}); get the archive again") from None
    if mask.ndim != 2 or mask.max(initial=0) > len(VOC_CLASSES):
        raise DataError(f"{path.name}: {mask.shape} with indices up to {mask.max(initial=0)}")
    return mask.astype(np.uint8)


def read_splits(lists: Path, with_test: bool) -> dict[str, tuple[str, ...]]:
    """The ids of each split, in VOC's order, those of train_aug sorted. Raises HscError."""
    names = ("train", "val", "test") if with_test else ("train", "val")
    splits = {name: read_ids(lists / _SETS / f"{name}.txt") for name in names}
    more = {image_id for name in ("train", "val") for image_id in _sbd_ids(lists, name)}
    splits["train_aug"] = tuple(sorted({*splits["train"], *more} - {*splits["val"]}))
    return splits


def check_counts(splits: Mapping[str, tuple[str, ...]], counts: Mapping[str, int]) -> None:
    """Raise HscError unless every split has as many pictures as it should."""
    for name, ids in splits.items():
        if len(ids) != counts[name]:
            raise DataError(
                f"{name}: {len(ids)} pictures, but VOC 2012 has {counts[name]}; the archives are "
                "not those of VOC 2012 and SBD"
            )


def read_objects(path: Path) -> tuple[str, ...]:
    """The classes of an annotation's objects, each once, in the order of the classes.

    Objects of no VOC class do not exist in VOC. Raises HscError for such, and for a file that is
    missing or no annotation.
    """
    try:
        tree = ElementTree.parse(path)
    except FileNotFoundError:
        raise DataError(f"{path.name}: not in the archive, so this picture has no tags") from None
    except ElementTree.ParseError as error:
        raise DataError(f"{path.name}: no XML ({error}); get the archive again") from None
    # parts of a person have names too, but are no objects of their own
    found = {(node.findtext("name") or "").strip() for node in tree.getroot().findall("object")}
    if unknown := sorted(found - {*VOC_CLASSES}):
        raise DataError(f"{path.name}: {', '.join(map(repr, unknown))} is no class of VOC")
    return tuple(name for name in VOC_CLASSES if name in found)


def _sbd_ids(lists: Path, split: str) -> tuple[str, ...]:
    return read_ids(lists / _SBD / f"{split}.txt")


def _choose_sbd(with_masks: bool) -> Choice:
    """The lists and, with_masks, the masks of classes (others are of instances, boundaries)."""

    def choose(name: str) -> str | None:
        path = PurePosixPath(name)
        is_list = path.parts[-2:] in (("dataset", "train.txt"), ("dataset", "val.txt"))
        is_mask = path.parts[-3:-1] == ("dataset", "cls") and path.suffix == ".mat"
        return f"{_SBD}/{path.name}" if is_list or (with_masks and is_mask) else None

    return choose


def _choose_list(name: str) -> str | None:
    """Lists and annotations of a `VOCdevkit/VOC2012/...` archive."""
    inner = _inside_voc(name)
    wanted = inner is not None and str(inner.parent) in (_SETS, _OBJECTS)
    return str(inner) if wanted and inner.suffix in (".txt", ".xml") else None


def _choose_pictures(ids: set[str]) -> Choice:
    def choose(name: str) -> str | None:
        inner = _inside_voc(name)
        if inner is None or inner.stem not in ids:
            return None
        return str(inner) if str(inner.parent) in ("JPEGImages", "SegmentationClass") else None

    return choose


def _inside_voc(name: str) -> PurePosixPath | None:
    """The path below VOC2012, if it lies there."""
    parts = PurePosixPath(name).parts
    if "VOC2012" not in parts:
        return None
    return PurePosixPath(*parts[parts.index("VOC2012") + 1 :])
