"""A trained segmentation network from its weights file, whichever it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hsc.base.errors import WeightsError
from hsc.nets.auxsegnet import AuxSegNet, auxsegnet_network
from hsc.nets.deeplab import DeepLab, deeplab_network
from hsc.nets.weights import load_any, load_state

SegmentationNetwork = DeepLab | AuxSegNet
"""Normalised RGB (N, 3, H, W) to logits (N, C+1, *, *), background first."""

_BUILD: dict[str, Callable[[dict[str, Any]], SegmentationNetwork]] = {
    "deeplab": deeplab_network,
    "auxsegnet": auxsegnet_network,
}


def load_segmentation(path: Path) -> tuple[SegmentationNetwork, dict[str, Any]]:
    """Read a trained network in eval mode, and its specification.

    Raises HscError for a file of another kind or of another version, and as `load_state`.
    """
    kind, spec, state = load_any(path, tuple(_BUILD))
    try:
        network = _BUILD[kind](spec)
    except KeyError as error:
        raise WeightsError(
            f"{path}: its specification has no {error}, as another version wrote it; run "
            "train_segmentation again"
        ) from None
    load_state(network, state, path)
    return network.eval(), spec
