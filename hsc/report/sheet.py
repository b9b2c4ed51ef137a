"""A sheet of paper on which pictures and words are placed to the pixel, and its PNG.

Every length is in pixels, from the upper left corner. Letters: H W pixels.
"""

import math
from pathlib import Path
from typing import Literal

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from numpy.typing import NDArray
from PIL import Image

from hsc.base.files import atomic_file

_DPI = 128  # a power of two: widths in inches are exact, so no pixel is lost to rounding
_FONT = "DejaVu Sans"  # comes with matplotlib, so it is there and the same everywhere
_DOTS = "…"

Anchor = Literal["left", "center"]


class Sheet:
    """White paper of a size."""

    def __init__(self, width: int, height: int) -> None:
        self._pixels = np.full((height, width, 3), 255, dtype=np.uint8)
        # matplotlib's rendering may be set otherwise in a file of the user's
        with mpl.rc_context(mpl.rcParamsDefault):
            self._figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)

    def paste(self, pixels: NDArray[np.uint8], left: int, top: int) -> None:
        """Put a picture (H, W, 3) on the sheet. Raises ValueError where it does not fit on it."""
        height, width = pixels.shape[:2]
        space = self._pixels[top : top + height, left : left + width]
        if min(left, top) < 0 or space.shape != pixels.shape:
            raise ValueError(
                f"{width}x{height} pixels at ({left}, {top}) do not fit on a sheet of "
                f"{self._pixels.shape[1]}x{self._pixels.shape[0]}"
            )
        space[:] = pixels

    def write(
        self, text: str, x: int, middle: int, size: int, colour: str = "#222222",
        anchor: Anchor = "left",
    ) -> None:  # fmt: skip
        """Write a line: its left end (or centre) is at `x`, the middle of its letters at `middle`.

        size: the font's. The text is taken literally, a `$` starts no formula.
        """
        height, width = self._pixels.shape[:2]
        # The middle of small letters without descenders, so that words on a line keep its base.
        base = middle + 0.36 * size
        self._figure.text(
            x / width, 1 - base / height, text, ha=anchor, va="baseline", color=colour,
            fontproperties=_font(size), parse_math=False,
        )  # fmt: skip

    def save(self, path: Path) -> None:
        """Write an RGB PNG. Its bytes depend on what is on the sheet, not on versions or times."""
        canvas = FigureCanvasAgg(self._figure)
        self._figure.figimage(self._pixels, origin="upper")
        canvas.draw()
        drawn = np.asarray(canvas.buffer_rgba())[..., :3]
        with atomic_file(path) as partial:
            Image.fromarray(drawn).save(partial, format="PNG", optimize=True)


def text_width(text: str, size: int) -> float:
    """How wide a line is."""
    width, _, _ = text_to_path.get_text_width_height_descent(text, _font(size), ismath=False)
    return width * _DPI / 72


def shorten(text: str, size: int, width: float, keep: Literal["head", "tail"] = "head") -> str:
    """The text, or as much of one end of it as is no wider than `width`, with dots for the rest."""
    if text_width(text, size) <= width:
        return text
    for count in range(len(text) - 1, 0, -1):
        cut = text[:count].rstrip() + _DOTS if keep == "head" else _DOTS + text[-count:].lstrip()
        if text_width(cut, size) <= width:
            return cut
    return _DOTS


def fit(
    pixels: NDArray[np.uint8], width: int, height: int, enlarge: bool = True
) -> NDArray[np.uint8]:
    """A picture (H, W, 3) as large as `width` x `height` allows, its proportions kept.

    An enlarged one shows its pixels as squares; a shrunk one is averaged. With `enlarge` false a
    picture that is smaller stays as it is.
    """
    rows, columns = pixels.shape[:2]
    scale = min(width / columns, height / rows)
    if scale >= 1 and not enlarge:
        return pixels
    size = max(1, round(columns * scale)), max(1, round(rows * scale))
    times = max(1, math.ceil(scale))
    whole = pixels.repeat(times, axis=0).repeat(times, axis=1)
    return np.asarray(Image.fromarray(whole).resize(size, Image.Resampling.HAMMING))


def _font(size: int) -> FontProperties:
    return FontProperties(family=_FONT, size=size * 72 / _DPI)
