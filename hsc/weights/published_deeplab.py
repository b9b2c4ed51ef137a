"""The DeepLab checkpoint published with HSC: its layout, and how it translates to our keys.

ResNet-101 with a deep stem, an ASPP with image pooling, 20 classes and the background first, as
here. Only the head's parts have other names.

Letters: C foreground classes.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hsc.base.errors import WeightsError
from hsc.nets.deeplab import deeplab_network
from hsc.weights.published import differences

_RATES = (6, 12, 18, 24)

# Our module and its published name; what has no line here has the same name.
_NAMES = {
    **{f"head.branches.{index}": f"aspp.branch{index + 1}" for index in range(len(_RATES))},
    "head.pooled.0": "aspp.branch5_conv",
    "head.pooled.1": "aspp.branch5_bn",
    "head.mix": "aspp.conv_cat",
    "classifier": "cls_conv",
}


def deeplab_spec(class_names: tuple[str, ...]) -> dict[str, Any]:
    """The specification of the network that these weights fit (`hsc.nets.deeplab`)."""
    return {
        "backbone": "resnet101s",
        "widths": None,
        "output_stride": 8,
        "class_names": list(class_names),
        "head": {
            "kind": "aspp",
            "channels": 256,
            "rates": list(_RATES),
            "pooled_norm": True,
            "norm_momentum": 0.0003,
            "dropout": 0.5,
            "dropout_of": "values",
        },
    }


def expected_shapes(num_classes: int = 20) -> dict[str, tuple[int, ...]]:
    """Every key of the published checkpoint with its shape."""
    with torch.device("meta"):  # shapes only: no memory, no random numbers
        state = deeplab_network(deeplab_spec(("",) * num_classes)).state_dict()
    return {_published_key(key): tuple(tensor.shape) for key, tensor in state.items()}


def convert(state: dict[str, Tensor], path: Path, num_classes: int = 20) -> dict[str, Tensor]:
    """A published state_dict under our keys; the tensors are those of `state`.

    path: the file that `state` is from, for errors. num_classes: C. Counters of steps may be
    missing. Raises HscError for keys that are missing, not in the layout or of another shape: all
    of them are listed.
    """
    shapes = expected_shapes(num_classes)
    if problems := differences(state, shapes):
        raise WeightsError(f"{path}: not in the layout deeplabv2: " + "; ".join(problems))
    ours = {published: ours for ours, published in _NAMES.items()}
    return {_renamed(key, ours): state.get(key, torch.tensor(0)) for key in shapes}


def _published_key(key: str) -> str:
    return _renamed(key, _NAMES)


def _renamed(key: str, names: dict[str, str]) -> str:
    for module, name in names.items():
        if key.startswith(f"{module}."):
            return name + key.removeprefix(module)
    return key
