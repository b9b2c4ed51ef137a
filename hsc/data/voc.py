"""A data set in VOC layout: the one form in which every data set is read.

    classes.txt                                foreground class names; line i has index i
    tags.csv                                   header `id,tags`; tags are class names joined by `;`
    ImageSets/Segmentation/<split>.txt         ids: train_aug trains, train and val are scored
    JPEGImages/<id>.jpg or .png                pictures
    Saliency/<id>.png                          8 bit, for EPS only
    SegmentationClass/<id>.png                 class indices, palette or grey, for scoring only

C foreground classes, H W pixels of a picture. All problems are reported as HscError.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hsc.base.errors import DataError, SaliencyError
from hsc.data.classes import IGNORE, palette
from hsc.data.lists import (
    check_id,
    check_splits,
    read_classes,
    read_ids,
    read_tags,
    split_path,
)
from hsc.data.picture_problems import opened

SPLITS = ("train_aug", "train", "val")
UNTAGGED_SPLITS = ("val", "test")
"""No stage reads the tags of these."""
IMAGE_SUFFIXES = (".jpg", ".png", ".jpeg", ".JPG", ".JPEG", ".PNG")

_IMAGES, _MASKS, _SALIENCY = "JPEGImages", "SegmentationClass", "Saliency"


class VocFolder:
    """Reads a data set in VOC layout.

    Args:
        root: the data set's folder.
        class_names: names of the foreground classes; read from `classes.txt` if None.

    Raises HscError when the classes or the tags cannot be read.
    """

    def __init__(self, root: Path, class_names: Sequence[str] | None = None) -> None:
        self.root = root
        self.class_names = tuple(class_names or read_classes(root / "classes.txt"))
        self._tags = read_tags(root / "tags.csv")
        self._index = {name: position for position, name in enumerate(self.class_names)}

    @property
    def num_classes(self) -> int:
        """C, the number of foreground classes."""
        return len(self.class_names)

    def ids(self, split: str) -> tuple[str, ...]:
        """The split's image ids in the order of its file.

        Raises HscError when the file is missing, empty, has an id twice or, unless the split is
        val or test, an id without a line in tags.csv.
        """
        path = split_path(self.root, split)
        ids = read_ids(path)
        if split not in UNTAGGED_SPLITS:
            for image_id in ids:
                if image_id not in self._tags:
                    raise DataError(
                        f"{path}: id {image_id!r} has no line in {self.root / 'tags.csv'}; add one "
                        "(with nothing after the comma if the picture shows no class)"
                    )
        return ids

    def check(self) -> None:
        """Check the splits, that every tag is a class and that every picture of a split exists.

        Raises HscError at the first problem.
        """
        splits = {split: self.ids(split) for split in SPLITS}
        check_splits(self.root, splits)
        for image_id in self._tags:
            self.tags(image_id)
        for ids in splits.values():
            for image_id in ids:
                self.image_path(image_id)

    def tags(self, image_id: str) -> NDArray[np.float32]:
        """The image's tags, (C,) float32, 0 or 1.

        Raises HscError for an id without tags and for a tag that is no class.
        """
        path = self.root / "tags.csv"
        if image_id not in self._tags:
            raise DataError(f"{path}: no line for id {image_id!r}; add one")
        tags = np.zeros(self.num_classes, dtype=np.float32)
        for name in self._tags[image_id]:
            if name not in self._index:
                raise DataError(
                    f"{path}: tag {name!r} of id {image_id!r} is no class of "
                    f"{self.root / 'classes.txt'} ({', '.join(self.class_names)}); correct one"
                )
            tags[self._index[name]] = 1
        return tags

    def is_tagged(self, image_id: str) -> bool:
        """Whether the image has a line in tags.csv: of val it need not have one."""
        return image_id in self._tags

    def tag_names(self, image_id: str) -> tuple[str, ...]:
        """The names of the image's tags, each once. Raises HscError as `tags`."""
        return tuple(self.class_names[k] for k in np.flatnonzero(self.tags(image_id)))

    def image_path(self, image_id: str) -> Path:
        """The picture's file. Raises HscError when there is none."""
        check_id(image_id, self.root)
        for suffix in IMAGE_SUFFIXES:
            path = self.root / _IMAGES / (image_id + suffix)
            if path.is_file():
                return path
        raise DataError(
            f"{self.root / _IMAGES / image_id}.jpg: no such picture (nor .png); add it or take "
            f"{image_id!r} out of the files in {split_path(self.root, 'x').parent}"
        )

    def saliency_path(self, image_id: str) -> Path:
        """Where the saliency map is or would be."""
        return self._map_path(_SALIENCY, image_id)

    def mask_path(self, image_id: str) -> Path:
        """Where the mask is or would be."""
        return self._map_path(_MASKS, image_id)

    def has_masks(self, split: str) -> bool:
        """Whether the split is scored: has any mask. Raises HscError as `ids`."""
        return any(self.mask_path(image_id).is_file() for image_id in self.ids(split))

    def size(self, image_id: str) -> tuple[int, int]:
        """(H, W) of the picture, from its header."""
        path = self.image_path(image_id)
        with opened(path) as image:
            return image.height, image.width

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """The picture, (H, W, 3) uint8 RGB. Raises HscError when it is missing or damaged."""
        return read_image(self.image_path(image_id))

    def saliency(self, image_id: str) -> NDArray[np.uint8]:
        """The saliency map, (H, W) uint8, 255 is salient.

        Raises HscError when it is missing, damaged or of another size than the picture.
        """
        path = self.saliency_path(image_id)
        if not path.is_file():
            raise SaliencyError(
                f"{path}: no such saliency map, and EPS and AuxSegNet need one for every picture; "
                "add it or choose a method without saliency"
            )
        saliency = read_grey(path)
        self._check_size(path, saliency, image_id)
        return saliency

    def mask(self, image_id: str) -> NDArray[np.uint8]:
        """The mask, (H, W) uint8: 0 background, 1..C classes, 255 ignored.

        Raises HscError when it is missing, damaged, of another size than the picture, no picture of
        indices, or has an index that is neither a class nor 255.
        """
        path = self.mask_path(image_id)
        if not path.is_file():
            raise DataError(
                f"{path}: no such mask; masks are needed for scoring only: add it, or take "
                f"{image_id!r} out of the split that is scored"
            )
        mask = read_mask(path, self.num_classes)
        self._check_size(path, mask, image_id)
        return mask

    def _map_path(self, folder: str, image_id: str) -> Path:
        check_id(image_id, self.root)
        return self.root / folder / f"{image_id}.png"

    def _check_size(self, path: Path, values: NDArray[np.uint8], image_id: str) -> None:
        check_size(path, values, self.image_path(image_id), self.size(image_id))


class Paths(NamedTuple):
    """The files of one image."""

    image: Path
    mask: Path
    saliency: Path


def layout(root: Path, image_id: str, image_suffix: str = ".jpg") -> Paths:
    """Where the files of an image belong below `root`."""
    return Paths(
        root / _IMAGES / (image_id + image_suffix),
        root / _MASKS / f"{image_id}.png",
        root / _SALIENCY / f"{image_id}.png",
    )


def check_size(path: Path, values: NDArray[np.uint8], picture: Path, size: tuple[int, int]) -> None:
    """Raise HscError unless the map in `path`, (H, W), has the picture's size (H, W)."""
    if values.shape != size:
        raise DataError(
            f"{path}: {values.shape[1]}x{values.shape[0]} pixels, but the picture {picture} has "
            f"{size[1]}x{size[0]}; make it of the same size"
        )


def read_mask(path: Path, num_classes: int) -> NDArray[np.uint8]:
    """A PNG of class indices, palette or grey, (H, W) uint8.

    Raises HscError for a missing or damaged file, a colour picture, or an index that is neither
    in 0..num_classes nor 255.
    """
    mask = _pixels(path, None)
    check_indices(path, mask, num_classes)
    return mask


def check_indices(path: Path, mask: NDArray[np.uint8], num_classes: int) -> None:
    """Raise HscError for an index in a mask that is neither in 0..num_classes nor 255."""
    wrong = mask[(mask > num_classes) & (mask != IGNORE)]
    if wrong.size:
        raise DataError(
            f"{path}: index {wrong[0]} is impossible with {num_classes} classes (0..{num_classes} "
            f"and {IGNORE} are possible); correct the mask or classes.txt"
        )


def read_image(path: Path) -> NDArray[np.uint8]:
    """A picture as it lies in its file, (H, W, 3) uint8 RGB. Raises HscError as `read_grey`."""
    return _pixels(path, "RGB")


def read_grey(path: Path) -> NDArray[np.uint8]:
    """A grey picture, such as saliency, (H, W) uint8. Raises HscError as `read_mask`."""
    return _pixels(path, "L")


def write_mask(path: Path, indices: NDArray[np.uint8]) -> None:
    """Write (H, W) uint8 class indices as a PNG with VOC's palette.

    Raises ValueError when they are of another shape or type.
    """
    image = _grey(indices)
    image.putpalette(palette().tobytes())  # turns a grey picture into one of indices
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, format="PNG")


def write_grey(path: Path, values: NDArray[np.uint8]) -> None:
    """Write (H, W) uint8 values, such as saliency, as a grey PNG."""
    image = _grey(values)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, format="PNG")


def write_image(path: Path, pixels: NDArray[np.uint8], quality: int = 92) -> None:
    """Write (H, W, 3) uint8 RGB as a JPEG, colours at full resolution."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, format="JPEG", quality=quality, subsampling=0)


def _grey(values: NDArray[np.uint8]) -> Image.Image:
    if values.ndim != 2 or values.dtype != np.uint8:
        raise ValueError(f"needs (H, W) uint8, got {values.shape} {values.dtype}")
    return Image.fromarray(values)


def _pixels(path: Path, mode: str | None) -> NDArray[np.uint8]:
    """Decode a picture, converted to `mode`, or, for None, one of 8-bit indices as it is."""
    with opened(path) as image:
        if mode is None and image.mode not in ("P", "L"):
            raise DataError(
                f"{path}: a picture of mode {image.mode}, not of class indices; save the mask as "
                "an 8-bit palette or grey PNG"
            )
        return np.array(image if mode is None else image.convert(mode))
