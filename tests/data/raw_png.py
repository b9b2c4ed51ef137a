"""PNG files of any depth and kind, byte by byte: what Pillow reads but cannot write."""

import struct
import zlib
from pathlib import Path

GREY, RGB, GREY_WITH_ALPHA = 0, 2, 4


def chunk(kind: bytes, content: bytes) -> bytes:
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def write_png(
    path: Path, rows: list[bytes], width: int, depth: int, kind: int, key: bytes = b""
) -> Path:
    """rows: packed as PNG has them. depth: bits a value. key: the transparent colour."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, kind, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + (chunk(b"tRNS", key) if key else b"")
        + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
        + chunk(b"IEND", b"")
    )
    return path
