"""COCO 2014 from the archives that its makers publish, in VOC layout.

`train_aug` are the pictures of train2014, `val` those of val2014 with at least one annotated
object, as in the lists of weakly supervised methods. Tags are the names of all annotated objects,
crowds too, and never come from masks. Masks are painted for scoring only, for `train` and `val`.

COCO annotates objects, which overlap, while a mask has one class a pixel, and COCO does not say
which. Here the smaller object is on top and crowds are below all objects. So it is in coco2voc,
which AFA (Ru et al., CVPR 2022) names for its masks, but for crowds, which are in order of size
there as well. ReCAM (Chen et al., CVPR 2022) leaves crowds out and paints in the order of the file.
So scores on masks of different makers are not quite comparable.

Lin et al., Microsoft COCO: Common Objects in Context (ECCV 2014).
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from hsc.base.disk_space import check_room
from hsc.base.errors import DataError
from hsc.base.pool import map_ordered
from hsc.base.progress import Bars, follow, silent
from hsc.data import voc
from hsc.data.classes import COCO_CLASSES
from hsc.data.lists import write_index
from hsc.data.picture_problems import opened
from hsc.sources.coco_annotations import Annotation, AnnotationFile, Picture
from hsc.sources.coco_masks import Instance, encode, paint
from hsc.sources.unpack import unpack

_MEMBERS = {
    "train_aug": "annotations/instances_train2014.json",
    "val": "annotations/instances_val2014.json",
}
_Item = tuple[Picture, list[Instance] | None]


class _Part(NamedTuple):
    """A split, where it is read from, and what is in it.

    indices: the class index of each category's id. known: all pictures by their ids. chosen: those
    of the split, by name. scored: those of them that get a mask.
    """

    split: str
    images: Path
    file: AnnotationFile
    indices: dict[int, int]
    known: dict[int, Picture]
    chosen: dict[int, Picture]
    scored: dict[int, Picture]


class _Objects(NamedTuple):
    """What is annotated: the class indices by id in VOC layout, the instances by picture."""

    labels: dict[str, set[int]]
    instances: dict[int, list[Instance]]


def build(
    root: Path,
    train_images: Path,
    val_images: Path,
    annotations: Path,
    counts: Mapping[str, int] | None = None,
    limit: int | None = None,
    scored_train: int | None = None,
    processes: int = 1,
    bars: Bars = silent,
) -> None:
    """Write the data set in VOC layout to `root`, a folder without one.

    train_images, val_images: train2014.zip and val2014.zip. annotations:
    annotations_trainval2014.zip. counts: what the splits must have, unless None. limit: only so
    many pictures of each split, the first by name, for a trial; then nothing is counted.
    scored_train: `train` is so many pictures of train_aug, the first by name; all if None.
    processes: as in `hsc.base.pool.map_ordered`; the result is the same. bars: shows the progress.

    Raises HscError for an archive or JSON that is damaged or of other make, a split of another
    size, an annotation of an unknown picture or class or, where masks are painted, that cannot be
    read, and a picture that is missing or of another size than annotated; ValueError for a limit
    or scored_train below 1.
    """
    for name, value in (("limit", limit), ("scored_train", scored_train)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    parts = [
        _find_part("train_aug", train_images, annotations, limit, scored_train, bars),
        _find_part("val", val_images, annotations, limit, None, bars),
    ]
    if counts is not None and limit is None:
        _check_counts(parts, counts)
        root.mkdir(parents=True, exist_ok=True)
        needed = sum(images.stat().st_size for images in (train_images, val_images))
        check_room(root, needed, "COCO 2014 unpacked")
    tags: dict[str, tuple[str, ...]] = {}
    splits: dict[str, tuple[str, ...]] = {}
    for part in parts:
        tags |= _build_part(root, part, processes, bars)
        splits[part.split] = tuple(picture.image_id for picture in part.chosen.values())
    splits["train"] = splits["train_aug"][:scored_train]
    write_index(root, COCO_CLASSES, tags, splits)


def _find_part(
    split: str, images: Path, annotations: Path, limit: int | None, scored: int | None, bars: Bars
) -> _Part:
    file = AnnotationFile(annotations, _MEMBERS[split], bars)
    indices = file.labels()
    known = file.pictures()
    annotated = file.annotated()
    names = sorted(
        (picture.image_id, number) for number, picture in known.items() if number in annotated
    )
    if not names:
        raise file.error("no picture with an annotated object")
    chosen = {number: known[number] for _, number in names[:limit]}
    return _Part(split, images, file, indices, known, chosen, dict(islice(chosen.items(), scored)))


def _check_counts(parts: list[_Part], counts: Mapping[str, int]) -> None:
    for part in parts:
        if len(part.chosen) != counts[part.split]:
            raise part.file.error(
                f"{len(part.chosen)} pictures with annotated objects, but COCO 2014 has "
                f"{counts[part.split]} for {part.split}",
                "use COCO's annotations_trainval2014.zip",
            )


def _build_part(root: Path, part: _Part, processes: int, bars: Bars) -> dict[str, tuple[str, ...]]:
    """Write a split's pictures and its masks; return its tags."""
    objects = _read_objects(part)
    _unpack_pictures(root, part, bars)
    items = _in_order(part, objects.instances)
    report = bars(f"masks of {part.split}", "image")
    finished = map_ordered(partial(_finish, root), items, processes)
    for _ in follow(finished, len(part.chosen), report):
        """Written where it is painted."""
    return {
        image_id: tuple(COCO_CLASSES[label - 1] for label in sorted(labels))
        for image_id, labels in objects.labels.items()
    }


def _read_objects(part: _Part) -> _Objects:
    """The classes in the chosen pictures, and the instances in those that are scored."""
    found = _Objects(defaultdict(set), defaultdict(list))
    for annotation in part.file.annotations():
        if annotation.picture not in part.known:
            raise part.file.error(
                f"annotation {annotation.number} is of image {annotation.picture}, which is unknown"
            )
        if annotation.category not in part.indices:
            raise part.file.error(
                f"annotation {annotation.number} is of category {annotation.category}, which is "
                "unknown"
            )
        label = part.indices[annotation.category]
        if annotation.picture in part.chosen:
            found.labels[part.chosen[annotation.picture].image_id].add(label)
        if annotation.picture in part.scored:
            runs = _encode(part.file, annotation, part.scored[annotation.picture])
            instance = Instance(annotation.number, label, annotation.crowd, runs)
            found.instances[annotation.picture].append(instance)
    return found


def _encode(file: AnnotationFile, annotation: Annotation, picture: Picture) -> bytes:
    try:
        return encode(annotation.segmentation, picture.height, picture.width)
    except ValueError as error:
        raise file.error(
            f"annotation {annotation.number} ({picture.file_name}) has a segmentation that cannot "
            f"be read: {error}"
        ) from None


def _unpack_pictures(root: Path, part: _Part, bars: Bars) -> None:
    wanted = {picture.file_name for picture in part.chosen.values()}
    report = bars(f"unpacking {part.images.name}", "B")
    written = unpack(part.images, root, _choose_pictures(wanted), report)
    if missing := sorted(wanted - {path.name for path in written}):
        raise DataError(
            f"{part.images}: {missing[0]} is annotated in {part.file.member}, but is not in this "
            f"archive ({len(missing)} such pictures); get the archive again"
        )


def _choose_pictures(wanted: set[str]) -> Callable[[str], str | None]:
    def choose(name: str) -> str | None:
        path = PurePosixPath(name)
        if path.name not in wanted:
            return None
        return str(voc.layout(Path(), path.stem, path.suffix).image)

    return choose


def _in_order(part: _Part, instances: dict[int, list[Instance]]) -> Iterator[_Item]:
    """Each picture with its instances, which are forgotten then; None where no mask is wanted."""
    for number, picture in part.chosen.items():
        yield picture, instances.pop(number, None)


def _finish(root: Path, item: _Item) -> None:
    """Check one picture's size and write its mask, if it gets one."""
    picture, instances = item
    paths = voc.layout(root, picture.image_id, picture.suffix)
    with opened(paths.image) as image:
        width, height = image.size
    if (height, width) != (picture.height, picture.width):
        raise DataError(
            f"{paths.image.name}: {width}x{height} pixels, but annotated as "
            f"{picture.width}x{picture.height}; get the archives again"
        )
    if instances is not None:
        voc.write_mask(paths.mask, paint(height, width, instances))
