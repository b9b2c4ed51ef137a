"""Weights files: written whole, read without unpickling objects.

A weights file is `{"format", "kind", "spec", "state"}`: what kind of network it holds, the plain
values needed to build that network again, and its state_dict.
"""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from hsc.errors import HscError
from hsc.files import atomic_file

_FORMAT = 1

# What torch raises for files that are cut off, changed or something else altogether.
_DAMAGE = (
    RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError,
    pickle.UnpicklingError, zipfile.BadZipFile,
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
        with zipfile.ZipFile(path) as archive:  # torch does not compare the checksums
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(f"damaged: {damaged}")
        value = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise HscError(f"{path}: no such file; run the stage that writes it") from None
    except _DAMAGE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise HscError(f"{path}: no readable weights file ({reason}); write it again") from None
    if not isinstance(value, dict):
        raise HscError(f"{path}: holds a {type(value).__name__}, not a weights file")
    return value


def save_weights(path: Path, kind: str, spec: dict[str, Any], state: dict[str, Any]) -> None:
    """Write a weights file (module docstring)."""
    cpu = {key: tensor.detach().cpu().contiguous() for key, tensor in state.items()}
    save_whole(path, {"format": _FORMAT, "kind": kind, "spec": spec, "state": cpu})


def load_weights(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return `(spec, state)` of a weights file of this kind.

    Raises HscError for a file of another kind or format.
    """
    value = load_whole(path)
    if value.get("format") != _FORMAT or value.get("kind") != kind:
        raise HscError(
            f"{path}: expected {kind} weights in format {_FORMAT}, found "
            f"{value.get('kind')!r} in format {value.get('format')!r}; run the stage that writes it"
        )
    return value["spec"], value["state"]


def load_state(module: torch.nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """Load a state_dict into a module; every missing, unexpected or misshapen key is named.

    Raises HscError: weights of another network are never loaded in part.
    """
    own = module.state_dict()
    problems = [f"missing {key}" for key in sorted(own.keys() - state.keys())]
    problems += [f"unexpected {key}" for key in sorted(state.keys() - own.keys())]
    problems += [
        f"{key} is {tuple(state[key].shape)}, not {tuple(own[key].shape)}"
        for key in sorted(own.keys() & state.keys())
        if own[key].shape != state[key].shape
    ]
    if problems:
        raise HscError(f"{path}: weights of another network: " + "; ".join(problems))
    module.load_state_dict(state)
