"""MXNet parameter files (`*.params`) without MXNet, and what ResNet-38's arrays are called there.

The format is MXNet's NDArray list, little-endian throughout:

    u64 0x112, u64 reserved, u64 count, the arrays, u64 count of names, each u64 length and bytes

An array, by the first u32:

    0xF993FAC8 (V1)  u32 ndim, i64 dimensions
    0xF993FAC9 (V2)  i32 storage type, u32 ndim, i64 dimensions
    0xF993FACA (V3)  as V2; ndim 0 is a scalar here, and -1 (ndim or a dimension) means unknown
    otherwise  (V0)  this is ndim, u32 dimensions

then, all alike, i32 device type, i32 device id, i32 type flag, raw data. In V0 to V2 an array
without dimensions, in V3 one of an unknown shape, has no value and ends there.
"""

import math
import os
import re
import struct
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hsc.base.errors import WeightsError

_LIST_MAGIC = 0x112
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_MAX_DIMENSIONS = 32  # more is no array: MXNet's own operators stop at 6

_BFLOAT16 = 12
_DTYPES = {
    0: "<f4", 1: "<f8", 2: "<f2", 3: "u1", 4: "<i4", 5: "i1", 6: "<i8", 7: "u1", 8: "<i2",
    9: "<u2", 10: "<u4", 11: "<u8", _BFLOAT16: "<u2",
}  # fmt: skip
_BOOL = 7

_LAYER = re.compile(
    r"(?:(?P<kind>res|bn)(?P<stage>[2-7])(?:a|b(?P<block>[1-9]))_(?P<branch>branch[0-9a-z]+)"
    r"|(?P<plain>conv1a|bn7))_(?P<role>weight|gamma|beta|moving_mean|moving_var)"
)
_NORM_ROLES = {
    "gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_var": "running_var",
}  # fmt: skip
DROPPED = ("linear1000_weight", "linear1000_bias")
"""ResNet-38's ImageNet classifier, which no CAM network has."""


def read(path: Path) -> dict[str, NDArray[Any]]:
    """Every array of a parameter file by its name, without the prefixes `arg:` and `aux:`.

    Arrays of a file without names are called by their position, "0", "1", …; an array without a
    value is left out. bfloat16 becomes float32, which holds the same values. The arrays are the
    caller's to change.

    Raises HscError, naming the file: missing or unreadable, no NDArray list, truncated, with bytes
    behind its end, a shape larger than the file (found out before memory is asked for), sparse
    storage, an unknown layout or type, a name twice.
    """
    try:
        with path.open("rb") as stream:
            return _List(path, stream).read()
    except FileNotFoundError:
        raise WeightsError(
            f"{path}: no such file; give the path of an MXNet .params file"
        ) from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from None


def resnet38_key(name: str) -> str:
    """The published ResNet-38 state_dict key of an array; any other name comes back unchanged.

    `res3b1_branch2a_weight` is `b3_1.conv_branch2a.weight`, `bn3a_branch2b1_moving_var` is
    `b3.bn_branch2b1.running_var`, `bn7_gamma` is `bn7.weight`.
    """
    found = _LAYER.fullmatch(name)
    if found is None:
        return name
    is_norm = (found["kind"] or found["plain"]).startswith("bn")
    if is_norm != (found["role"] in _NORM_ROLES):
        return name
    role = _NORM_ROLES.get(found["role"], "weight")
    if found["plain"]:
        return f"{found['plain']}.{role}"
    block = f"b{found['stage']}" + (f"_{found['block']}" if found["block"] else "")
    return f"{block}.{'bn' if is_norm else 'conv'}_{found['branch']}.{role}"


class _List:
    """The reader's place in one file."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self._path, self._stream = path, stream
        self._left = os.fstat(stream.fileno()).st_size

    def read(self) -> dict[str, NDArray[Any]]:
        if self._left < 8 or self._number("<Q") != _LIST_MAGIC:
            raise self._problem("no MXNet NDArray list; give the .params file that MXNet wrote")
        self._number("<Q")  # reserved; MXNet does not look at it either
        arrays = [self._array(position) for position in range(self._count(smallest=4))]
        names = [self._name() for _ in range(self._count(smallest=8))]
        if self._left:
            raise self._problem(
                f"{self._left} bytes behind the end of the list; the file is damaged or is "
                "something else, download it again"
            )
        if not names:
            names = [str(position) for position in range(len(arrays))]
        if len(names) != len(arrays):
            raise self._damaged(f"{len(names)} names for {len(arrays)} arrays")
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise self._damaged(f"named twice: {', '.join(map(repr, twice))}")
        named = zip(names, arrays, strict=True)
        return {name: array for name, array in named if array is not None}

    def _array(self, position: int) -> NDArray[Any] | None:
        where = f"array {position}"
        version = self._number("<I")
        if version in (_V2, _V3):
            self._check_storage(where)
        shape = self._shape(version, where)
        if shape is None:
            return None
        self._number("<i")  # device type: the values do not depend on it
        self._number("<i")  # device id
        flag = self._number("<i")
        if flag not in _DTYPES:
            raise self._damaged(f"{where} has the unknown type flag {flag}")
        return self._values(shape, flag, where)

    def _check_storage(self, where: str) -> None:
        storage = self._number("<i")
        if storage in (1, 2):
            raise self._problem(
                f"{where} is sparse, which is not read; save it dense in MXNet: "
                "array.tostype('default')"
            )
        if storage != 0:
            raise self._damaged(f"{where} has the unknown storage type {storage}")

    def _shape(self, version: int, where: str) -> tuple[int, ...] | None:
        """The dimensions, or None for an array without a value."""
        ndim = self._number("<i") if version in (_V1, _V2, _V3) else version
        if ndim == (-1 if version == _V3 else 0):
            return None
        if not 0 <= ndim <= _MAX_DIMENSIONS:
            raise self._damaged(f"{where} has {ndim} dimensions, or a layout that is unknown")
        letter = "q" if version in (_V1, _V2, _V3) else "I"
        size = struct.calcsize(f"<{letter}")
        shape = struct.unpack(f"<{ndim}{letter}", self._bytes(ndim * size))
        if version == _V3 and -1 in shape:
            return None
        if any(side < 0 for side in shape):
            raise self._damaged(f"{where} has the impossible shape {shape}")
        return shape

    def _values(self, shape: tuple[int, ...], flag: int, where: str) -> NDArray[Any]:
        dtype = np.dtype(_DTYPES[flag])
        size = math.prod(shape) * dtype.itemsize
        if size > self._left:
            raise self._damaged(
                f"{where} of shape {shape} needs {size} bytes, the file has {self._left} left"
            )
        try:
            array = np.empty(shape, dtype)
        except ValueError:  # nothing in it, but the other dimensions are beyond every bound
            raise self._damaged(f"{where} has the impossible shape {shape}") from None
        self._left -= size
        if self._stream.readinto(array.reshape(-1).view(np.uint8)) != size:
            raise self._damaged("the file ends early")
        if flag == _BFLOAT16:  # the upper half of a float32
            return (array.astype(np.uint32) << 16).view(np.float32)
        return array != 0 if flag == _BOOL else array

    def _name(self) -> str:
        raw = self._bytes(self._number("<Q"))
        try:
            name = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise self._damaged("a name is no text") from None
        prefix, colon, rest = name.partition(":")
        return rest if colon and prefix in ("arg", "aux") else name

    def _count(self, smallest: int) -> int:
        """A number of entries of at least `smallest` bytes each."""
        count = self._number("<Q")
        if count * smallest > self._left:
            raise self._damaged(f"it announces {count} entries in {self._left} bytes")
        return count

    def _number(self, layout: str) -> int:
        return struct.unpack(layout, self._bytes(struct.calcsize(layout)))[0]

    def _bytes(self, size: int) -> bytes:
        if size > self._left:
            raise self._damaged("the file ends early")
        self._left -= size
        data = self._stream.read(size)
        if len(data) != size:
            raise self._damaged("the file ends early")
        return data

    def _damaged(self, what: str) -> WeightsError:
        return self._problem(f"damaged or truncated: {what}; download it again")

    def _problem(self, what: str) -> WeightsError:
        return WeightsError(f"{self._path}: {what}")
