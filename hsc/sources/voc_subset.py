"""A part of VOC 2012: chosen pictures, chosen classes, no side longer than a recipe says.

All pictures that train are scored, too: VOC's mask where it has one, SBD's otherwise. Tags are
those of VOC's annotations, as of all of VOC.
"""

import csv
import io
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hsc.base.errors import DataError
from hsc.base.problems import some
from hsc.base.progress import Bars, silent
from hsc.data import voc
from hsc.data.classes import IGNORE, VOC_CLASSES
from hsc.data.lists import read_classes, read_ids, read_tags, read_text, split_path, write_index
from hsc.params.data import FolderParams, Voc2012Params
from hsc.sources import saliency, voc2012
from hsc.sources.folder import import_folder

_WHOLE = "whole"


def import_laid_out(
    how: Voc2012Params, root: Path, processes: int = 1, bars: Bars = silent
) -> dict[str, Any]:
    """Write the pictures of `how.subset.folder` to `root`; returns as `import_folder`.

    Raises HscError for a folder with other classes or pictures than the subset's, and as
    `import_folder`.
    """
    subset = how.subset
    names = read_classes(subset.folder / "classes.txt")
    if names != subset.classes:
        raise DataError(
            f"{subset.folder / 'classes.txt'}: {', '.join(names)}, but prepare_data.subset.classes "
            f"has {', '.join(subset.classes)}; name another folder in prepare_data.subset.folder"
        )
    for split, ids in read_subset(subset.ids).items():
        path = split_path(subset.folder, "train_aug" if split == "train" else split)
        _check_same(path, {*read_ids(path)}, {*ids}, subset.ids)
    return _import(how, subset.folder, root, processes, bars)


def import_archives(
    how: Voc2012Params,
    found: Mapping[str, Path],
    root: Path,
    processes: int = 1,
    bars: Bars = silent,
) -> dict[str, Any]:
    """Write the subset from the archives `found` to `root`; returns as `import_folder`.

    found: `trainval`, `sbd` and, where saliency is published, `saliency_archive`. Raises HscError
    as `hsc.sources.voc2012.build`, and for ids that the splits do not have.
    """
    whole = root / _WHOLE
    ids = read_subset(how.subset.ids)
    only = {image_id for of_split in ids.values() for image_id in of_split}
    voc2012.build(
        whole, found["trainval"], found["sbd"], None, how.counts.model_dump(),
        augmented_masks=True, only=only, bars=bars,
    )  # fmt: skip
    for split, theirs in (("train", "train_aug"), ("val", "val")):
        path = split_path(whole, theirs)
        _check_same(path, {*read_ids(path)}, {*ids[split]}, how.subset.ids)
    if how.saliency == "published":
        saliency.unpack_published(found["saliency_archive"], whole, ids["train"], bars)
    choose_classes(whole, how.subset.classes, ids)
    facts = _import(how, whole, root, processes, bars)
    shutil.rmtree(whole)
    return facts


def read_subset(path: Path) -> dict[str, tuple[str, ...]]:
    """The ids of `train` and `val`. Raises HscError for a file of another form."""
    rows = list(csv.DictReader(io.StringIO(read_text(path))))
    splits = {
        split: tuple(row["id"] for row in rows if row.get("split") == split)
        for split in ("train", "val")
    }
    listed = [image_id for ids in splits.values() for image_id in ids]
    if len(set(listed)) != len(rows) or not all(splits.values()):
        raise DataError(
            f"{path}: a line is 'id,split' with train or val, every id once, and the first line is "
            "these two words"
        )
    return splits


def choose_classes(
    root: Path, classes: Sequence[str], splits: Mapping[str, tuple[str, ...]]
) -> None:
    """Leave a VOC 2012 data set in `root` with `classes` alone, the others being background.

    splits: `train`, which becomes train and train_aug, with masks in SegmentationClassAug, and
    `val`. Raises HscError for a class that VOC does not have.
    """
    if unknown := [name for name in classes if name not in VOC_CLASSES]:
        raise DataError(f"classes: {some(unknown)}: no class of VOC; it has {some(VOC_CLASSES)}")
    index = np.zeros(IGNORE + 1, np.uint8)
    index[IGNORE] = IGNORE
    for new, name in enumerate(classes, start=1):
        index[VOC_CLASSES.index(name) + 1] = new
    augmented = root / voc2012.AUGMENTED
    for split, ids in splits.items():
        for image_id in ids:
            path = voc.layout(root, image_id).mask
            source = augmented / path.name if split == "train" else path
            voc.write_mask(path, index[voc.read_mask(source, len(VOC_CLASSES))])
    shutil.rmtree(augmented)
    tags = {
        image_id: tuple(name for name in classes if name in names)
        for image_id, names in read_tags(root / "tags.csv").items()
    }
    train, val = splits["train"], splits["val"]
    write_index(root, classes, tags, {"train_aug": train, "train": train, "val": val})


def _check_same(path: Path, there: set[str], wanted: set[str], ids: Path) -> None:
    if there == wanted:
        return
    missing, more = sorted(wanted - there), sorted(there - wanted)
    parts = [f"lacks {some(missing)}"] if missing else []
    parts += [f"has {some(more)} besides"] if more else []
    raise DataError(f"{path}: {' and '.join(parts)}; it has to have the pictures of {ids}")


def _import(
    how: Voc2012Params, source: Path, root: Path, processes: int, bars: Bars
) -> dict[str, Any]:
    # VOC's tags are of objects, however small, and its masks are not to be doubted.
    folder = FolderParams(
        path=source,
        max_side=how.subset.max_side,
        saliency={"published": "own"}.get(how.saliency, how.saliency),
        limit=how.limit,
        mask_specks=0.999,
        unmasked_tags=1.0,
    )
    return import_folder(folder, root, processes, bars("pictures", "image"))
