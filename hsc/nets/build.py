"""Networks from plain specifications, which travel in the weights files.

A specification is a dictionary of plain values, so that a stage that reads weights builds the
network that was trained, whatever the parameters say now.
"""

from pathlib import Path
from typing import Any

from torch import nn

from hsc.errors import ExperimentError, WeightsError
from hsc.nets.backbones import Backbone, build_backbone
from hsc.nets.cam import CamNetwork, ContextProjector, Projector
from hsc.nets.deeplab import Aspp, DeepLab, LargeFov
from hsc.nets.pcm import PixelCorrelation
from hsc.nets.weights import load_state, load_weights

Spec = dict[str, Any]


def cam_network(spec: Spec) -> CamNetwork:
    """Build a CAM network.

    Keys: `backbone`, `widths` (None for a backbone with widths of its own), `output_stride`,
    `class_names` (foreground), `pcm` (low, mid, embedding channels) or None, `projectors` (class,
    pixel channels; None for one that is left out) or None. Optional: `projector`, `paper` or
    `published`; `head_dropout`, 0. Raises HscError for values that no network has.
    """
    backbone = _backbone(spec, frozen_norm=True)
    pcm = None
    if spec["pcm"] is not None:
        pcm = PixelCorrelation(backbone.low_channels, backbone.mid_channels, *spec["pcm"])
    wide, narrow = spec["projectors"] or (None, None)
    kind = spec.get("projector", "paper")
    return CamNetwork(
        backbone,
        len(spec["class_names"]),
        pcm,
        None if wide is None else _class_projector(kind, backbone.channels, wide),
        None if narrow is None else _pixel_projector(kind, backbone.channels, narrow),
        spec.get("head_dropout", 0.0),
    )


def deeplab_network(spec: Spec) -> DeepLab:
    """Build a DeepLab.

    Keys: as the backbone's, `class_names`, and `head` with `kind`, `channels`, `norm_momentum`,
    `dropout`, `dropout_of`; of an `aspp` besides `rates` and `pooled_norm`, of a `largefov`
    `dilation`. Raises HscError for values that no network has.
    """
    backbone = _backbone(spec, frozen_norm=False)
    how = spec["head"]
    return DeepLab(
        backbone,
        len(spec["class_names"]),
        _segmentation_head(backbone.channels, how),
        how["dropout"],
        how["dropout_of"],
    )


def load_cam_network(path: Path) -> tuple[CamNetwork, Spec]:
    """Read a trained CAM network in eval mode. Raises HscError as `load_weights`, `load_state`."""
    spec, state = load_weights(path, "cam")
    network = cam_network(spec)
    load_state(network, state, path)
    return network.eval(), spec


def load_deeplab(path: Path) -> tuple[DeepLab, Spec]:
    """Read a trained DeepLab in eval mode. Raises HscError as `load_weights`, `load_state`."""
    spec, state = load_weights(path, "deeplab")
    try:
        network = deeplab_network(spec)
    except KeyError as error:
        raise WeightsError(
            f"{path}: its specification has no {error}, as another version wrote it; run "
            "train_segmentation again"
        ) from None
    load_state(network, state, path)
    return network.eval(), spec


def load_backbone(backbone: Backbone, path: Path, spec: Spec) -> Spec:
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


def check_classes(path: Path, spec: Spec, class_names: tuple[str, ...]) -> None:
    """Raise HscError when weights were trained for other classes than the data set has."""
    if tuple(spec["class_names"]) != class_names:
        raise WeightsError(
            f"{path}: trained for the classes {', '.join(spec['class_names'])}, the data set has "
            f"{', '.join(class_names)}; train again on this data set"
        )


def _backbone(spec: Spec, frozen_norm: bool) -> Backbone:
    return build_backbone(
        spec["backbone"], spec["widths"], spec["output_stride"], frozen_norm=frozen_norm
    )


def _segmentation_head(in_channels: int, how: Spec) -> Aspp | LargeFov:
    if how["kind"] == "aspp":
        return Aspp(
            in_channels, how["channels"], how["rates"], how["pooled_norm"], how["norm_momentum"]
        )
    if how["kind"] == "largefov":
        return LargeFov(in_channels, how["channels"], how["dilation"], how["norm_momentum"])
    raise ExperimentError(f"head.kind: {how['kind']!r} is unknown; there are: aspp, largefov")


def _class_projector(kind: str, in_channels: int, channels: int) -> nn.Module:
    """F_proj1, for the ROI and the class level."""
    _check_projector(kind)
    if kind == "published":
        return ContextProjector(in_channels, channels)
    return Projector(in_channels, channels, blocks=2)


def _pixel_projector(kind: str, in_channels: int, channels: int) -> nn.Module:
    """F_proj2, for the pixel level."""
    _check_projector(kind)
    return Projector(in_channels, channels, blocks=1, bias=kind == "paper")


def _check_projector(kind: str) -> None:
    if kind not in ("paper", "published"):
        raise ExperimentError(f"projector: {kind!r} is unknown; there are: paper, published")
