"""Panels: a few pictures and what every step made of them, as one figure and as single files.

Letters: C foreground classes, H W pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hsc.base.files import write_json
from hsc.data.classes import BACKGROUND, IGNORE, palette
from hsc.data.overlay import colour_labels, heat_map
from hsc.report.sheet import Sheet, fit, shorten, text_width

MOST_CAMS = 3
"""Columns of CAMs in the figure."""
CELL_SIDE = 256
"""The longer side of a single cell's file, in pixels, where the picture is larger."""
IGNORED = "not scored / unsure"
"""What white means: left out of scoring in the truth, of training in labels."""

_WIDTH = 1440  # of the figure at most; a column has _COLUMN at most
_COLUMN = 160
_GAP = 6
_MARGIN = 12
_HEADING = 30  # heights of lines: the columns' titles, what stands over a row, the legend
_STRIP = 22
_LEGEND = 28
_TITLE_SIZE, _NAME_SIZE, _LEGEND_SIZE = 17, 13, 15
_SWATCH = 14
_GREY = "#666666"


@dataclass(frozen=True)
class Panel:
    """One picture and what every step made of it."""

    image_id: str
    image: NDArray[np.uint8]  # (H, W, 3)
    cams: dict[str, NDArray[np.float32]]  # by tagged class, (H, W) in [0, 1]
    labels: dict[str, NDArray[np.uint8]]  # by title, in order: (H, W) class indices


class Cell(NamedTuple):
    """One picture of a panel; `class_name` is the CAM's."""

    title: str
    class_name: str | None
    pixels: NDArray[np.uint8]  # (H, W, 3)


class LegendEntry(NamedTuple):
    """A name and its colour, `#rrggbb`."""

    name: str
    colour: str


def cells(panel: Panel) -> list[Cell]:
    """The picture, a heat map for each tagged class, then the label maps."""
    heat_maps = (Cell("CAM", name, heat_map(panel.image, cam)) for name, cam in panel.cams.items())
    labels = (
        Cell(title, None, colour_labels(panel.image, labels))
        for title, labels in panel.labels.items()
    )
    return [Cell("picture", None, panel.image), *heat_maps, *labels]


def legend(panels: Sequence[Panel], class_names: Sequence[str]) -> list[LegendEntry]:
    """The foreground classes that occur in labels or CAMs, by index; white last, where it occurs.

    class_names: C+1 names, background first.
    """
    found = {class_names.index(name) for panel in panels for name in panel.cams}
    for panel in panels:
        for labels in panel.labels.values():
            found |= set(np.unique(labels).tolist())
    entries = [_entry(class_names, index) for index in sorted(found - {BACKGROUND, IGNORE})]
    return [*entries, LegendEntry(IGNORED, "#ffffff")] if IGNORE in found else entries


def write_cells(panels: Sequence[Panel], class_names: Sequence[str], folder: Path) -> None:
    """Write every cell as `<id>_<number>.png` and `panels.json`, which says what they are.

    class_names: C+1 names, background first. A cell is shrunk to 256 pixels on its longer side and
    never enlarged. `panels.json`: `pictures` (id, tags, cells with title, class and file) and
    `legend` (name and colour).
    """
    pictures = []
    for panel in panels:
        files = []
        for number, cell in enumerate(cells(panel)):
            name = f"{panel.image_id}_{number}.png"
            small = fit(cell.pixels, CELL_SIDE, CELL_SIDE, enlarge=False)
            Image.fromarray(small).save(folder / name, format="PNG")
            files.append({"title": cell.title, "class": cell.class_name, "file": name})
        pictures.append({"id": panel.image_id, "tags": list(panel.cams), "cells": files})
    entries = [entry._asdict() for entry in legend(panels, class_names)]
    write_json(folder / "panels.json", {"pictures": pictures, "legend": entries})


def draw_panels(panels: Sequence[Panel], class_names: Sequence[str], path: Path) -> None:
    """Write the figure (PNG): a row a picture, with a legend of the classes that occur.

    class_names: C+1 names, background first. There are as many columns of CAMs as the picture with
    the most tags needs, at most three: of a picture with more tags the three CAMs with the largest
    mean are shown, in the order of the classes; one with fewer leaves its cells empty. The label
    maps' columns are those of the first panel. A picture is as wide as its column or, upright, as
    high. Raises ValueError without panels.
    """
    if not panels:
        raise ValueError("no panels to draw")
    cam_columns = min(MOST_CAMS, max(len(panel.cams) for panel in panels))
    titles = ["picture", *["CAM"] * cam_columns, *panels[0].labels]
    columns = _Columns(titles)
    heights = [columns.height(panel.image) for panel in panels]
    lines = _legend_lines(legend(panels, class_names), columns.right - _MARGIN)
    bottom = _MARGIN + _HEADING + sum(heights) + len(panels) * (_STRIP + _GAP)
    sheet = Sheet(columns.right + _MARGIN, bottom + len(lines) * _LEGEND + _MARGIN)
    columns.write_titles(sheet)
    top = _MARGIN + _HEADING
    for panel, height in zip(panels, heights, strict=True):
        _draw_row(sheet, columns, panel, class_names, top, height)
        top += _STRIP + height + _GAP
    for number, line in enumerate(lines):
        middle = bottom + number * _LEGEND + _LEGEND // 2
        for left, entry in line:
            _draw_entry(sheet, entry, left, middle, _LEGEND_SIZE, columns.right - left)
    sheet.save(path)


class _Columns:
    """Where the columns are."""

    def __init__(self, titles: Sequence[str]) -> None:
        self.titles = titles
        count = len(titles)
        room = _WIDTH - 2 * _MARGIN - (count - 1) * _GAP
        self.width = min(_COLUMN, room // count)
        self.right = _MARGIN + count * self.width + (count - 1) * _GAP

    def left(self, number: int) -> int:
        return _MARGIN + number * (self.width + _GAP)

    def height(self, image: NDArray[np.uint8]) -> int:
        """Of a row: a picture as wide as its column, but no higher than that."""
        rows, columns = image.shape[:2]
        return max(1, min(self.width, round(self.width * rows / columns)))

    def write_titles(self, sheet: Sheet) -> None:
        """A title over each column, once over several of the same."""
        for title in dict.fromkeys(self.titles):
            first = self.titles.index(title)
            last = first + self.titles.count(title) - 1
            middle = (self.left(first) + self.left(last) + self.width) // 2
            sheet.write(title, middle, _MARGIN + _HEADING // 2, _TITLE_SIZE, anchor="center")


def _draw_row(
    sheet: Sheet, columns: _Columns, panel: Panel, class_names: Sequence[str], top: int, height: int
) -> None:
    """The id and the CAMs' classes in small letters, below them the cells."""
    middle = top + _STRIP // 2
    for number, cell in _placed(panel, columns.titles):
        pixels = fit(cell.pixels, columns.width, height)
        down, right = height - pixels.shape[0], columns.width - pixels.shape[1]
        left, room = columns.left(number) + right // 2, columns.width - right // 2
        sheet.paste(pixels, left, top + _STRIP + down // 2)
        if cell.class_name is not None:
            entry = _entry(class_names, class_names.index(cell.class_name))
            _draw_entry(sheet, entry, left, middle, _NAME_SIZE, room)
        elif number == 0:
            name = shorten(panel.image_id, _NAME_SIZE, room, keep="tail")
            sheet.write(name, left, middle, _NAME_SIZE, _GREY)


def _placed(panel: Panel, titles: Sequence[str]) -> Iterator[tuple[int, Cell]]:
    """The cells that the figure shows, each with the number of its column."""
    shown = sorted(panel.cams, key=lambda name: panel.cams[name].mean(), reverse=True)[:MOST_CAMS]
    heat_maps = 0
    for cell in cells(panel):
        if cell.class_name is None:
            yield titles.index(cell.title), cell
        elif cell.class_name in shown:
            yield titles.index("CAM") + heat_maps, cell
            heat_maps += 1


def _legend_lines(
    entries: Sequence[LegendEntry], width: int
) -> list[list[tuple[int, LegendEntry]]]:
    """The entries with where they start, in as many lines as they need in `width`."""
    lines: list[list[tuple[int, LegendEntry]]] = []
    left = width
    for entry in entries:
        needs = round(_SWATCH + 6 + text_width(entry.name, _LEGEND_SIZE) + 24)
        if left + needs > width + 24 or not lines:
            lines.append([])
            left = 0
        lines[-1].append((_MARGIN + left, entry))
        left += needs
    return lines


def _draw_entry(
    sheet: Sheet, entry: LegendEntry, left: int, middle: int, size: int, width: int
) -> None:
    """A square of the colour and the name beside it, in `width` together."""
    square = np.full((_SWATCH, _SWATCH, 3), 136, dtype=np.uint8)  # its edge: white needs one
    square[1:-1, 1:-1] = [int(entry.colour[start : start + 2], 16) for start in (1, 3, 5)]
    sheet.paste(square, left, middle - _SWATCH // 2)
    beside = _SWATCH + 6
    sheet.write(shorten(entry.name, size, width - beside), left + beside, middle, size)


def _entry(class_names: Sequence[str], index: int) -> LegendEntry:
    return LegendEntry(class_names[index], "#" + palette()[index].tobytes().hex())
