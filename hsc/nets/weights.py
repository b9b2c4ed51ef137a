"""Weights files: written whole, read without unpickling objects.

A weights file is `{"format", "kind", "spec", "state"}`: what kind of network it holds, the plain
values needed to build that network again, and its state_dict. Checkpoints of other programs are
read by `load_foreign`, with the same care.
"""

import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from hsc.base.errors import WeightsError
from hsc.base.files import atomic_file

_FORMAT = 1

# What torch raises for files that are cut off, changed or something else altogether.
_DAMAGE = (
    RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError,
    ArithmeticError, AssertionError, MemoryError,
    pickle.UnpicklingError, struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def save_whole(path: Path, value: dict[str, Any]) -> None:
    """Write tensors and plain values; the same value gives the same bytes, whatever the path."""
    buffer = io.BytesIO()  # torch.save puts a file's own name into the archive
    torch.save(value, buffer)
    with atomic_file(path) as partial:
        partial.write_bytes(buffer.getbuffer())


def load_whole(path: Path) -> dict[str, Any]:
    """Read what `save_whole` wrote, on the CPU, `weights_only`.

    Raises HscError when the file is missing, truncated or holds anything but tensors and plain
    values.
    """
    try:
        value = _load(path, any_version=False)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file; run the stage that writes it") from None
    except _DAMAGE as error:
        raise WeightsError(
            f"{path}: no readable weights file ({_reason(error)}); write it again"
        ) from None
    if not isinstance(value, dict):
        raise WeightsError(f"{path}: holds a {type(value).__name__}, not a weights file")
    return value


def load_foreign(path: Path) -> dict[str, Any]:
    """Read a checkpoint that another program wrote: `.safetensors`, or `torch.save` of any PyTorch.

    On the CPU, `weights_only`: nothing but tensors and plain values is ever unpickled. Raises
    HscError when the file is missing, damaged or holds anything else.
    """
    try:
        value = _safe(path) if path.suffix == ".safetensors" else _load(path, any_version=True)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file; give the path of the weights") from None
    except _DAMAGE as error:
        raise WeightsError(
            f"{path}: no readable checkpoint ({_reason(error)}); download it again, or save its "
            "state_dict alone with the program that wrote it"
        ) from None
    if not isinstance(value, dict):
        raise WeightsError(f"{path}: holds a {type(value).__name__}, not a state_dict; save that")
    return value


def _safe(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError  # comes with timm
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from None


def _load(path: Path, any_version: bool) -> Any:
    """Before version 1.6 torch did not write archives; those files have no checksums."""
    if not any_version or zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:  # torch does not compare the checksums
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(f"damaged: {damaged}")
    return torch.load(path, map_location="cpu", weights_only=True)


def _reason(error: Exception) -> str:
    """One line; torch's own tells how to load a file that holds code, which is no advice here."""
    text = str(error) or type(error).__name__
    if text.startswith("Weights only load failed"):
        return "damaged, or with more than tensors and plain values in it, which is not loaded"
    return text.splitlines()[0]


def save_weights(path: Path, kind: str, spec: dict[str, Any], state: dict[str, Any]) -> None:
    """Write a weights file (module docstring)."""
    cpu = {key: tensor.detach().cpu().contiguous() for key, tensor in state.items()}
    save_whole(path, {"format": _FORMAT, "kind": kind, "spec": spec, "state": cpu})


def load_weights(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return `(spec, state)` of a weights file of this kind.

    Raises HscError for a file of another kind or format.
    """
    _, spec, state = load_any(path, (kind,))
    return spec, state


def load_any(
    path: Path, kinds: Sequence[str]
) -> tuple[str, dict[str, Any], dict[str, torch.Tensor]]:
    """Return `(kind, spec, state)` of a weights file of one of these kinds.

    Raises HscError for a file of another kind or format.
    """
    value = load_whole(path)
    if value.get("format") != _FORMAT or value.get("kind") not in kinds:
        raise WeightsError(
            f"{path}: expected {' or '.join(kinds)} weights in format {_FORMAT}, found "
            f"{value.get('kind')!r} in format {value.get('format')!r}; run the stage that writes it"
        )
    return value["kind"], value["spec"], value["state"]


def check_state(
    expected: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor], path: Path
) -> None:
    """Raise HscError unless both have the same keys and shapes; every difference is named."""
    problems = [f"missing {key}" for key in sorted(expected.keys() - state.keys())]
    problems += [f"unexpected {key}" for key in sorted(state.keys() - expected.keys())]
    problems += [
        f"{key} is {tuple(state[key].shape)}, not {tuple(expected[key].shape)}"
        for key in sorted(expected.keys() & state.keys())
        if expected[key].shape != state[key].shape
    ]
    if problems:
        raise WeightsError(f"{path}: weights of another network: " + "; ".join(problems))


def load_state(module: torch.nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """Load a state_dict into a module; every missing, unexpected or misshapen key is named.

    Raises HscError: weights of another network are never loaded in part.
    """
    check_state(module.state_dict(), state, path)
    module.load_state_dict(state)


def check_classes(path: Path, spec: dict[str, Any], class_names: tuple[str, ...]) -> None:
    """Raise HscError when weights were trained for other classes than the data set has."""
    if tuple(spec["class_names"]) != class_names:
        raise WeightsError(
            f"{path}: trained for the classes {', '.join(spec['class_names'])}, the data set has "
            f"{', '.join(class_names)}; train again on this data set"
        )
