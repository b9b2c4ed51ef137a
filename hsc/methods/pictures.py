"""What a CAM network sees while it is trained, to look at.

Letters: K tagged classes, H W pixels.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from hsc.cam.inference import scale_picture
from hsc.cam.seeds import threshold_seeds
from hsc.data.overlay import colour_labels, heat_map
from hsc.data.voc import VocFolder
from hsc.engine.runtime import Runtime
from hsc.engine.watch import looked_at
from hsc.losses.maps import otsu_threshold
from hsc.methods.contrast import driving_cam
from hsc.methods.method import Method


def cam_pictures(
    method: Method, folder: VocFolder, ids: Sequence[str], runtime: Runtime
) -> dict[str, NDArray[np.uint8]]:
    """By id a picture, the strongest of its CAMs and the seeds side by side: (H, 3 W, 3) RGB.

    The CAM is the one that drives the contrast, at one scale; the seeds' threshold is Otsu's of the
    picture itself. The pictures have tags.
    """
    with looked_at(method):
        return {image_id: _drawn(method, folder, image_id, runtime) for image_id in ids}


def _drawn(method: Method, folder: VocFolder, image_id: str, runtime: Runtime) -> NDArray[np.uint8]:
    image = folder.image(image_id)
    (batch,) = scale_picture(image, [1.0], flip=False)
    tags = torch.from_numpy(folder.tags(image_id))[None].to(runtime.device)
    with runtime.autocast():
        view = method.network(batch.to(runtime.device), enrich=False)
    driving = method.baseline.contrast_map(view, tags).float()
    cams = driving_cam(driving, tags, image.shape[:2])[0]
    strongest = cams.amax(dim=0)
    threshold = otsu_threshold(strongest.flatten()).item()
    classes = np.flatnonzero(folder.tags(image_id)) + 1
    seeds = threshold_seeds(cams.cpu().numpy()[classes - 1], classes, threshold)
    cells = image, heat_map(image, strongest.cpu().numpy()), colour_labels(image, seeds)
    return np.concatenate(cells, axis=1)
