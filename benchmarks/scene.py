"""Pictures of VOC's size with masks and CAMs as a network gives them, the same for the same seed.

A picture shows one to three ellipses of different classes, inside a border that is ignored. The
CAMs come from noisy activations on grids of stride 8 at four scales and their mirror images,
merged as the baselines merge them: smooth maps, roughly right.

Letters: C foreground classes, K tagged classes of an image, H W pixels, h w grid cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from hsc.cam.merge import merge_relu, merge_softmax
from hsc.data.classes import IGNORE, VOC_CLASSES
from hsc.data.lists import write_index
from hsc.data.voc import VocFolder, layout, write_image, write_mask
from hsc.store import CamWriter

VOC_SIZE = (375, 500)
SCALES = (0.5, 1.0, 1.5, 2.0)
STRIDE = 8
_MERGE = {"relu": merge_relu, "softmax": merge_softmax}


@dataclass(frozen=True)
class Scene:
    """image: uint8 RGB (H, W, 3). truth: uint8 (H, W). cam: float32 (K, H, W). classes: (K,)."""

    image_id: str
    image: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    cam: NDArray[np.float32]
    classes: NDArray[np.int64]


def scenes(
    count: int,
    size: tuple[int, int] = VOC_SIZE,
    merge: Literal["relu", "softmax"] = "relu",
    seed: int = 0,
) -> list[Scene]:
    """`count` pictures of VOC's 20 classes with ascending ids.

    merge: how SEAM (relu) or EPS (softmax) brings the maps of the scales together.
    """
    return [_scene(f"{number:04d}", size, merge, [seed, number]) for number in range(count)]


def _scene(image_id: str, size: tuple[int, int], merge: str, seed: Sequence[int]) -> Scene:
    rng = np.random.default_rng(seed)
    count = 1 + int(rng.integers(3))
    classes = np.sort(rng.permutation(len(VOC_CLASSES))[:count]) + 1
    truth = _truth(rng, size, classes)
    colours = rng.integers(40, 216, (IGNORE + 1, 3))
    noise = rng.integers(-20, 21, (*size, 3))
    image = np.clip(colours[truth] + noise, 0, 255).astype(np.uint8)
    cam = _MERGE[merge](_activations(rng, truth), classes.tolist(), size).numpy()
    # an object may lie wholly behind another; it is tagged all the same
    return Scene(image_id, image, truth, cam, classes)


def _truth(
    rng: np.random.Generator, size: tuple[int, int], classes: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Ellipses, the later in front, each with an ignored rim as VOC's objects have."""
    rows, columns = np.ogrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j]
    truth = np.zeros(size, dtype=np.uint8)
    for index in classes:
        row, column = rng.uniform(-0.6, 0.6, 2)
        height, width = rng.uniform(0.2, 0.6, 2)
        distance = ((rows - row) / height) ** 2 + ((columns - column) / width) ** 2
        truth[distance < 1.1] = IGNORE
        truth[distance < 1] = index
    return truth


def _activations(rng: np.random.Generator, truth: NDArray[np.uint8]) -> list[Tensor]:
    """A map (C+1, h, w) for each scale and flip, brought back: blurred masks and noise.

    One error is common to all, as of a network that sees the same thing at every scale; the
    other is each map's own.
    """
    channels = len(VOC_CLASSES) + 1
    truth = np.where(truth == IGNORE, 0, truth)
    shown = F.one_hot(torch.from_numpy(truth).long(), channels).permute(2, 0, 1).float()[None]
    blurred = F.avg_pool2d(_resize(shown, 1 / STRIDE), 7, stride=1, padding=3)
    common = _resize(_normal(rng, (1, channels, 6, 8)), to=blurred.shape[2:])
    clean = 4 * blurred + common
    maps = []
    for scale in (scale for scale in SCALES for _ in ("as it is", "mirrored")):
        resized = _resize(clean, to=[max(1, round(scale * side / STRIDE)) for side in truth.shape])
        maps.append((resized + 0.4 * _normal(rng, resized.shape))[0])
    return maps


def _resize(maps: Tensor, scale: float | None = None, to: Sequence[int] | None = None) -> Tensor:
    size = to or [max(1, round(scale * side)) for side in maps.shape[2:]]
    return F.interpolate(maps, tuple(size), mode="bilinear", align_corners=False)


def _normal(rng: np.random.Generator, shape: Sequence[int]) -> Tensor:
    return torch.from_numpy(rng.standard_normal(tuple(shape), dtype=np.float32))


def write_folder(root: Path, pictures: Sequence[Scene]) -> VocFolder:
    """The pictures as a data set in VOC layout, all of them in `train_aug` and `train`."""
    ids = [scene.image_id for scene in pictures]
    tags = {
        scene.image_id: [VOC_CLASSES[index - 1] for index in scene.classes] for scene in pictures
    }
    root.mkdir(parents=True)
    write_index(root, VOC_CLASSES, tags, {"train_aug": ids, "train": ids, "val": []})
    for scene in pictures:
        paths = layout(root, scene.image_id)
        write_image(paths.image, scene.image)
        write_mask(paths.mask, scene.truth)
    return VocFolder(root)


def write_cams(path: Path, pictures: Sequence[Scene]) -> None:
    """The pictures' CAMs as `infer_cams` writes them."""
    with CamWriter(path, VOC_CLASSES, "digest") as writer:
        for scene in pictures:
            writer.add(scene.image_id, scene.cam, scene.classes)
