"""What a recipe's `prepare_data` says besides its `kind`: where a data set comes from."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from hsc.params.base import Count, Frozen, Probability

Digest = Annotated[str, Field(pattern=r"^(md5:[0-9a-fA-F]{32}|sha256:[0-9a-fA-F]{64})$")]


class ArchiveParams(Frozen):
    """A file that somebody publishes, and where it is to be had (`hsc.base.download.Archive`).

    `sources` are tried in their order: http(s) and file URLs, a path of the file, or of a folder
    that has it under `name`. A null `digest` or `size` is not checked.
    """

    name: Annotated[str, Field(pattern=r"^[^/\\]+$")]
    sources: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)
    digest: Digest | None
    size: Count | None


class _Published(Frozen):
    """What the published data sets share.

    `saliency`: `published`, the maps in `saliency_archive` (a zip or tar file with a picture
    `<id>.png` or `.jpg` for each of train_aug); `estimated`, without a network
    (`hsc.sources.saliency`); `none`, and then EPS cannot run. `limit`: pictures of a split, for a
    quick trial, null for all.
    """

    saliency: Literal["published", "estimated", "none"]
    saliency_archive: ArchiveParams
    limit: Count | None


class VocCounts(Frozen):
    """Pictures in each split. `test` has an archive of its own."""

    train: Count
    val: Count
    train_aug: Count
    test: Count


class CocoCounts(Frozen):
    """Pictures with at least one annotated object in each split."""

    train_aug: Count
    val: Count


class VocSubset(Frozen):
    """A part of VOC 2012, small enough for a CPU (`hsc.sources.voc_subset`).

    `ids`: a CSV file with the columns `id` and `split`, which is train or val. `classes`: those
    that count; all others are background. `max_side`: as in a folder of one's own. `folder`: where
    just these pictures lie already, laid out as a folder of one's own, with masks; no archive is
    read then. Null: from the archives.
    """

    ids: Path
    classes: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)
    max_side: Count | None
    folder: Path | None


class Voc2012Params(_Published):
    """PASCAL VOC 2012 and SBD (`hsc.sources.voc2012`).

    `test`: the path of VOC2012test.tar, which needs an account, or null. `counts`: what the splits
    must have. `augmented_masks`: SegmentationClassAug too, for full supervision. `subset`: null for
    all of it.
    """

    trainval: ArchiveParams
    sbd: ArchiveParams
    test: Path | None
    counts: VocCounts
    augmented_masks: bool
    subset: VocSubset | None = None


class Coco2014Params(_Published):
    """COCO 2014 (`hsc.sources.coco2014`).

    `counts`: what the splits must have. `scored_train`: how many pictures of train_aug are scored
    as `train`, null for all.
    """

    train_images: ArchiveParams
    val_images: ArchiveParams
    annotations: ArchiveParams
    counts: CocoCounts
    scored_train: Count | None


def _named_by_a_number(value: object) -> object:
    """A folder called 2024 is a number in YAML."""
    return str(value) if type(value) is int else value


class FolderParams(Frozen):
    """A folder of the user's own (`hsc.sources.folder`).

    `path`: where it is. `max_side`: pictures with a longer side are made smaller, with their maps;
    null keeps them. `saliency`: `own` maps, `estimated` ones, `none`, or `auto`: own ones where the
    folder has any, else estimated. `limit`: pictures of a split, for a quick trial.

    Tags and masks must not contradict each other (`hsc.sources.mask_check`). `mask_specks`: the
    share of a mask up to which it may hold a class that is not tagged; people do not tag what
    covers a hundredth of a picture. `unmasked_tags`: the share of a class's pictures whose masks
    may lack it; objects that are too small or too hidden to outline are tagged all the same.
    """

    path: Annotated[Path, BeforeValidator(_named_by_a_number)]
    max_side: Count | None
    saliency: Literal["auto", "own", "estimated", "none"]
    limit: Count | None
    mask_specks: Annotated[float, Field(ge=0, lt=1)] = 0.01
    unmasked_tags: Probability = 0.2
