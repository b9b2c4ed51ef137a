"""VOC 2012 and SBD in miniature: archives with the true names, folders and formats."""

import io
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from hsc.data.classes import palette

TRAIN = ("2007_000032", "2007_000039", "2007_000063", "2007_000068")
VAL = ("2007_000033", "2007_000042", "2007_000061")
SBD_TRAIN = ("2008_000008", "2007_000033", "2008_000023")  # one of VOC's val, which must not train
SBD_VAL = ("2008_000015", "2007_000032", "2008_000028")  # one of VOC's train
TRAIN_AUG = (*TRAIN, "2008_000008", "2008_000015", "2008_000023", "2008_000028")
TEST = ("2008_000006",)
COUNTS = {"train": 4, "val": 3, "train_aug": 8, "test": 1}

SIZE = (36, 48)  # H, W
OBJECTS = {"2007_000032": ("person", "aeroplane", "aeroplane"), "2007_000033": ("tvmonitor",)}
"""Of all other pictures: one cat or one dog, by turns."""

_TOP, _SBD = "VOCdevkit/VOC2012/", "benchmark_RELEASE/dataset/"
_ALL = sorted({*TRAIN, *VAL, *SBD_TRAIN, *SBD_VAL, "2012_004331"})
_INDEX = {"aeroplane": 1, "cat": 8, "dog": 12, "person": 15, "tvmonitor": 20}


def objects(image_id: str) -> tuple[str, ...]:
    """The names in a picture's annotation."""
    return OBJECTS.get(image_id, (("cat", "dog")[int(image_id[-1]) % 2],))


def mask(image_id: str) -> NDArray[np.uint8]:
    """Each object a rectangle in its own half, with VOC's border of 255."""
    rng = np.random.default_rng(int(image_id.replace("_", "")))
    indices = np.zeros(SIZE, np.uint8)
    names = sorted(set(objects(image_id)))
    for place, name in enumerate(names):
        left = place * SIZE[1] // len(names) + int(rng.integers(2, 5))
        right = (place + 1) * SIZE[1] // len(names) - int(rng.integers(2, 5))
        indices[5:-5, left:right] = 255
        indices[6:-6, left + 1 : right - 1] = _INDEX[name]
    return indices


def annotation(names: Sequence[str]) -> bytes:
    """An XML annotation; every other object is difficult, each has a part with a name."""
    part = "<part><name>head</name></part>"
    found = "".join(
        f"<object><name>{name}</name><difficult>{index % 2}</difficult>{part}</object>"
        for index, name in enumerate(names)
    )
    return f"<annotation><folder>VOC2012</folder>{found}</annotation>".encode()


def picture(image_id: str) -> bytes:
    """A JPEG: the classes' colours over noise."""
    rng = np.random.default_rng(int(image_id.replace("_", "")))
    noise = rng.integers(0, 90, (*SIZE, 3))
    pixels = np.clip(palette()[mask(image_id) % 255] + noise, 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def mask_png(indices: NDArray[np.uint8]) -> bytes:
    """A palette PNG, as VOC has them."""
    image = Image.fromarray(indices)
    image.putpalette(palette().tobytes())
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def sbd_mat(indices: NDArray[np.uint8]) -> bytes:
    """A MATLAB file as SBD's `cls` folder has them."""
    stream = io.BytesIO()
    savemat(stream, {"GTcls": {"Boundaries": np.zeros((20, 1)), "Segmentation": indices}})
    return stream.getvalue()


def lines(ids: Sequence[str]) -> bytes:
    """A list of ids as a file."""
    return "".join(f"{image_id}\n" for image_id in ids).encode()


def voc_files() -> dict[str, bytes]:
    """What VOCtrainval_11-May-2012.tar holds."""
    found = {f"{_TOP}Annotations/{i}.xml": annotation(objects(i)) for i in _ALL}
    found[f"{_TOP}ImageSets/Main/cat_train.txt"] = b"2007_000032  1\n"
    for name, ids in {"train": TRAIN, "val": VAL, "trainval": (*TRAIN, *VAL)}.items():
        found[f"{_TOP}ImageSets/Segmentation/{name}.txt"] = lines(ids)
    found |= {f"{_TOP}JPEGImages/{i}.jpg": picture(i) for i in _ALL}
    for folder in ("SegmentationClass", "SegmentationObject"):
        found |= {f"{_TOP}{folder}/{i}.png": mask_png(mask(i)) for i in (*TRAIN, *VAL)}
    return found


def voc_test_files() -> dict[str, bytes]:
    """What VOC2012test.tar holds."""
    found = {f"{_TOP}ImageSets/Segmentation/test.txt": lines(TEST)}
    return found | {f"{_TOP}JPEGImages/{i}.jpg": picture(i) for i in (*TEST, "2008_000001")}


def sbd_files() -> dict[str, bytes]:
    """What SBD's benchmark.tgz holds."""
    found = {f"{_SBD}train.txt": lines(SBD_TRAIN), f"{_SBD}val.txt": lines(SBD_VAL)}
    for image_id in (*SBD_TRAIN, *SBD_VAL):
        found[f"{_SBD}img/{image_id}.jpg"] = picture(image_id)
        found[f"{_SBD}cls/{image_id}.mat"] = sbd_mat(mask(image_id) % 255)
        found[f"{_SBD}inst/{image_id}.mat"] = sbd_mat(mask(image_id) % 255)
    return found


def saliency_map(image_id: str) -> NDArray[np.uint8]:
    """A map that shows most of the objects."""
    return np.where(mask(image_id) % 255 > 0, 200, 20).astype(np.uint8)


def saliency_files() -> dict[str, bytes]:
    """What SALImages.zip holds: a grey PNG for each picture that trains, and for more."""
    found = {}
    for image_id in (*TRAIN_AUG, *VAL):
        stream = io.BytesIO()
        Image.fromarray(saliency_map(image_id)).save(stream, "PNG")
        found[f"SALImages/{image_id}.png"] = stream.getvalue()
    return found


def pack(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write a tar or zip file, compressed where the name says so."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as packed:
            for name, data in files.items():
                packed.writestr(name, data)
        return path
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path
