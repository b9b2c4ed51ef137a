"""What a contrast makes of a picture, for instance DSCNet its groups, as label maps to look at.

Letters: H W pixels.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from hsc.cam.inference import ScaledPictures
from hsc.data.voc import VocFolder
from hsc.engine.loading import in_order
from hsc.engine.runtime import Runtime
from hsc.methods.method import Method
from hsc.methods.training import build_method
from hsc.nets.weights import check_classes, load_state, load_weights
from hsc.params.method import MethodChoice
from hsc.params.recipe import NetworkParams, TrainCamParams


def trained_method(
    weights: Path,
    folder: VocFolder,
    choice: MethodChoice,
    network: NetworkParams,
    params: TrainCamParams,
) -> Method:
    """The method with the network that `train_cam` wrote. Raises HscError for another network."""
    spec, state = load_weights(weights, "cam")
    check_classes(weights, spec, folder.class_names)
    method = build_method(folder.class_names, choice, network, params)
    load_state(method.network, state, weights)
    return method


@torch.no_grad()
def contrast_maps(
    method: Method, folder: VocFolder, ids: Sequence[str], runtime: Runtime
) -> dict[str, NDArray[np.uint8]]:
    """By id what `Contrast.label_map` says of each pixel, (H, W) uint8; one scale, no crop."""
    runtime.ready(method.network)
    found = {}
    for image_id, size, (batch,) in in_order(ScaledPictures(folder, ids, [1.0], False), runtime):
        tags = torch.from_numpy(folder.tags(image_id))[None].to(runtime.device)
        view = method.network(batch.to(runtime.device), enrich=False)
        cam = method.baseline.contrast_map(view, tags)
        labels = method.contrast.label_map(cam.float(), method.embeddings(view), tags)
        whole = F.interpolate(labels[None].float(), size, mode="nearest-exact")
        found[image_id] = whole[0, 0].to(torch.uint8).cpu().numpy()
    return found
