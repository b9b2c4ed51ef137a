"""AuxSegNet's published checkpoint: its layout, and how it translates to our keys.

ResNet-38 and 20 classes; the background is the segmentation's first channel, as here. Twelve
parameters of each checkpoint (and six statistics) are in no forward pass of the published code;
they have to be there and are dropped.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hsc.base.errors import WeightsError
from hsc.nets.auxsegnet import auxsegnet_network
from hsc.weights.published import differences

_WIDTH = 128
_TASKS = {"segmentation": "seg", "saliency": "sal"}

# Our module and its published name, in which `x` is the task's; the backbone's are the same.
_OF_A_TASK = {
    "conv1": "x_conv1",
    "conv2": "x_conv2",
    "conv3": "x_conv3",
    "classifier": "x_conv4",
    "theta": "x_att.theta",
    "phi": "x_att.phi",
    "value": "x_g",
    "out": "x_W",
}
_NAMES = {
    "head": "fc8",
    "cross.near": "cross_att.0",
    "cross.mix": "cross_att.2",
    **{
        f"{task}.{ours}": theirs.replace("x", short, 1)
        for task, short in _TASKS.items()
        for ours, theirs in _OF_A_TASK.items()
    },
}
_UNUSED = {
    f"{short}_att.{key}": shape
    for short in _TASKS.values()
    for key, shape in {
        "g.weight": (_WIDTH, _WIDTH, 1, 1),
        "g.bias": (_WIDTH,),
        "W_z.0.weight": (_WIDTH, _WIDTH, 1, 1),
        "W_z.0.bias": (_WIDTH,),
        "W_z.1.weight": (_WIDTH,),
        "W_z.1.bias": (_WIDTH,),
        "W_z.1.running_mean": (_WIDTH,),
        "W_z.1.running_var": (_WIDTH,),
        "W_z.1.num_batches_tracked": (),
    }.items()
}


def auxsegnet_spec(class_names: tuple[str, ...]) -> dict[str, Any]:
    """The specification of the network that these weights fit (`hsc.nets.auxsegnet`)."""
    return {
        "backbone": "resnet38",
        "widths": None,
        "output_stride": 8,
        "class_names": list(class_names),
        "channels": _WIDTH,
        "rates": [6, 12, 18],
        "head_dropout": 0.5,
    }


def expected_shapes(num_classes: int = 20) -> dict[str, tuple[int, ...]]:
    """Every key of the published checkpoint with its shape."""
    with torch.device("meta"):  # shapes only: no memory, no random numbers
        state = auxsegnet_network(auxsegnet_spec(("",) * num_classes)).state_dict()
    return {_published_key(key): tuple(tensor.shape) for key, tensor in state.items()} | _UNUSED


def convert(state: dict[str, Tensor], path: Path, num_classes: int = 20) -> dict[str, Tensor]:
    """A published state_dict under our keys; the tensors are those of `state`.

    path: the file that `state` is from, for errors. num_classes: C. Counters of steps may be
    missing. Raises HscError for keys that are missing, not in the layout or of another shape: all
    of them are listed.
    """
    shapes = expected_shapes(num_classes)
    if problems := differences(state, shapes):
        raise WeightsError(f"{path}: not in the layout auxsegnet: " + "; ".join(problems))
    return {_our_key(key): state.get(key, torch.tensor(0)) for key in shapes if key not in _UNUSED}


def _published_key(key: str) -> str:
    module, _, tensor = key.rpartition(".")
    if module in _NAMES:
        return f"{_NAMES[module]}.{tensor}"
    return key.removeprefix("backbone.")


def _our_key(key: str) -> str:
    ours = {theirs: ours for ours, theirs in _NAMES.items()}
    module, _, tensor = key.rpartition(".")
    return f"{ours[module]}.{tensor}" if module in ours else f"backbone.{key}"
