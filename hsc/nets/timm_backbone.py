"""Networks of timm (PyTorch Image Models) as backbones, with their own normalisation.

timm is an optional dependency: `pip install .[photos]`.

Letters: N batch, H W pixels, h w map cells (H / stride, W / stride, rounded up), D channels.
"""

import importlib
from typing import Any

import torch
from torch import Tensor, nn

from hsc.base.errors import ExperimentError
from hsc.data.preprocessing import MEAN, STD
from hsc.nets.backbone import Backbone, Features

PREFIX = "timm/"
ANY_NAME = f"{PREFIX}NAME"
"""How pages and errors write the name of any of them."""
_NATURAL = 32
"""The output stride of a convolutional network without dilations."""


def is_timm(name: str) -> bool:
    """Whether a recipe's `backbone` names a network of timm."""
    return name.startswith(PREFIX)


def create(name: str, **options: Any) -> nn.Module:
    """timm's network of that name (with or without `timm/`), with fresh weights.

    Raises HscError without timm, and for a name that it does not have.
    """
    try:
        timm = importlib.import_module("timm")
    except ImportError:
        raise ExperimentError(
            f"backbone: {name} needs the package timm; pip install '.[photos]'"
        ) from None
    plain = name.removeprefix(PREFIX)
    if not timm.is_model(plain):
        close = timm.list_models(f"*{plain[:8]}*")[:5]
        near = f"; similar ones: {', '.join(close)}" if close else ""
        raise ExperimentError(f"backbone: timm has no network {plain!r}{near}")
    return timm.create_model(plain, pretrained=False, **options)


class TimmBackbone(Backbone):
    """A network of timm up to its last map, at a given output stride.

    Pictures come in normalised as ImageNet's (`hsc.data.preprocessing`) and are brought to the
    network's own normalisation here. `Features.low` and `mid` are the maps at the ends of the two
    stages before the last, which a network without dilations has at strides 8 and 16; of a vision
    transformer, whose blocks all have one size, those a third and two thirds of the way up.

    With `frozen_norm` the batch norms' scales and offsets do not train either.
    Raises HscError without timm, for a name that it does not have, and for an output stride or a
    kind of network that cannot be had.
    """

    def __init__(self, name: str, output_stride: int, frozen_norm: bool = False) -> None:
        super().__init__(frozen_norm)
        self.network, self._tokens = _build(name, output_stride)
        count = len(self.network.feature_info)
        taps = (count - 3, count - 2) if not self._tokens else (count // 3, 2 * count // 3)
        if count < 3:
            raise ExperimentError(f"backbone: {name} has {count} stages; three are needed")
        self._taps = [*taps, count - 1]
        widths = [self.network.feature_info[tap]["num_chs"] for tap in self._taps]
        self.low_channels, self.mid_channels, self.channels = widths
        if not self._tokens:
            self.channels = self.network.num_features
        own = self.network.pretrained_cfg
        mean, std = (torch.tensor(own[key]).view(3, 1, 1) for key in ("mean", "std"))
        scale, shift = torch.tensor(STD).view(3, 1, 1), torch.tensor(MEAN).view(3, 1, 1)
        self.register_buffer("_scale", scale / std, persistent=False)
        self.register_buffer("_shift", (shift - mean) / std, persistent=False)
        if frozen_norm:
            self._freeze_scales()

    def forward(self, image: Tensor) -> Features:
        shown = image * self._scale + self._shift
        last, maps = self.network.forward_intermediates(
            shown, indices=self._taps, norm=self._tokens, output_fmt="NCHW"
        )
        low, mid, deep = maps
        return Features(low, mid, deep if self._tokens else last)


def _build(name: str, output_stride: int) -> tuple[nn.Module, bool]:
    """The network, and whether it is a vision transformer. Raises HscError as the class."""
    if output_stride == _NATURAL:
        network = create(name, num_classes=0)
    else:
        network = _dilated(name, output_stride)
    if not hasattr(network, "forward_intermediates"):
        raise ExperimentError(f"backbone: {name} does not give its maps (forward_intermediates)")
    tokens = hasattr(network, "patch_embed") and hasattr(network, "blocks")
    stride = network.feature_info[-1]["reduction"]
    if stride != output_stride:
        raise ExperimentError(
            f"output_stride: {name} has {stride}, got {output_stride}; change it in the recipe"
        )
    return network, tokens


def _dilated(name: str, output_stride: int) -> nn.Module:
    try:
        return create(name, num_classes=0, output_stride=output_stride)
    except TypeError:  # a network that knows no such word: a transformer, or one without dilations
        pass
    except (NotImplementedError, AssertionError, ValueError):
        raise ExperimentError(
            f"output_stride: {name} cannot have {output_stride}; 16 or 32 may do"
        ) from None
    try:
        return create(name, num_classes=0, dynamic_img_size=True, dynamic_img_pad=True)
    except TypeError:
        return create(name, num_classes=0)
