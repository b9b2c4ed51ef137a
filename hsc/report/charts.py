"""The page's charts as inline SVG that follows the page's colours and font.

A chart is drawn with stand-ins for its colours, which become the page's (`currentColor` and
`var(--series-1)`, for instance) in the SVG: so it is right on light and on dark. Text stays text.
The same values give the same bytes.

Every chart has a key, which no other chart of the page may have: its ids begin with it.

Letters: n steps of a training.
"""

import html
import io
import re
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from hsc.report.facts import Curve
from hsc.report.reading import ClassScores

WIDTH, HEIGHT = 420, 300
"""Of a chart, in pixels at its natural size."""
SMALL_WIDTH, SMALL_HEIGHT = 300, 190
"""Of one of many."""
FONT = 11.5
"""In pixels at natural size: more than 9 where the page is 400 pixels wide."""
ROWS = 28
"""The classes in one chart of bars; more go on in another."""

_INK, _GRID = "#010101", "#010102"
_SERIES = ("#010111", "#010112", "#010113", "#010114")
_ON_THE_PAGE = {
    _INK: "currentColor",
    _GRID: "var(--grid)",
    **{stand_in: f"var(--series-{number})" for number, stand_in in enumerate(_SERIES, 1)},
}
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "hsc",
    "font.size": FONT,
    "axes.titlesize": FONT,
    "axes.labelsize": FONT,
    "xtick.labelsize": FONT,
    "ytick.labelsize": FONT,
    "legend.fontsize": FONT,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "axes.grid": True,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "path.simplify": True,
}
_MARKERS = {"seeds": "o", "crf": "D", "masks": "s"}


def threshold_chart(key: str, curve: Curve) -> str:
    """mIoU of the seeds over the threshold, the threshold used and the best one marked."""
    return _curve_chart(
        key, curve, curve.thresholds, curve.miou, "threshold", "mIoU (%)", "lower center"
    )


def precision_chart(key: str, curve: Curve) -> str:
    """Precision against recall of the seeds' foreground, over the thresholds, marked likewise."""
    return _curve_chart(
        key, curve, curve.recall, curve.precision, "recall (%)", "precision (%)", "lower left"
    )


def _curve_chart(
    key: str,
    curve: Curve,
    x: Sequence[float],
    y: Sequence[float],
    across: str,
    up: str,
    corner: str,
) -> str:
    with mpl.rc_context(_STYLE):
        figure, axis = _figure(WIDTH, HEIGHT)
        axis.plot(x, y, color=_SERIES[0])
        for word, index, fill in _marked(curve):
            said = f"{word}: {curve.thresholds[index]:.2f}, mIoU {curve.miou[index]:.1f} %"
            axis.plot(
                x[index], y[index], "o", markersize=8, color=fill, label=said,
                markeredgecolor=_SERIES[1], markeredgewidth=1.8, linestyle="none",
            )  # fmt: skip
        axis.set_xlabel(across)
        axis.set_ylabel(up)
        axis.set_ylim(bottom=0)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(loc=corner, handletextpad=0.3)
        return _svg(key, figure, f"{up} against {across} of the seeds, threshold by threshold")


def _marked(curve: Curve) -> list[tuple[str, int, str]]:
    """What to call a marked threshold, its index, the filling of its mark."""
    if curve.used is not None and curve.used == curve.best:
        return [("threshold used, the best", curve.used, _SERIES[1])]
    marks = (("threshold used", curve.used, _SERIES[1]), ("best threshold", curve.best, "none"))
    return [(word, index, fill) for word, index, fill in marks if index is not None]


def class_charts(
    key: str, scores: Mapping[str, ClassScores], titles: Mapping[str, str]
) -> list[str]:
    """IoU by class as sorted bars of the last thing that was scored, the others as marks on them.

    scores, titles: by step, in order; none without classes. Charts of at most ROWS classes each,
    the best first.
    """
    last = next(reversed(scores))
    ranked = sorted(scores[last].iou.items(), key=lambda item: -item[1])
    names = [name for name, _ in ranked]
    count = -(-len(names) // ROWS)
    length = -(-len(names) // count)
    parts = [names[start : start + length] for start in range(0, len(names), length)]
    return [
        _class_chart(f"{key}-{number}", part, scores, titles) for number, part in enumerate(parts)
    ]


def _class_chart(
    key: str, names: Sequence[str], scores: Mapping[str, ClassScores], titles: Mapping[str, str]
) -> str:
    *others, last = scores
    rows = np.arange(len(names))
    with mpl.rc_context(_STYLE):
        legend_rows = 1 if len(scores) < 4 else 2
        figure, axis = _figure(WIDTH, 56 + 20 * legend_rows + 19 * len(names))
        axis.barh(
            rows, [scores[last].iou[name] for name in names], 0.7, color=_SERIES[0],
            alpha=0.5, label=titles[last],
        )  # fmt: skip
        for number, step in enumerate(others, 1):
            iou = [scores[step].iou.get(name, np.nan) for name in names]
            axis.plot(
                iou, rows, _MARKERS[step], color=_SERIES[number], markersize=7,
                markeredgecolor=_INK, markeredgewidth=0.6, label=titles[step],
            )  # fmt: skip
        axis.set_yticks(rows, names)
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="y", visible=False)
        axis.set_ylim(len(names) - 0.4, -0.6)
        axis.set_xlim(0, 100)
        axis.set_xlabel("IoU (%)")
        figure.legend(
            loc="outside upper center",
            ncols=-(-len(scores) // legend_rows),
            handletextpad=0.4,
            columnspacing=1.2,
        )
        return _svg(key, figure, f"IoU by class: {', '.join(names)}")


def loss_chart(key: str, name: str, steps: ArrayLike, values: ArrayLike) -> str:
    """A term of a loss over the steps: every value thin, their moving average thick.

    steps, values: (n,).
    """
    x, y = np.asarray(steps, dtype=np.float64), np.asarray(values, dtype=np.float64)
    with mpl.rc_context(_STYLE):
        figure, axis = _figure(SMALL_WIDTH, SMALL_HEIGHT)
        axis.plot(*thinned(x, y), color=_SERIES[0], linewidth=0.6, alpha=0.45)
        axis.plot(*thinned(x, moving_average(y)), color=_SERIES[0])
        return _over_steps(key, figure, axis, name)


def rate_chart(key: str, steps: ArrayLike, rate: ArrayLike) -> str:
    """The learning rate over the steps. steps, rate: (n,)."""
    x, y = np.asarray(steps, dtype=np.float64), np.asarray(rate, dtype=np.float64)
    with mpl.rc_context(_STYLE):
        figure, axis = _figure(SMALL_WIDTH, SMALL_HEIGHT)
        axis.plot(*thinned(x, y), color=_SERIES[2])
        axis.set_ylim(bottom=0)
        return _over_steps(key, figure, axis, "learning rate")


def _over_steps(key: str, figure: Figure, axis: Axes, name: str) -> str:
    axis.set_xlabel("step")
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.yaxis.set_major_locator(MaxNLocator(5))
    axis.ticklabel_format(axis="y", scilimits=(-3, 4))
    return _svg(key, figure, f"{name} over the steps")


def moving_average(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each value and its neighbours, a twentieth of all in width; fewer at the ends.

    values: (n,). Returns (n,).
    """
    half = max(1, len(values) // 40)
    sums = np.concatenate([[0.0], values.cumsum()])
    index = np.arange(len(values))
    first, behind = np.maximum(index - half, 0), np.minimum(index + half + 1, len(values))
    return (sums[behind] - sums[first]) / (behind - first)


def thinned(
    x: NDArray[np.float64], y: NDArray[np.float64], bins: int = 250
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fewer points that look the same: of each of `bins` pieces the lowest and the highest.

    x, y: (n,). Returns both with at most 2 bins points, unchanged where there are no more.
    """
    if len(y) <= 2 * bins:
        return x, y
    pieces = np.array_split(np.arange(len(y)), bins)
    ends = [(piece[y[piece].argmin()], piece[y[piece].argmax()]) for piece in pieces]
    kept = np.unique(ends)
    return x[kept], y[kept]


def _figure(width: int, height: int) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
    return figure, figure.subplots()


def _svg(key: str, figure: Figure, described: str) -> str:
    """The SVG element: the page's colours and font, ids of its own, as wide as there is room."""
    stream = io.StringIO()
    blank = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(stream, format="svg", transparent=True, metadata=blank)
    text = stream.getvalue()
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"<(metadata|style).*?</\1>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", text)
    text = re.sub(r" font-family: [^;\"]*;", "", text)
    text = re.sub(r'="[^"]*"', lambda attribute: _rounded(attribute[0]), text)
    for stand_in, colour in _ON_THE_PAGE.items():
        text = text.replace(stand_in, colour)
    return _label(_rename_ids(text, key), figure.get_figwidth() * 72, described)


def _rounded(attribute: str) -> str:
    """Coordinates to a hundredth of a pixel."""
    return re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", attribute)


def _rename_ids(text: str, key: str) -> str:
    """Put the key before the ids that something in the drawing points to, and drop the others."""
    linked = set(re.findall(r'(?:url\(|href=")#([^")]+)', text))
    text = re.sub(
        r' id="([^"]*)"', lambda each: f' id="{key}-{each[1]}"' if each[1] in linked else "", text
    )
    return re.sub(r'(url\(|href=")#', rf"\1#{key}-", text)


def _label(text: str, width: float, described: str) -> str:
    """What the root element says: what is to be seen, and how wide it is at most."""
    head, rest = text.split(">", 1)
    head = re.sub(r'\s(width|height|version)="[^"]*"', "", head)
    style = f"max-width: {width:.0f}px; stroke-linejoin: round"
    return f'{head} role="img" aria-label="{html.escape(described)}" style="{style}">{rest}'
