"""The layouts of published CAM checkpoints, and how they translate to this package's keys and back.

All of them stand on ResNet-38, whose part names are kept (the DeepLab is in `published_deeplab`).
EPS and HSC have the background in the last output channel, this package in the first: the rows of
the head are moved here and nowhere else. The PCM's weights do not depend on the order of the
classes (its inputs are the image and features), so they stay as they are.

Letters: C foreground classes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from hsc.base.errors import WeightsError
from hsc.nets.resnet38 import ResNet38

_HEAD = "head.weight"

# The parts outside the backbone: published name, our name, shapes of the tensors.
_Parts = dict[str, tuple[str, dict[str, tuple[int, ...]]]]
_PCM: _Parts = {
    "f8_3": ("pcm.reduce_low", {"weight": (64, 512, 1, 1)}),
    "f8_4": ("pcm.reduce_mid", {"weight": (128, 1024, 1, 1)}),
    # the inputs are the image, f8_3 and f8_4, in the PCM's own order
    "f9": ("pcm.embed", {"weight": (192, 3 + 64 + 128, 1, 1)}),
}
_PPC_PROJECTOR: _Parts = {
    "fc_proj": ("projector_pixel.layers.0", {"weight": (128, 4096, 1, 1)}),
}
_HSC_PROJECTORS: _Parts = {
    "proj_fc": ("projector_pixel.layers.0", {"weight": (128, 4096, 1, 1)}),
    "extra_F.0": ("projector_class.layers.0", {"weight": (256, 4096, 3, 3), "bias": (256,)}),
    "extra_F.1": (
        "projector_class.layers.1",
        {
            "weight": (256,),
            "bias": (256,),
            "running_mean": (256,),
            "running_var": (256,),
            "num_batches_tracked": (),
        },
    ),
    "extra_F.3": ("projector_class.layers.3", {"weight": (256, 256, 1, 1), "bias": (256,)}),
}
_AFFINITY: _Parts = {
    "f8_3": ("affinity.reduce_low", {"weight": (64, 512, 1, 1)}),
    "f8_4": ("affinity.reduce_mid", {"weight": (128, 1024, 1, 1)}),
    "f8_5": ("affinity.reduce_final", {"weight": (256, 4096, 1, 1)}),
    "f9": ("affinity.embed", {"weight": (448, 64 + 128 + 256, 1, 1)}),
}

# Counts of steps, which older versions of PyTorch did not save. Nothing is computed from them
# here, so they may be missing and are then 0.
_MAY_BE_MISSING = ".num_batches_tracked"


@dataclass(frozen=True)
class Layout:
    """One kind of published checkpoint.

    background: where the head `fc8` has it; `none` for a head of foreground classes only, which
    gets a row of zeros (a background logit of 0); None without a head.
    parts: the other parts outside the backbone. prefix: what stands before the backbone's names on
    our side. pcm, projectors, head_dropout: as in the specification of a CAM network
    (`hsc.cam.network`).
    """

    background: Literal["first", "last", "none"] | None
    parts: _Parts
    prefix: str = "backbone."
    pcm: tuple[int, int, int] | None = None
    projectors: tuple[int | None, int] | None = None
    head_dropout: float = 0.0


_SEAM_WIDTHS = (64, 128, 192)

LAYOUTS: dict[str, Layout] = {
    # The backbone alone: ImageNet weights.
    "resnet38d": Layout(None, {}, prefix=""),
    "seam": Layout("first", _PCM, pcm=_SEAM_WIDTHS, head_dropout=0.5),
    "eps": Layout("last", {}),
    # The classifier of PSA and of EPS's code.
    "eps_cls": Layout("none", {}),
    # PPC on SEAM: a projector of the pixel level only.
    "ppc": Layout(
        "first",
        _PCM | _PPC_PROJECTOR,
        pcm=_SEAM_WIDTHS,
        projectors=(None, 128),
        head_dropout=0.5,
    ),
    "hsc": Layout("last", _PCM | _HSC_PROJECTORS, pcm=_SEAM_WIDTHS, projectors=(256, 128)),
    # PSA's AffinityNet, as in SEAM's copy too; not a CAM network.
    "psa": Layout(None, _AFFINITY),
}


def cam_spec(layout: str, class_names: tuple[str, ...]) -> dict[str, Any]:
    """The specification of the CAM network that a layout's weights fit (`hsc.cam.network`).

    Raises HscError for an unknown layout and for one that is no CAM network.
    """
    found = _layout(layout)
    if found.background is None:
        raise WeightsError(f"layout: {layout} is no CAM network; import it as what it is")
    return {
        "backbone": "resnet38",
        "widths": None,
        "output_stride": 8,
        "class_names": list(class_names),
        "pcm": None if found.pcm is None else list(found.pcm),
        "projectors": None if found.projectors is None else list(found.projectors),
        "projector": "published",
        "head_dropout": found.head_dropout,
    }


def affinity_spec() -> dict[str, Any]:
    """The specification of PSA's affinity network (`hsc.psa.network`)."""
    return {
        "backbone": "resnet38",
        "widths": None,
        "output_stride": 8,
        "affinity_widths": [64, 128, 256],
        "radius": 5,
    }


def expected_shapes(layout: str, num_classes: int = 20) -> dict[str, tuple[int, ...]]:
    """Every key of a published checkpoint with its shape. Raises HscError for an unknown layout."""
    found = _layout(layout)
    with torch.device("meta"):  # shapes only: no memory, no random numbers
        backbone = ResNet38()
    shapes = {key: tuple(tensor.shape) for key, tensor in backbone.state_dict().items()}
    if found.background is not None:
        outputs = num_classes + (found.background != "none")
        shapes["fc8.weight"] = (outputs, ResNet38.channels, 1, 1)
    for module, (_, tensors) in found.parts.items():
        shapes |= {f"{module}.{tensor}": shape for tensor, shape in tensors.items()}
    return shapes


def convert(
    layout: str, state: dict[str, Tensor], path: Path, num_classes: int = 20
) -> dict[str, Tensor]:
    """A published state_dict under this package's keys.

    layout: a name in `LAYOUTS`. path: the file that `state` is from, for errors. num_classes: C,
    20 for VOC. Returns `backbone.*`, `head.weight` (C+1, 4096, 1, 1) with the background first,
    `pcm.*`, `projector_class.*`, `projector_pixel.*`; for `resnet38d` the backbone's own keys; for
    `psa` `backbone.*` and `affinity.*`. The tensors are those of `state` except for the head.
    Raises HscError for an unknown layout, and for keys that are missing, not in the layout or of
    another shape: all of them are listed.
    """
    found = _layout(layout)
    shapes = expected_shapes(layout, num_classes)
    if problems := differences(state, shapes):
        raise WeightsError(f"{path}: not in the layout {layout}: " + "; ".join(problems))
    converted = {
        _our_key(found, key): state.get(key, torch.tensor(0))  # see _MAY_BE_MISSING
        for key in shapes
    }
    if found.background == "last":
        converted[_HEAD] = converted[_HEAD].roll(1, dims=0)
    elif found.background == "none":
        head = converted[_HEAD]
        converted[_HEAD] = torch.cat([torch.zeros_like(head[:1]), head])
    return converted


def to_published(layout: str, state: dict[str, Tensor], num_classes: int = 20) -> dict[str, Tensor]:
    """The exact inverse of `convert`: our keys to a published state_dict.

    Raises HscError for an unknown layout; ValueError for keys or shapes that are not the layout's,
    and for a background that the layout `eps_cls` cannot hold (a row that is not 0).
    """
    found = _layout(layout)
    shapes = expected_shapes(layout, num_classes)
    ours = {_our_key(found, key): shape for key, shape in shapes.items()}
    if found.background is not None:
        ours[_HEAD] = (num_classes + 1, *ours[_HEAD][1:])
    if problems := differences(state, ours):
        raise ValueError(f"state does not fit the layout {layout}: " + "; ".join(problems))
    state = dict(state)
    if found.background == "last":
        state[_HEAD] = state[_HEAD].roll(-1, dims=0)
    elif found.background == "none":
        if state[_HEAD][0].any():
            raise ValueError(f"the layout {layout} has no background, but head.weight[0] is not 0")
        state[_HEAD] = state[_HEAD][1:]
    return {key: state.get(_our_key(found, key), torch.tensor(0)) for key in shapes}


def _layout(name: str) -> Layout:
    if name not in LAYOUTS:
        raise WeightsError(f"layout: {name!r} is unknown; there are: {', '.join(sorted(LAYOUTS))}")
    return LAYOUTS[name]


def _our_key(layout: Layout, key: str) -> str:
    module, _, tensor = key.rpartition(".")
    if module == "fc8":
        return _HEAD
    if module in layout.parts:
        return f"{layout.parts[module][0]}.{tensor}"
    return layout.prefix + key


def differences(state: dict[str, Tensor], shapes: dict[str, tuple[int, ...]]) -> list[str]:
    """In words: what is missing, what is too much, what has another shape.

    Counts of steps may be missing: nothing is computed from them here.
    """
    missing = sorted(shapes.keys() - state.keys())
    problems = [f"missing {key}" for key in missing if not key.endswith(_MAY_BE_MISSING)]
    problems += [f"unexpected {key}" for key in sorted(state.keys() - shapes.keys())]
    for key in sorted(shapes.keys() & state.keys()):
        value = state[key]
        if not isinstance(value, Tensor):
            problems.append(f"{key} is a {type(value).__name__}, not a tensor")
        elif tuple(value.shape) != shapes[key]:
            problems.append(f"{key} is {tuple(value.shape)}, not {shapes[key]}")
    return problems
