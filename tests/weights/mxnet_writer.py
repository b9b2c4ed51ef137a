"""Writing MXNet's NDArray lists, for tests: the layouts as hsc/weights/mxnet.py states them."""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC = {1: 0xF993FAC8, 2: 0xF993FAC9, 3: 0xF993FACA}
FLAGS = {
    np.dtype(name): flag
    for flag, name in enumerate(
        ["f4", "f8", "f2", "u1", "i4", "i1", "i8", "?", "i2", "u2", "u4", "u8"]
    )
}
BFLOAT16 = 12


def array_bytes(
    array: NDArray[Any], version: int, flag: int | None = None, storage: int = 0
) -> bytes:
    """One array; `flag` where it is not the dtype's own, as for bfloat16."""
    letter = "q" if version else "I"
    head = struct.pack("<I", MAGIC[version]) if version else b""
    if version >= 2:
        head += struct.pack("<i", storage)
    head += struct.pack(f"<I{array.ndim}{letter}", array.ndim, *array.shape)
    flag = FLAGS[array.dtype] if flag is None else flag
    return head + struct.pack("<iii", 1, 0, flag) + array.tobytes()


def list_bytes(arrays: list[bytes], names: list[str]) -> bytes:
    """A whole list."""
    content = struct.pack("<QQQ", 0x112, 0, len(arrays)) + b"".join(arrays)
    content += struct.pack("<Q", len(names))
    for name in names:
        raw = name.encode()
        content += struct.pack("<Q", len(raw)) + raw
    return content


def file_bytes(arrays: Mapping[str, NDArray[Any]], version: int = 0) -> bytes:
    """A list of named arrays."""
    return list_bytes([array_bytes(each, version) for each in arrays.values()], list(arrays))
