"""The segmentation network as an ONNX file that says by itself how it is used.

    image   (N, 3, H, W) float32, RGB in [0, 1] less `mean`, by `std`; any N, H, W
    logits  (N, C+1, H, W) float32, background first

Its metadata: `classes` (C+1 names), `palette` (a colour each), `mean`, `std`, all JSON.

Letters: N pictures, C foreground classes, H W pixels.
"""

import contextlib
import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsc.base.errors import PredictionError
from hsc.base.files import atomic_file
from hsc.data.classes import palette
from hsc.data.preprocessing import MEAN, STD
from hsc.nets.segmentation import SegmentationNetwork

TOLERANCE = 1e-4
"""What the logits of onnxruntime may differ by from torch's, beside their largest."""
_NEEDED = ("onnx", "onnxscript", "onnxruntime")
_OPSET = 18
_TRACED = (2, 3, 96, 120)  # two pictures: a batch of one would stay one
_CHECKED = ((1, 3, 120, 97), (3, 3, 64, 64))


class WholeLogits(nn.Module):
    """The network with its logits brought to the picture's size, as prediction brings them."""

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, C+1, H, W)."""
        logits = self.network(image)
        return F.interpolate(logits, image.shape[2:], mode="bilinear", align_corners=False)


def export_onnx(network: SegmentationNetwork, class_names: Sequence[str], path: Path) -> float:
    """Write the file; returns how far onnxruntime's logits differ from torch's, of the largest.

    class_names: of the foreground classes. Raises HscError where a package is missing, and where
    the logits differ by more than TOLERANCE.
    """
    if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
        raise PredictionError(
            f"{', '.join(missing)}: not installed; pip install {' '.join(_NEEDED)}"
        )
    whole = WholeLogits(network).eval()
    dynamic = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            whole, (torch.zeros(_TRACED),), dynamo=True, opset_version=_OPSET, verbose=False,
            input_names=["image"], output_names=["logits"], dynamic_shapes=(dynamic,),
        )  # fmt: skip
    program.model.metadata_props.update(facts(class_names))
    with atomic_file(path) as partial:
        program.save(partial)
        return largest_difference(whole, partial)


def facts(class_names: Sequence[str]) -> dict[str, str]:
    """What the file says of itself; class_names: of the foreground classes."""
    names = ["background", *class_names]
    return {
        "classes": json.dumps(names, ensure_ascii=False),
        "palette": json.dumps(palette()[: len(names)].tolist()),
        "mean": json.dumps(MEAN),
        "std": json.dumps(STD),
    }


def largest_difference(network: nn.Module, path: Path) -> float:
    """Of the logits of random pictures of several sizes, as a share of the largest.

    Raises HscError for more than TOLERANCE.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    differences = []
    for seed, size in enumerate(_CHECKED):
        image = np.random.default_rng(seed).normal(size=size).astype(np.float32)
        (found,) = session.run(None, {"image": image})
        with torch.no_grad():
            expected = network(torch.from_numpy(image)).numpy()
        differences.append(np.abs(found - expected).max() / np.abs(expected).max())
    if not max(differences) <= TOLERANCE:
        raise PredictionError(
            f"{path}: onnxruntime's logits differ by {max(differences):.1g} of the largest from "
            "torch's; use the weights with predict instead"
        )
    return float(max(differences))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells of its own inner life."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
