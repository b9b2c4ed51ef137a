"""Makes a data set in VOC layout, of whichever kind a recipe asks for, and says what is in it."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsc.base.download import Archive, digest, fetch
from hsc.base.errors import DataError, HscError, SaliencyError
from hsc.base.made import made_folder
from hsc.base.progress import Bars, silent
from hsc.data.voc import VocFolder
from hsc.params.data import ArchiveParams, Coco2014Params, FolderParams, Voc2012Params
from hsc.params.parsing import parse
from hsc.sources import saliency, voc2012, voc_subset
from hsc.sources.folder import import_folder
from hsc.sources.shapes import generate
from hsc.sources.shapes_config import ShapesConfig
from hsc.sources.summary import Facts, summarise

KINDS = {
    "shapes": ShapesConfig,
    "voc2012": Voc2012Params,
    "coco2014": Coco2014Params,
    "folder": FolderParams,
}
"""What `prepare_data.kind` may be, and what the other keys are then."""

DataParams = ShapesConfig | Voc2012Params | Coco2014Params | FolderParams
_ADVICE = (
    "Move them to a folder outside of outputs/, for instance data/mine, and name that in "
    "prepare_data.path of the recipe"
)


@dataclass(frozen=True)
class Where:
    """Where and how a data set is made, and for what.

    downloads: folder of the archives that are fetched. processes: changes nothing but the time.
    bars: shows the progress. saliency_for: what in the run will ask for maps, "" for nothing.
    """

    downloads: Path
    processes: int = 1
    bars: Bars = silent
    saliency_for: str = ""


def read_kind(values: Mapping[str, Any], source: Path) -> DataParams:
    """The typed form of a recipe's `prepare_data`. `source` names the place in errors.

    Raises HscError for an unknown kind, and as `hsc.params.parsing.parse`.
    """
    kind = values.get("kind")
    if kind not in KINDS:
        raise DataError(f"{source}: kind: {kind!r} is not known; choose one of {', '.join(KINDS)}")
    rest = {key: value for key, value in values.items() if key != "kind"}
    return parse(source, rest, KINDS[kind])


def make(how: DataParams, root: Path, where: Where) -> Facts:
    """Write the data set to `root`, whole or not at all.

    Returns what is in it (`hsc.sources.summary.summarise`) and where it is from: `saliency`,
    `unused` (of a folder: what was found and not read), and `archives` with the digest of each.
    Raises HscError for everything that is wrong in the sources, for what the run needs and this
    data set will not have, and, before anything is done, for files in `root` that were not made
    here.
    """
    _check_saliency_choice(how, where.saliency_for)
    with made_folder(root, _ADVICE) as partial:
        facts = _make(how, partial, where)
        data = VocFolder(partial)
        data.check()
        return summarise(data, where.bars("reading sizes", "image")) | facts


def _check_saliency_choice(how: DataParams, asking: str) -> None:
    """Told before anything is fetched."""
    if asking and getattr(how, "saliency", None) == "none":
        raise SaliencyError(
            f"prepare_data.saliency is none, but {asking}, which needs maps; take another source "
            "of saliency, or another method"
        )


@functools.singledispatch
def _make(how: DataParams, root: Path, where: Where) -> Facts:
    """Write one kind of data set into the folder `root`."""
    raise TypeError(type(how))


@_make.register
def _shapes(how: ShapesConfig, root: Path, where: Where) -> Facts:
    generate(root, how, where.bars("pictures", "image"), where.processes)
    return {"saliency": {"source": "generated"}}


@_make.register
def _voc2012(how: Voc2012Params, root: Path, where: Where) -> Facts:
    names = ("trainval", "sbd")
    if how.subset is not None and how.subset.folder is not None:
        facts = voc_subset.import_laid_out(how, root, where.processes, where.bars)
        return facts | _estimated_if(how, root, where)
    found = _fetch_all(how, names, where)
    if how.subset is not None:
        facts = voc_subset.import_archives(how, found, root, where.processes, where.bars)
        said = {"saliency": {"source": how.saliency}} | _estimated_if(how, root, where)
        return facts | said | _archives(how, names, found, where)
    voc2012.build(
        root, found["trainval"], found["sbd"], how.test, how.counts.model_dump(), how.limit,
        how.augmented_masks, bars=where.bars,
    )  # fmt: skip
    return _finish(how, names, found, root, where)


@_make.register
def _coco2014(how: Coco2014Params, root: Path, where: Where) -> Facts:
    from hsc.sources import coco2014  # its libraries, which nothing else needs

    names = ("train_images", "val_images", "annotations")
    found = _fetch_all(how, names, where)
    coco2014.build(
        root, *(found[name] for name in names), how.counts.model_dump(), how.limit,
        how.scored_train, where.processes, where.bars,
    )  # fmt: skip
    return _finish(how, names, found, root, where)


@_make.register
def _folder(how: FolderParams, root: Path, where: Where) -> Facts:
    if _inside(how.path, root):
        raise DataError(f"{how.path}: lies in {root}, which is written anew; move it elsewhere")
    facts = import_folder(how, root, where.processes, where.bars("pictures", "image"))
    if facts["saliency"]["source"] == "estimated":
        facts["saliency"] = _estimate(root, where)
    return facts


def _fetch_all(
    how: Voc2012Params | Coco2014Params, names: tuple[str, ...], where: Where
) -> dict[str, Path]:
    """The archives by the key that names them; the saliency's first, since it fails most."""
    found = {}
    if how.saliency == "published":
        try:
            found["saliency_archive"] = _fetch(how.saliency_archive, where)
        except HscError as error:
            raise SaliencyError(
                f"{error}\nor set prepare_data.saliency in the recipe to `estimated`, or to `none` "
                "where the baseline is not eps"
            ) from None
    return found | {name: _fetch(getattr(how, name), where) for name in names}


def _inside(source: Path, partial: Path) -> bool:
    """Whether `source` lies in the data set that `partial` will take the place of."""
    return source.resolve().is_relative_to(partial.with_suffix("").resolve())


def _fetch(archive: ArchiveParams, where: Where) -> Path:
    return fetch(Archive(**archive.model_dump()), where.downloads, where.bars)


def _finish(
    how: Voc2012Params | Coco2014Params,
    names: tuple[str, ...],
    found: Mapping[str, Path],
    root: Path,
    where: Where,
) -> Facts:
    """Add the saliency; where everything is from."""
    said = {"saliency": {"source": how.saliency}}
    if how.saliency == "published":
        ids = VocFolder(root).ids("train_aug")
        saliency.unpack_published(found["saliency_archive"], root, ids, where.bars)
    return said | _estimated_if(how, root, where) | _archives(how, names, found, where)


def _estimated_if(how: Voc2012Params | Coco2014Params, root: Path, where: Where) -> Facts:
    """The saliency where the recipe says `estimated`, else nothing."""
    return {"saliency": _estimate(root, where)} if how.saliency == "estimated" else {}


def _archives(
    how: Voc2012Params | Coco2014Params,
    names: tuple[str, ...],
    found: Mapping[str, Path],
    where: Where,
) -> Facts:
    """What was fetched, with digests."""
    if how.saliency == "published":
        names = (*names, "saliency_archive")
    archives = {getattr(how, name).name: _digest(getattr(how, name), found[name], where)
                for name in names}  # fmt: skip
    return {"archives": archives}


def _digest(archive: ArchiveParams, path: Path, where: Where) -> str:
    """The digest that was checked, or that of a file whose publisher tells none."""
    return archive.digest.lower() if archive.digest else digest(path, bars=where.bars)


def _estimate(root: Path, where: Where) -> Facts:
    ids = VocFolder(root).ids("train_aug")
    saliency.write_estimated(root, ids, where.processes, where.bars("saliency", "image"))
    return {"source": "estimated", "method": saliency.METHOD}
