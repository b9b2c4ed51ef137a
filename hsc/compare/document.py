"""The comparison as Markdown: the rows, their differences, IoU by class, notes."""

from collections.abc import Callable, Iterable, Sequence

from hsc.compare.figures import FIGURES
from hsc.compare.rows import Row, pairs, why_unpaired
from hsc.compare.runs import Run
from hsc.compare.statistics import paired
from hsc.compare.table import MINUS, NONE, markdown, number, p_text, spread

Score = Callable[[Run], float | None]
ROWS_TEXT = (
    "mIoU in %: mean ± sample standard deviation over the runs, (n) where only n of them have the "
    "figure. Seed, + CRF and masks on `train`."
)
PAIRED_TEXT = (
    f"Row {MINUS} {{title}}, paired over the runs of equal (data seed, seed): mean of the "
    "differences, Student's 95 % interval, two-sided paired t-test, not corrected for the number "
    "of lines."
)
CLASS_TEXT = (
    "IoU in % by class, {figure}: mean ± sample standard deviation. Differences to {title}: mean ± "
    "half of the 95 % interval (pairs)."
)


def document(
    rows: Sequence[Row], against: int, metrics: Sequence[str], by_class: bool = False
) -> str:
    """The whole comparison.

    against: index of the row that is subtracted. metrics: the figures that are tested.
    """
    parts = [ROWS_TEXT, row_table(rows)]
    others = [row for index, row in enumerate(rows) if index != against]
    if others:
        title = rows[against].title
        parts += [PAIRED_TEXT.format(title=title), paired_table(others, rows[against], metrics)]
    for metric in metrics if by_class else ():
        if any(row.values(metric) for row in rows):
            head = CLASS_TEXT.format(figure=FIGURES[metric].title, title=rows[against].title)
            parts += [head, class_table(rows, against, metric)]
    parts.append("\n".join(f"- {note}" for note in notes(rows)))
    return "\n\n".join(parts) + "\n"


def row_table(rows: Sequence[Row]) -> str:
    """A line a row: how many runs, each figure; the data set where there are several."""
    several = len({row.runs[0].data for row in rows}) > 1
    lines = []
    for row in rows:
        scores = [row.values(metric) for metric in FIGURES]
        count = len(row.runs)
        cells = [spread(values, count=len(values) < count) for values in scores]
        lines.append([row.title, *([row.runs[0].data] * several), str(count), *cells])
    header = ["row", *(["data"] * several), "runs", *(each.title for each in FIGURES.values())]
    return markdown(header, lines, pad=True)


def paired_table(rows: Sequence[Row], reference: Row, metrics: Iterable[str]) -> str:
    """A line a figure and row that can have a difference."""
    lines = []
    for metric in metrics:
        for row in rows:
            if row.values(metric) and reference.values(metric):
                lines.append([row.title, FIGURES[metric].title, *_tested(row, reference, metric)])
    if not lines:
        return "None: no figure that was asked for is there in two rows."
    header = ["row", "figure", "pairs", "mean", "95 % interval", "t", "p"]
    return markdown(header, lines, pad=True)


def _tested(row: Row, reference: Row, metric: str) -> list[str]:
    """Pairs, mean, interval, t and p; in words where there are too few pairs for them."""
    differences = differences_of(row, reference, lambda run: run.miou(metric))
    if not differences:
        return ["0", NONE, f"not paired: {why_unpaired(row, reference)}", NONE, NONE]
    found = paired(differences)
    mean = number(found.mean, sign=True)
    if found.half is None:
        return ["1", mean, "one pair: no spread, no test", NONE, NONE]
    if found.t is None:
        return [str(found.n), mean, "all differences are equal", NONE, NONE]
    low, high = found.mean - found.half, found.mean + found.half
    interval = f"{number(low, sign=True)} to {number(high, sign=True)}"
    return [str(found.n), mean, interval, number(found.t, 2), p_text(found.p)]


def differences_of(row: Row, reference: Row, score: Score) -> list[float]:
    """Score of the row's run minus that of the reference's, for each pair that has both."""
    scores = [(score(run), score(other)) for run, other in pairs(row, reference)]
    return [mine - theirs for mine, theirs in scores if mine is not None and theirs is not None]


def class_table(rows: Sequence[Row], against: int, metric: str) -> str:
    """A line a class: IoU of each row, then the differences to the reference."""
    reference = rows[against]
    others = [row for row in rows if row is not reference]
    scores = [run.figures.get(metric, {}) for row in rows for run in row.runs]
    names = dict.fromkeys(name for each in scores for name in each.get("IoU", {}))
    lines = []
    for name in names:
        cells = [spread(row.class_values(metric, name)) for row in rows]
        lines.append([name, *cells, *(_class_cell(row, reference, metric, name) for row in others)])
    titles = [f"{row.title}: difference" for row in others]
    return markdown(["class", *(row.title for row in rows), *titles], lines, pad=True)


def _class_cell(row: Row, reference: Row, metric: str, name: str) -> str:
    differences = differences_of(row, reference, lambda run: run.iou(metric, name))
    if not differences:
        return NONE
    found = paired(differences)
    half = "" if found.half is None else f" ± {number(found.half)}"
    return f"{number(found.mean, sign=True)}{half} ({found.n})"


def notes(rows: Sequence[Row]) -> list[str]:
    """What has to be known besides: the code, what was left out, what is missing."""
    runs = [run for row in rows for run in row.runs]
    codes = dict.fromkeys(
        run.snapshot.code if run.snapshot.sha is None else f"`{run.snapshot.code[:7]}`"
        for run in runs
    )
    found = [f"{len(runs)} runs, of the code of {', '.join(codes)}."]
    if len({run.data for run in runs}) > 1:
        found.append("Rows of different data sets are not paired.")
    found += [f"{note}." for row in rows for note in row.notes]
    found += [f"`{run.snapshot.name}`: {note}." for run in runs for note in run.notes]
    return found
