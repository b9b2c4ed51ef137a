"""The label update: a trained network and the saliency maps give the next round's pseudo labels.

Letters: C foreground classes, K tagged classes of a picture, H W pixels, h w map cells, L = h w.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from hsc.auxsegnet.labels import Update
from hsc.base.errors import HscError
from hsc.cam.inference import ScaledPictures
from hsc.data.voc import VocFolder
from hsc.engine.loading import in_order
from hsc.engine.runtime import Runtime
from hsc.nets.auxsegnet import AuxSegNet, apply_affinity

_MARGIN = 1e-5


@torch.no_grad()
def updates(
    network: AuxSegNet, folder: VocFolder, ids: Sequence[str], runtime: Runtime
) -> Iterator[Update]:
    """Yield what the network says of each picture, in order; one scale, no flip, as published.

    The CAM is DSCNet's second where the network has one. Raises HscError for maps that are not
    finite and as the reading of pictures and saliency.
    """
    runtime.ready(network)
    pictures = in_order(ScaledPictures(folder, ids, [1.0], flip=False), runtime)
    for image_id, size, (batch,) in pictures:
        classes = np.flatnonzero(folder.tags(image_id)) + 1
        with runtime.autocast():
            maps = network.maps(batch.to(runtime.device, non_blocking=True))
        seen = maps.cam if maps.second_cam is None else maps.second_cam
        cam = refine_cam(seen[0].float(), maps.affinity[0], classes, tuple(size))
        saliency = fuse_saliency(maps.refined_saliency[0, 0], folder.saliency(image_id))
        if not (torch.isfinite(cam).all() and np.isfinite(saliency).all()):
            raise HscError(
                f"{image_id}: its maps are not finite: the weights have run away; train again "
                "with a lower learning rate"
            )
        yield Update(image_id, folder.image(image_id), cam.cpu().numpy(), classes, saliency)


def refine_cam(
    cam: Tensor, affinity: Tensor, classes: Sequence[int] | NDArray, size: tuple[int, int]
) -> Tensor:
    """The CAM of the tagged classes that the affinity has refined, at the picture's size.

    cam: (C, h, w) logits. affinity: (L, L), row i is what cell i gathers. classes: K of 1..C.
    Each class is rectified and divided by its maximum, then refined once and not normalised again:
    as the rows of the affinity do not sum to 1, values may pass 1. Returns (K, H, W) >= 0.
    """
    chosen = F.relu(cam[torch.as_tensor(classes, dtype=torch.int64, device=cam.device) - 1])
    scaled = chosen / (chosen.amax(dim=(1, 2), keepdim=True) + _MARGIN)
    if not len(scaled):
        return cam.new_zeros(0, *size)
    refined = apply_affinity(affinity[None], scaled[None])
    return F.interpolate(refined, size, mode="bilinear", align_corners=False)[0]


def fuse_saliency(logits: Tensor, given: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean of the network's saliency and the map that was given, 255 is salient.

    logits: (h, w), refined. given: (H, W) uint8. Returns (H, W) in [0, 1].
    """
    own = logits.sigmoid()[None, None]
    own = F.interpolate(own, given.shape, mode="bilinear", align_corners=False)[0, 0]
    return (own.cpu().numpy() + given / 255) / 2
