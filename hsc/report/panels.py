"""The pictures that `dvc plots` shows: panels and confusion matrices, the same bytes every time.

Letters: C foreground classes, K tagged classes of an image, H W pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from hsc.data.classes import IGNORE, palette
from hsc.files import atomic_file
from hsc.overlay import blend, colour_labels

_DPI = 110


@dataclass(frozen=True)
class Panel:
    """One picture and what every step made of it; label maps are (H, W) uint8 class indices."""

    image_id: str
    image: NDArray[np.uint8]  # (H, W, 3)
    cam: NDArray[np.float32]  # (K, H, W) in [0, 1]
    labels: dict[str, NDArray[np.uint8]]  # by column title, in order


def draw_panels(panels: Sequence[Panel], class_names: Sequence[str], path: Path) -> None:
    """Write one row a picture: input, CAM (strongest class), then the label maps.

    class_names: C+1 names, background first; the classes that occur stand in the legend. Raises
    ValueError without panels.
    """
    if not panels:
        raise ValueError("no panels to draw")
    titles = ["picture", "CAM", *panels[0].labels]
    figure = Figure(figsize=(1.5 * len(titles), 1.5 * len(panels) + 0.9), layout="constrained")
    axes = figure.subplots(len(panels), len(titles), squeeze=False)
    for row, panel in zip(axes, panels, strict=True):
        pictures = [panel.image, heat_map(panel.image, panel.cam)]
        pictures += [colour_labels(panel.image, labels) for labels in panel.labels.values()]
        for axis, picture in zip(row, pictures, strict=True):
            axis.imshow(picture, interpolation="nearest")
            axis.set_axis_off()
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=10)
    _add_legend(figure, panels, class_names)
    _save(figure, path)


def heat_map(image: NDArray[np.uint8], cam: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Blend the strongest class of a CAM (K, H, W), as colours from blue to red, with the picture.

    Returns (H, W, 3) uint8; without a class the picture is only blended with blue.
    """
    strongest = cam.max(axis=0, initial=0.0)
    colours = mpl.colormaps["jet"](strongest)[..., :3] * 255
    return blend(image, colours, 0.5)


def draw_confusion(
    matrix: NDArray[np.int64], class_names: Sequence[str], title: str, path: Path
) -> None:
    """Write a confusion matrix (C+1, C+1) in percent of each true class's pixels (rows)."""
    totals = matrix.sum(axis=1, keepdims=True)
    share = 100 * matrix / np.maximum(totals, 1)
    side = 2.5 + 0.42 * len(class_names)
    figure = Figure(figsize=(side, side), layout="constrained")
    axis = figure.subplots()
    axis.imshow(share, cmap="Blues", vmin=0, vmax=100)
    ticks = np.arange(len(class_names))
    axis.set_xticks(ticks, class_names, rotation=90)
    axis.set_yticks(ticks, class_names)
    axis.set_xlabel("labelled as")
    axis.set_ylabel("truth")
    axis.set_title(f"{title}: % of the true class's pixels", fontsize=9)
    for (row, column), value in np.ndenumerate(share):
        if value >= 1:
            colour = "white" if value > 50 else "black"
            axis.text(column, row, f"{value:.0f}", ha="center", va="center", color=colour, size=7)
    _save(figure, path)


def _add_legend(figure: Figure, panels: Sequence[Panel], class_names: Sequence[str]) -> None:
    maps = [labels for panel in panels for labels in panel.labels.values()]
    shown = sorted(set(np.unique(np.concatenate([m.ravel() for m in maps]))) - {0, IGNORE})
    colours = palette() / 255
    patches = [Patch(color=colours[index], label=class_names[index]) for index in shown]
    if patches:
        figure.legend(
            handles=patches, loc="outside lower center", ncols=min(8, len(patches)), fontsize=8
        )


def _save(figure: Figure, path: Path) -> None:
    with atomic_file(path) as partial:
        # Without the version of the software in the file the bytes depend on the pixels alone.
        figure.savefig(partial, format="png", dpi=_DPI, metadata={"Software": None})
