"""Makes a data set in VOC layout, whichever it is, and counts what is in it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hsc.data.folder import import_folder
from hsc.data.shapes import ShapesConfig, generate
from hsc.data.voc import SPLITS, VocFolder
from hsc.errors import HscError
from hsc.files import atomic_folder
from hsc.pool import process_count

NAMES = ("shapes", "folder")


def prepare(
    name: str,
    root: Path,
    shapes: ShapesConfig | None = None,
    source: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write the data set `name` to `root`, whole or not at all, and return its `counts`.

    `shapes` configures the data set of that name, `source` is where `folder` is read from;
    `progress` is called with the number of pictures done and the number of all.

    Raises HscError for an unknown name, a missing source and everything that is wrong in it.
    """
    if name not in NAMES:
        raise HscError(f"data: {name!r} is not known; choose one of {', '.join(NAMES)}")
    if name == "folder" and source is None:
        raise HscError("data: 'folder' needs the path of a folder in VOC layout; set it")
    if source is not None and _inside(source, root):
        raise HscError(f"{source}: lies in {root}, which is written anew; move it elsewhere")
    with atomic_folder(root) as partial:
        if name == "folder":
            import_folder(source, partial, progress)
        else:
            generate(partial, shapes or ShapesConfig(), progress, process_count())
        VocFolder(partial).check()
    return counts(VocFolder(root))


def counts(data: VocFolder) -> dict[str, Any]:
    """What is in a data set.

    Returns `images` (of all splits), `classes` (foreground), `tags_per_image` (mean over train_aug)
    and, by split, `splits`.
    """
    splits = {split: data.ids(split) for split in SPLITS}
    training = splits["train_aug"]
    return {
        "images": len(set().union(*splits.values())),
        "classes": data.num_classes,
        "tags_per_image": float(sum(data.tags(i).sum() for i in training)) / len(training),
        "splits": {split: len(ids) for split, ids in splits.items()},
    }


def _inside(source: Path, root: Path) -> bool:
    return source.resolve().is_relative_to(root.resolve())
