"""Published weights, translated into weights files of this package.

| layout | file | becomes |
| --- | --- | --- |
| `mxnet` | ResNet-38's ImageNet weights as MXNet wrote them | backbone |
| `resnet38d` | the same as a state_dict | backbone |
| `torchvision` | ImageNet weights of ResNet-50 or ResNet-101, a file or a name | backbone |
| `resnet101s` | ImageNet weights of ResNet-101 with a deep stem | backbone |
| `deeplabv2` | the DeepLab published with HSC, on that | deeplab |
| `auxsegnet` | AuxSegNet | auxsegnet |
| `timm` | weights of a network of timm: a file, `package:NAME`, or `hub` | backbone |
| `own` | a weights file of this package | what it is |
| `psa` | PSA's AffinityNet | affinity |
| the other names in `hsc.weights.published` | a whole CAM network | cam |

Only these keys are left out, and no others: ImageNet's classifiers, `linear1000_weight` and
`linear1000_bias` (MXNet), `fc.weight` and `fc.bias` (torchvision), and the head of a segmentation
network whose backbone is wanted all the same (`hsc.weights.supervision`). Only
`num_batches_tracked` may be missing, which older programs did not save and nothing here computes
with; it becomes 0. Any other key that is missing, unexpected or of another shape is an error, which
lists them all.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlparse

import torch
from torch import Tensor

from hsc.base.download import Archive, fetch
from hsc.base.errors import DataError, WeightsError
from hsc.base.files import hash_file
from hsc.base.progress import Bars, silent
from hsc.data.classes import VOC_CLASSES
from hsc.nets.backbones import backbone_names, build_backbone
from hsc.nets.timm_backbone import ANY_NAME, is_timm
from hsc.nets.weights import check_state, load_any, load_foreign, save_weights
from hsc.weights import (
    mxnet,
    published,
    published_auxsegnet,
    published_deeplab,
    timm_weights,
)
from hsc.weights.supervision import (
    MASKS,
    OF_KIND,
    OF_LAYOUT,
    refuse_masks,
    segmentation_parts,
    without_head,
)

LAYOUTS = (
    "mxnet",
    "torchvision",
    "resnet101s",
    "deeplabv2",
    "auxsegnet",
    "timm",
    "own",
    *published.LAYOUTS,
)
"""The names that a recipe or the command line may give."""

TORCHVISION = ("resnet50", "resnet101")
"""The backbones of the layout `torchvision`."""

_HELD = {
    "torchvision": TORCHVISION,
    "resnet101s": ("resnet101s",),
    "deeplabv2": ("resnet101s",),
    "timm": (ANY_NAME,),
    "own": (*backbone_names(), ANY_NAME),
}
"""The backbones of each layout; of all others `resnet38`."""

_COUNTER = ".num_batches_tracked"
_WRAPPERS = ("state_dict", "model")


class Source(NamedTuple):
    """Where weights come from: the file, and what to call it in the metrics."""

    path: Path
    title: str


class Imported(NamedTuple):
    """What a weights file is made of (`hsc.nets.weights`), and what it was trained on."""

    kind: str
    spec: dict[str, Any]
    state: dict[str, Tensor]
    supervision: str


def import_weights(
    source: str,
    layout: str,
    output: Path,
    backbone: str = "resnet38",
    *,
    backbone_only: bool = False,
    class_names: tuple[str, ...] = VOC_CLASSES,
    sha256: str | None = None,
    supervision: str | None = None,
    bars: Bars = silent,
) -> dict[str, Any]:
    """Translate `source` into the weights file `output`; return what the metrics say about it.

    backbone_only: keep only the backbone of a whole network. class_names: the foreground classes
    of a CAM network or a DeepLab, in the order of its outputs. The others as of `read_weights`,
    and so are the errors.

    Returns the origin (`read_weights`) without its kind, and `tensors`, the number written.
    """
    imported, origin = read_weights(
        source, layout, backbone, sha256, supervision, backbone_only, class_names, bars
    )
    spec = imported.spec
    if imported.kind == "backbone":
        spec = spec | {"origin": origin}
    save_weights(output, imported.kind, spec, imported.state)
    said = {key: value for key, value in origin.items() if key != "kind"}
    return said | {"tensors": len(imported.state)}


def read_weights(
    source: str,
    layout: str,
    backbone: str,
    sha256: str | None = None,
    supervision: str | None = None,
    backbone_only: bool = True,
    class_names: tuple[str, ...] = VOC_CLASSES,
    bars: Bars = silent,
) -> tuple[Imported, dict[str, Any]]:
    """Translate `source`; return the weights and their origin.

    source: a path, or for the layout `torchvision` the name of its weights (`IMAGENET1K_V2`),
    which are downloaded once into torch's own cache. backbone: the name that the recipe gives it.
    sha256: what the file must have, unless None. supervision: "masks" admits a backbone that was
    trained on segmentation masks. bars: shows the download.

    The origin has `kind` ("import"), `layout`, `source` (the file's or the weights' name), `sha256`
    (hex, of the file) and `supervision`. Raises HscError for a file that is missing, damaged,
    changed or of another layout, an unknown layout, a backbone that the layout does not hold or
    that was trained on masks, values that are not finite, and a download that fails.
    """
    found = locate(source, layout, backbone, supervision, bars)
    digest = check_digest(found.path, sha256)
    imported = translate(found.path, layout, backbone, class_names, supervision)
    if backbone_only or imported.kind == "backbone":
        imported = backbone_of(imported, found.path, supervision)
    return imported, {
        "kind": "import",
        "layout": layout,
        "source": found.title,
        "sha256": digest,
        "supervision": supervision or imported.supervision,
    }


def locate(
    source: str,
    layout: str,
    backbone: str,
    supervision: str | None = None,
    bars: Bars = silent,
) -> Source:
    """Find the file; download named weights of torchvision. Raises HscError as `read_weights`."""
    if layout not in LAYOUTS:
        raise WeightsError(f"layout: {layout!r} is unknown; there are: {', '.join(LAYOUTS)}")
    held = _HELD.get(layout, ("resnet38",))
    if (ANY_NAME if is_timm(backbone) else backbone) not in held:
        raise WeightsError(
            f"layout: {layout} holds {' or '.join(held)}, but the backbone is {backbone}; "
            "change one of them"
        )
    if layout == "timm":
        if source.startswith(timm_weights.PACKAGE):
            return Source(timm_weights.package_file(source), source)
        if source == timm_weights.HUB:
            return Source(timm_weights.hub_file(backbone), f"timm's hub: {backbone}")
    if layout == "torchvision":
        urls = named_weights(backbone)
        if source in urls:
            return _downloaded(backbone, urls[source], bars)
        if not Path(source).exists():
            network = f"deeplabv3_{backbone}"
            segmentation = named_weights(network)
            if source in segmentation:
                refuse_masks(source, f"it names weights of torchvision's {network}", supervision)
                return _downloaded(network, segmentation[source], bars)
            raise WeightsError(
                f"{source}: no such file, and torchvision has no such weights of {backbone}; "
                f"there are: {', '.join(urls)}"
            )
    return Source(Path(source), Path(source).name)


def _downloaded(network: str, weights: tuple[str, str], bars: Bars) -> Source:
    return Source(_download(*weights, bars), f"torchvision {network} {weights[0]}")


def named_weights(network: str) -> dict[str, tuple[str, str]]:
    """Name: proper name and URL of torchvision's weights of a network of its.

    `DEFAULT` stands for one of the others.

    torchvision is asked here and not at the top, because it takes a second to load.
    """
    from torchvision.models import get_model_weights

    members = get_model_weights(network).__members__
    return {name: (member.name, member.url) for name, member in members.items()}


def check_digest(path: Path, expected: str | None) -> str:
    """The file's SHA-256 in hex. Raises HscError when it is not the one that is expected."""
    try:
        digest = hash_file(path)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file; give the path of the weights") from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from None
    if expected is not None and digest != expected.lower():
        raise WeightsError(
            f"{path}: its SHA-256 is {digest}, not {expected.lower()}; get the file that was meant "
            "or, if the new one is right, change sha256"
        )
    return digest


def translate(
    path: Path,
    layout: str,
    backbone: str,
    class_names: tuple[str, ...] = VOC_CLASSES,
    supervision: str | None = None,
) -> Imported:
    """Read a file and translate its keys (module docstring). Raises HscError."""
    if layout == "own":
        return _own(path, backbone)
    spec: dict[str, Any] = {"backbone": backbone, "widths": None}
    trained_on = OF_LAYOUT[layout]
    if layout == "mxnet":
        state = mxnet_state(path)
        return Imported("backbone", spec, published.convert("resnet38d", state, path), trained_on)
    state = read_state(path)
    if layout == "deeplabv2":
        converted = published_deeplab.convert(state, path, len(class_names))
        return Imported(
            "deeplab", published_deeplab.deeplab_spec(class_names), converted, trained_on
        )
    if layout == "auxsegnet":
        converted = published_auxsegnet.convert(state, path, len(class_names))
        return Imported(
            "auxsegnet", published_auxsegnet.auxsegnet_spec(class_names), converted, trained_on
        )
    if parts := segmentation_parts(state):
        refuse_masks(path, f"it has a segmentation head ({', '.join(parts)})", supervision)
        state, trained_on = without_head(state), MASKS
    if layout == "timm":
        state = timm_weights.timm_state(state, backbone, path)
        return Imported("backbone", spec, state, trained_on)
    if layout in ("torchvision", "resnet101s"):
        return Imported("backbone", spec, torchvision_state(state, backbone, path), trained_on)
    state = published.convert(layout, state, path, len(class_names))
    if layout == "resnet38d":
        return Imported("backbone", spec, state, trained_on)
    if layout == "psa":
        return Imported("affinity", published.affinity_spec(), state, trained_on)
    return Imported("cam", published.cam_spec(layout, class_names), state, trained_on)


def _own(path: Path, backbone: str) -> Imported:
    """A weights file of this package, on the backbone that is asked for."""
    kind, spec, state = load_any(path, ("backbone", *OF_KIND))
    if spec["backbone"] != backbone:
        raise WeightsError(
            f"{path}: its backbone is {spec['backbone']}, not {backbone}; change one of them"
        )
    trained_on = spec.get("origin", {}).get("supervision", "not recorded")
    return Imported(kind, spec, state, OF_KIND.get(kind, trained_on))


def backbone_of(imported: Imported, path: Path, supervision: str | None = None) -> Imported:
    """The backbone alone; a backbone comes back as it is.

    path: the file, for errors. Raises HscError for one that was trained on segmentation masks,
    unless `supervision` is "masks".
    """
    if imported.supervision == MASKS:
        whole = "the backbone of a segmentation network"
        holds = whole if imported.kind == "backbone" else f"{imported.kind} weights"
        refuse_masks(path, f"it holds {holds}", supervision)
    if imported.kind == "backbone":
        return imported
    prefix = "backbone."
    state = {
        key.removeprefix(prefix): tensor
        for key, tensor in imported.state.items()
        if key.startswith(prefix)
    }
    spec = {key: imported.spec[key] for key in ("backbone", "widths")}
    return Imported("backbone", spec, state, imported.supervision)


def mxnet_state(path: Path) -> dict[str, Tensor]:
    """ResNet-38's arrays under its published keys, without the classifier.

    Names that are not ResNet-38's stay as they are, for the check of the layout to list.
    """
    return checked(
        {
            mxnet.resnet38_key(name): torch.from_numpy(array)
            for name, array in mxnet.read(path).items()
            if name not in mxnet.DROPPED
        },
        path,
    )


def torchvision_state(state: Mapping[str, Tensor], backbone: str, path: Path) -> dict[str, Tensor]:
    """torchvision's state_dict without `fc`, its keys and shapes checked."""
    with torch.device("meta"):  # shapes only: no memory, no random numbers
        expected = build_backbone(backbone, None, 16, frozen_norm=False).state_dict()
    missing = {key for key in expected.keys() - state.keys() if key.endswith(_COUNTER)}
    found = {key: tensor for key, tensor in state.items() if key not in ("fc.weight", "fc.bias")}
    found |= {key: torch.tensor(0) for key in missing}
    check_state(expected, found, path)
    return {key: found[key] for key in expected}


def read_state(path: Path) -> dict[str, Tensor]:
    """The state_dict in a `.pth` file, bare or under `state_dict` or `model`.

    A `module.` before every key (DataParallel) is taken off. Raises HscError as `load_foreign` and
    `checked`.
    """
    value = load_foreign(path)
    for wrapper in _WRAPPERS:
        if isinstance(value.get(wrapper), dict):
            value = value[wrapper]
    if not value:
        raise WeightsError(f"{path}: an empty state_dict; give the file with the weights")
    strange = [repr(key) for key, entry in value.items() if not _is_entry(key, entry)]
    if strange:
        raise WeightsError(
            f"{path}: no state_dict, these are no tensors with names: {', '.join(strange)}; "
            f"give a state_dict, bare or under {' or '.join(_WRAPPERS)}"
        )
    if all(key.startswith("module.") for key in value):
        value = {key.removeprefix("module."): tensor for key, tensor in value.items()}
    return checked(value, path)


def checked(state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The tensors as float32, counters of steps as int64.

    Raises HscError, listing them, for tensors that are sparse or without values, not of a
    floating-point type or not finite.
    """
    found, problems = {}, []
    for key, tensor in state.items():
        if tensor.layout != torch.strided or tensor.is_meta:
            problems.append(f"{key} is sparse or has no values")
        elif key.endswith(_COUNTER):
            found[key] = tensor.long()
        elif not tensor.is_floating_point():
            problems.append(f"{key} is of type {tensor.dtype}, not floating point")
        elif not bool(torch.isfinite(tensor).all()):
            problems.append(f"{key} has values that are not finite")
        else:
            found[key] = tensor.float()
    if problems:
        raise WeightsError(
            f"{path}: unusable weights: {'; '.join(problems)}; download the file again"
        )
    return found


def _is_entry(key: Any, entry: Any) -> bool:
    return isinstance(key, str) and isinstance(entry, Tensor)


def _download(name: str, url: str, bars: Bars) -> Path:
    """The file in torch's cache (`TORCH_HOME`), downloaded if it is not there.

    The file's name has the beginning of its SHA-256, which is checked, also when it was there.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    archive = Archive(path.name, (url,), f"sha256:{path.stem.rpartition('-')[2]}")
    try:
        return fetch(archive, path.parent, bars)
    except DataError as error:
        raise WeightsError(f"{name}: {error}") from None
