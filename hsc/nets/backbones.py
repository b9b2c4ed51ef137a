"""The table of backbones: their names, and what each can be asked for.

A specification is a dictionary of plain values that travels in the weights files, so that a stage
that reads weights builds the network that was trained, whatever the parameters say now.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hsc.base.errors import ExperimentError, WeightsError
from hsc.nets.backbone import Backbone
from hsc.nets.deep_stem_resnet import DeepStemResNet
from hsc.nets.resnet38 import ResNet38
from hsc.nets.small_resnet import SmallResNet
from hsc.nets.timm_backbone import ANY_NAME, TimmBackbone, is_timm
from hsc.nets.torchvision_resnet import TorchvisionResNet
from hsc.nets.weights import load_state, load_weights


class _Entry(NamedTuple):
    """What a recipe may ask of a backbone."""

    build: Callable[[Sequence[int] | None, int, bool], Backbone]  # widths, stride, frozen norm
    strides: tuple[int, ...]
    takes_widths: bool = False


def _small(widths: Sequence[int] | None, output_stride: int, frozen_norm: bool) -> Backbone:
    assert widths is not None  # the table says that it takes widths
    return SmallResNet(widths, output_stride, frozen_norm)


_BACKBONES = {
    "small": _Entry(_small, (4, 8), takes_widths=True),
    "resnet38": _Entry(lambda _, stride, frozen: ResNet38(frozen), (8,)),
    "resnet50": _Entry(lambda _, stride, frozen: TorchvisionResNet(50, stride, frozen), (8, 16)),
    "resnet101": _Entry(lambda _, stride, frozen: TorchvisionResNet(101, stride, frozen), (8, 16)),
    "resnet101s": _Entry(lambda _, stride, frozen: DeepStemResNet(stride, frozen), (8, 16)),
}


def backbone_names() -> tuple[str, ...]:
    """The names that a recipe may give as `backbone`."""
    return tuple(sorted(_BACKBONES))


def build_backbone(
    name: str, widths: Sequence[int] | None, output_stride: int, frozen_norm: bool
) -> Backbone:
    """Build a backbone by its recipe name, with fresh weights.

    widths: of `small` only, None for the others. Raises HscError for an unknown name, an output
    stride that the backbone does not have, widths that are missing or out of place.
    """
    if is_timm(name):
        _refuse_widths(name, widths)
        return TimmBackbone(name, output_stride, frozen_norm)
    if name not in _BACKBONES:
        known = ", ".join(backbone_names())
        raise ExperimentError(f"backbone: {name!r} is unknown; there are: {known}, and {ANY_NAME}")
    entry = _BACKBONES[name]
    if output_stride not in entry.strides:
        strides = " or ".join(str(stride) for stride in entry.strides)
        raise ExperimentError(
            f"output_stride: the backbone {name} has {strides}, got {output_stride}; "
            "change it in the recipe"
        )
    if entry.takes_widths and widths is None:
        raise ExperimentError(f"widths: the backbone {name} needs them; give them in the recipe")
    if not entry.takes_widths:
        _refuse_widths(name, widths)
    return entry.build(widths, output_stride, frozen_norm)


def _refuse_widths(name: str, widths: Sequence[int] | None) -> None:
    if widths is not None:
        raise ExperimentError(
            f"widths: the backbone {name} has widths of its own, got {list(widths)}; "
            "remove the key from the recipe or set it to null"
        )


def backbone_from_spec(spec: dict[str, Any], frozen_norm: bool) -> Backbone:
    """`build_backbone` with the keys `backbone`, `widths` and `output_stride` of `spec`."""
    return build_backbone(
        spec["backbone"], spec["widths"], spec["output_stride"], frozen_norm=frozen_norm
    )


def load_backbone(backbone: Backbone, path: Path, spec: dict[str, Any]) -> dict[str, Any]:
    """Give a backbone the weights that `prepare_backbone` wrote; return where these came from.

    That is what the file says under `origin`: `kind` (`warm-up` or `import`), `supervision`, and of
    an import `layout`, `source` and `sha256`. Raises HscError when the file holds another backbone
    than `spec` describes.
    """
    found, state = load_weights(path, "backbone")
    for key in ("backbone", "widths"):
        if found[key] != spec[key]:
            raise WeightsError(
                f"{path}: its {key} is {found[key]}, the recipe's is {spec[key]}; "
                "run prepare_backbone again"
            )
    load_state(backbone, state, path)
    return found.get("origin", {"kind": "not recorded", "supervision": "not recorded"})
