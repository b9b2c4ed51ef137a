"""What the trained networks see in one picture, as pictures for a page.

Letters: C foreground classes, H W pixels.
"""

import base64
import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from hsc.base.errors import HscError, PredictionError
from hsc.cam.inference import infer_cam, scale_picture
from hsc.cam.network import CamNetwork, load_cam_network
from hsc.crf.dense import refine_prediction
from hsc.data.classes import BACKGROUND, palette
from hsc.data.overlay import colour_labels, heat_map
from hsc.data.pictures import read_picture, shrink_picture
from hsc.engine.runtime import Runtime
from hsc.nets.segmentation import SegmentationNetwork, load_segmentation
from hsc.nets.weights import check_classes
from hsc.params.recipe import InferCamParams
from hsc.params.segmentation import PredictParams
from hsc.segmentation.inference import picture_logits

LONGEST = 1000
"""The longest side that the networks are shown, where the recipe has none."""


@dataclass(frozen=True)
class Networks:
    """Both networks and how they see a picture.

    max_side: the longest side that they are shown, in pixels.
    """

    segmentation: SegmentationNetwork
    cam: CamNetwork
    class_names: tuple[str, ...]
    predict: PredictParams
    infer: InferCamParams
    max_side: int
    runtime: Runtime


def load_networks(
    weights: Path,
    cam: Path,
    predict: PredictParams,
    infer: InferCamParams,
    max_side: int | None,
    runtime: Runtime,
) -> Networks:
    """Read both. Raises HscError for weights of another kind, and for two of other classes."""
    segmentation, spec = load_segmentation(weights)
    names = tuple(spec["class_names"])
    network, cam_spec = load_cam_network(cam)
    check_classes(cam, cam_spec, names)
    runtime.ready(segmentation)
    runtime.ready(network)
    return Networks(segmentation, network, names, predict, infer, max_side or LONGEST, runtime)


def answer(networks: Networks, upload: bytes) -> dict[str, Any]:
    """The picture, the prediction over it, and a CAM of each class in the prediction.

    upload: the bytes of a picture's file. Pictures are data URLs, shares of the pixels in percent.
    Raises HscError for bytes that are no picture.
    """
    image = shrink_picture(_decoded(upload), networks.max_side)
    labels = _labels(networks, image)
    counts = np.bincount(labels.ravel(), minlength=len(networks.class_names) + 1)
    found = [int(index) for index in np.flatnonzero(counts) if index != BACKGROUND]
    cams = _cams(networks, image, found)
    return {
        "picture": _url(image),
        "prediction": _url(colour_labels(image, labels)),
        "classes": [
            {
                "name": networks.class_names[index - 1],
                "colour": "#" + palette()[index].tobytes().hex(),
                "share": round(100 * int(counts[index]) / labels.size, 1),
                "cam": _url(heat_map(image, cam)),
            }
            for index, cam in zip(found, cams, strict=True)
        ],
    }


def _decoded(upload: bytes) -> NDArray[np.uint8]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture"
        path.write_bytes(upload)
        try:
            return read_picture(path)
        except HscError as error:
            raise PredictionError(str(error).replace(str(path), "the picture")) from None


def _labels(networks: Networks, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """As `predict` labels it, (H, W) uint8."""
    how = networks.predict
    logits = picture_logits(networks.segmentation, image, how.scales, how.flip, networks.runtime)
    if how.crf is not None:
        scores = logits.softmax(dim=0).contiguous().cpu().numpy()
        return refine_prediction((image, scores), how.crf)
    return logits.argmax(dim=0).to(torch.uint8).cpu().numpy()


def _cams(
    networks: Networks, image: NDArray[np.uint8], classes: Sequence[int]
) -> NDArray[np.float32]:
    """As `infer_cams` makes them, as if the classes were the picture's tags: (K, H, W)."""
    if not classes:
        return np.empty((0, *image.shape[:2]), dtype=np.float32)
    how, runtime = networks.infer, networks.runtime
    batches = [batch.to(runtime.device) for batch in scale_picture(image, how.scales, how.flip)]
    with runtime.autocast():
        cam = infer_cam(networks.cam, batches, classes, image.shape[:2], how.maps, how.merge)
    return cam.cpu().numpy()


def _url(pixels: NDArray[np.uint8]) -> str:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
