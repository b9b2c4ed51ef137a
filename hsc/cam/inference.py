"""Multi-scale, flipped CAM inference.

Every picture is seen at several scales and mirrored; the maps are brought back, merged as the
baseline publishes (`hsc.cam.merge`) and kept for the tagged classes only.

Letters: C foreground classes, K tagged classes of an image, H W pixels, h w map cells.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from hsc.base.errors import ExperimentError, HscError
from hsc.base.progress import Progress, follow, unseen
from hsc.base.sharing import in_turns
from hsc.cam.merge import merge_relu, merge_softmax
from hsc.cam.network import CamNetwork, upsample
from hsc.cam.parts import Cam, CamParts
from hsc.data.preprocessing import normalise, resize_picture, scaled_size
from hsc.data.voc import VocFolder
from hsc.engine.loading import in_order
from hsc.engine.runtime import Runtime, detect_runtime

_PIXELS = 1 << 19
"""That the network is shown at once. A larger picture and its flip are no faster together."""
_MERGE = {"relu": merge_relu, "softmax": merge_softmax}


class ScaledPictures(Dataset[tuple[str, tuple[int, int], list[Tensor]]]):
    """Whole pictures at several scales: `(id, (H, W), [(B, 3, h', w') float32 a scale])`.

    With `flip` each scale is a batch of two, the picture and its mirror image. Resizing is
    bicubic on 8-bit pixels, sizes are rounded half to even, as published.
    """

    def __init__(
        self, folder: VocFolder, ids: Sequence[str], scales: Sequence[float], flip: bool
    ) -> None:
        self._folder, self._ids, self._scales, self._flip = folder, ids, scales, flip

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> tuple[str, tuple[int, int], list[Tensor]]:
        image_id = self._ids[index]
        image = self._folder.image(image_id)
        return image_id, image.shape[:2], scale_picture(image, self._scales, self._flip)


def scale_picture(image: NDArray[np.uint8], scales: Sequence[float], flip: bool) -> list[Tensor]:
    """(H, W, 3) uint8 to one normalised batch (1 or 2, 3, h', w') a scale."""
    picture = Image.fromarray(image)
    batches = []
    for scale in scales:
        size = scaled_size(*picture.size, scale)
        resized = resize_picture(picture, size)
        batch = torch.from_numpy(normalise(np.asarray(resized)))[None]
        batches.append(torch.cat([batch, batch.flip(3)]) if flip else batch)
    return batches


@torch.no_grad()
def infer_cam(
    network: CamNetwork,
    batches: Sequence[Tensor],
    classes: Sequence[int],
    size: tuple[int, int],
    maps: Literal["raw", "refined"],
    merge: Literal["relu", "softmax"],
) -> Tensor:
    """The CAM of one picture: (K, H, W) float32 in [0, 1] for the K `classes` (1..C).

    batches: as `scale_picture` makes them. Raises HscError when refined maps are asked of a
    network without a PCM.
    """
    found = []
    for batch in batches:
        together = max(1, _PIXELS // batch[0, 0].numel())
        chosen = torch.cat([_maps(network, part, maps) for part in batch.split(together)])
        if merge == "relu":  # SEAM's network brings its maps to the picture that it was given
            chosen = upsample(chosen, tuple(batch.shape[2:]))
        found.append(chosen[0].float())
        found += [mirrored.flip(2).float() for mirrored in chosen[1:]]
    return _MERGE[merge](found, classes, size)


def _maps(network: CamNetwork, batch: Tensor, maps: Literal["raw", "refined"]) -> Tensor:
    output = network(batch, refine=maps == "refined")  # the PCM is the dearer half
    chosen = output.cam if maps == "raw" else output.refined
    if chosen is None:
        raise ExperimentError(
            "infer_cams: maps: refined, but this network has no PCM; use maps: raw"
        )
    return chosen


def infer_cams(
    network: CamNetwork,
    folder: VocFolder,
    scales: Sequence[float],
    flip: bool,
    maps: Literal["raw", "refined"],
    merge: Literal["relu", "softmax"],
    parts: CamParts,
    runtime: Runtime,
    progress: Progress = unseen,
) -> None:
    """Infer the CAMs that `parts` does not have yet and leave them there."""
    ids = parts.missing()
    work = partial(_cams, network, folder, (scales, flip, maps, merge))
    cams = in_turns(work, ids, [runtime], [detect_runtime])
    parts.keep(follow(cams, len(parts.ids), progress, len(parts.ids) - len(ids)))


def _cams(
    network: CamNetwork,
    folder: VocFolder,
    how: tuple[Sequence[float], bool, Literal["raw", "refined"], Literal["relu", "softmax"]],
    ids: Sequence[str],
    runtime: Runtime,
) -> Iterator[Cam]:
    """The CAM of each picture."""
    scales, flip, maps, merge = how
    runtime.ready(network)
    for image_id, size, batches in in_order(ScaledPictures(folder, ids, scales, flip), runtime):
        classes = (np.flatnonzero(folder.tags(image_id)) + 1).tolist()
        moved = [batch.to(runtime.device, non_blocking=True) for batch in batches]
        with runtime.autocast():
            cam = infer_cam(network, moved, classes, tuple(size), maps, merge)
        if not torch.isfinite(cam).all():
            raise HscError(
                f"{image_id}: its CAM is not finite: the weights have run away; train again with "
                "a lower learning rate"
            )
        yield image_id, cam.cpu().numpy(), classes
