"""PASCAL VOC 2012 with SBD's additional pictures, from the archives that their makers publish.

`train_aug` is (VOC's train + SBD's train and val) without VOC's val. Tags are the names of all
objects in VOC's XML annotations, difficult ones too, and never come from masks. Masks of VOC's
train and val are kept for scoring.

Everingham et al., The PASCAL Visual Object Classes Challenge (IJCV 2010); Hariharan et al.,
Semantic Contours from Inverse Detectors (ICCV 2011).
"""

import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from hsc.data import voc
from hsc.data.classes import VOC_CLASSES
from hsc.data.unpack import unpack
from hsc.errors import HscError
from hsc.progress import Progress

COUNTS = {"train": 1464, "val": 1449, "train_aug": 10582, "test": 1456}
"""Pictures in each split. `test` has an archive of its own, which needs an account."""

_LISTS = "lists"
_SETS, _OBJECTS, _SBD = "ImageSets/Segmentation", "Annotations", "sbd"


def build(
    root: Path,
    trainval: Path,
    sbd: Path,
    test: Path | None = None,
    counts: Mapping[str, int] = COUNTS,
    progress: Progress | None = None,
) -> None:
    """Write the data set in VOC layout to `root`, an empty folder.

    trainval: VOCtrainval_11-May-2012.tar. sbd: benchmark.tgz, of which only the lists are read.
    test: VOC2012test.tar, for the split `test`. counts: what the splits must have.
    Raises HscError for an archive that is damaged or another, a split of another size, a picture
    that is missing and an annotation that cannot be read.
    """
    lists = root / _LISTS
    unpack(sbd, lists, _choose_sbd_list)
    for archive in filter(None, (trainval, test)):
        unpack(archive, lists, _choose_list, progress)
    splits = read_splits(lists, with_test=test is not None)
    check_counts(splits, counts)
    tagged = sorted({*splits["train_aug"], *splits["val"]})
    tags = {name: read_objects(lists / _OBJECTS / f"{name}.xml") for name in tagged}
    choose = _choose_pictures({name for ids in splits.values() for name in ids})
    for archive in filter(None, (trainval, test)):
        unpack(archive, root, choose, progress)
    shutil.rmtree(lists)
    voc.write_index(root, VOC_CLASSES, tags, splits)


def read_splits(lists: Path, with_test: bool) -> dict[str, tuple[str, ...]]:
    """The ids of each split, in VOC's order, those of train_aug sorted. Raises HscError."""
    names = ("train", "val", "test") if with_test else ("train", "val")
    splits = {name: voc.read_ids(lists / _SETS / f"{name}.txt") for name in names}
    more = {image_id for name in ("train", "val") for image_id in _sbd_ids(lists, name)}
    splits["train_aug"] = tuple(sorted({*splits["train"], *more} - {*splits["val"]}))
    return splits


def check_counts(splits: Mapping[str, tuple[str, ...]], counts: Mapping[str, int]) -> None:
    """Raise HscError unless every split has as many pictures as it should."""
    for name, ids in splits.items():
        if len(ids) != counts[name]:
            raise HscError(
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
        raise HscError(f"{path.name}: not in the archive, so this picture has no tags") from None
    except ElementTree.ParseError as error:
        raise HscError(f"{path.name}: no XML ({error}); get the archive again") from None
    # parts of a person have names too, but are no objects of their own
    found = {(node.findtext("name") or "").strip() for node in tree.getroot().findall("object")}
    if unknown := sorted(found - {*VOC_CLASSES}):
        raise HscError(f"{path.name}: {', '.join(map(repr, unknown))} is no class of VOC")
    return tuple(name for name in VOC_CLASSES if name in found)


def _sbd_ids(lists: Path, split: str) -> tuple[str, ...]:
    return voc.read_ids(lists / _SBD / f"{split}.txt")


def _choose_sbd_list(name: str) -> str | None:
    path = PurePosixPath(name)
    found = path.parts[-2:] in (("dataset", "train.txt"), ("dataset", "val.txt"))
    return f"{_SBD}/{path.name}" if found else None


def _choose_list(name: str) -> str | None:
    """Lists and annotations of a `VOCdevkit/VOC2012/...` archive."""
    inner = _inside_voc(name)
    wanted = inner is not None and str(inner.parent) in (_SETS, _OBJECTS)
    return str(inner) if wanted and inner.suffix in (".txt", ".xml") else None


def _choose_pictures(ids: set[str]) -> Callable[[str], str | None]:
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
