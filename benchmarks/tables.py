"""Write the result tables, in Markdown, from the file of measured runs.

    python -m benchmarks.tables benchmarks/results/shapes.json --out docs/shapes_table.md

The same runs give the same bytes. A comparison is made over the runs (data seed, training seed)
that both of its rows have; rows without a run and comparisons without a pair are left out.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.rows import ABLATION, AUXSEGNET, DSCNET, MAIN, PSA, Row
from benchmarks.runs import Run, Runs, read_runs
from hsc.base.cli import PATH, command
from hsc.base.errors import HscError
from hsc.base.files import atomic_file
from hsc.compare.statistics import paired
from hsc.compare.table import MINUS, NONE, markdown, number, p_text, spread

HEAD = """\
# The experiment table on `{data}`

Written by `python -m benchmarks.tables` from `{source}`, not by hand; how the runs are made stands
in [experiments.md](experiments.md#the-table-of-the-readme). Scores are mIoU in %: seeds, CRF and
masks on `train`, seeds at the best threshold of a sweep and at the maps' own (`seeds.threshold:
auto`). "Paper" is the seeds' figure on all of VOC, another data set: compare its differences, and
only their signs and order.

{origin}
"""
PAIRED_TEXT = """\
Mean of the differences over the runs (data seed, training seed) that both rows have; ± is half of
Student's 95 % interval, t and p are those of a two-sided paired t-test, not corrected for the
number of lines. Runs of one data set share their pictures and what the network starts from: the
interval says how sure the difference is on these pictures, less so on others."""
FIGURES = {"seeds": "seeds", "crf": "+ CRF", "masks": "masks", "val": "`val`"}
"""Scores of a run that rows are compared by, and what they are called."""


def of_row(runs: Runs, row: Row) -> list[Run]:
    """The runs of a row by data seed and seed."""
    found = [run for run in runs.values() if run.row == row.key]
    return sorted(found, key=lambda run: (run.data_seed, run.seed))


def pairs(runs: Runs, row: Row, other: str, figure: str = "seeds") -> list[tuple[int, float]]:
    """Data seed and difference of a figure's mIoU, row − other, of each run that both have."""

    def scores(key: str) -> dict[tuple[int, int], float]:
        found = {
            (run.data_seed, run.seed): getattr(run, figure)
            for run in runs.values()
            if run.row == key
        }
        return {place: score for place, score in found.items() if score is not None}

    own, others = scores(row.key), scores(other)
    return [(place[0], own[place] - others[place]) for place in sorted(own) if place in others]


def row_table(runs: Runs, rows: Sequence[Row]) -> str:
    """A line a row: scores, threshold, seconds, the paper's figure."""
    lines = []
    for row in rows:
        own = of_row(runs, row)
        if not own:
            continue
        lines.append(
            [
                row.title,
                str(len(own)),
                spread([run.seeds for run in own]),
                *(_spread_of(own, figure) for figure in ("auto", "crf", "masks", "val")),
                number(statistics.fmean(run.threshold for run in own), 2),
                *(_median_seconds(own, stage) for stage in ("train_cam", "infer_cams")),
                number(row.paper),
            ]
        )
    header = [
        "row", "runs", "seeds, mean ± sd", "at their own threshold (runs)", "+ CRF (runs)",
        "masks (runs)", "`val` (runs)", "best threshold", "seconds of CAM training",
        "of CAM inference", "paper",
    ]  # fmt: skip
    return markdown(header, lines)


def _spread_of(runs: Sequence[Run], figure: str) -> str:
    scores = [getattr(run, figure) for run in runs]
    return spread([score for score in scores if score is not None], count=True)


def _median_seconds(runs: Sequence[Run], stage: str) -> str:
    seconds = [run.seconds[stage] for run in runs if stage in run.seconds]
    return number(statistics.median(seconds) if seconds else None, 0)


def comparisons(rows: Sequence[Row]) -> list[tuple[Row, Row, str]]:
    """Every row with each row that it is compared with, and what the difference is called.

    The other row may be one of the main table.
    """
    by_key = {row.key: row for row in (*MAIN, *rows)}

    def part(title: str) -> str:
        return f"({title})" if "+" in title else title

    return [
        (row, by_key[key], f"{part(row.title)} {MINUS} {part(by_key[key].title)}")
        for row in rows
        for key in row.against
    ]


def paired_table(runs: Runs, rows: Sequence[Row], figure: str = "seeds") -> str:
    """A line a comparison, over all data seeds."""
    lines = []
    for row, other, title in comparisons(rows):
        differences = [difference for _, difference in pairs(runs, row, other.key, figure)]
        if not differences:
            continue
        known = figure == "seeds" and row.paper is not None and other.paper is not None
        paper = number(row.paper - other.paper if known else None, sign=True)
        found = paired(differences)
        lines.append(
            [
                title,
                str(found.n),
                number(found.mean, sign=True),
                number(found.sd),
                number(found.half),
                number(found.t, 2),
                p_text(found.p),
                paper,
            ]
        )
    return markdown(["difference", "runs", "mean", "sd", "±", "t", "p", "paper"], lines)


def split_table(runs: Runs, rows: Sequence[Row]) -> str:
    """The same differences by data seed: mean ± half of the 95 % interval (runs)."""
    data_seeds = sorted({run.data_seed for row in rows for run in of_row(runs, row)})
    lines = []
    for row, other, title in comparisons(rows):
        found = pairs(runs, row, other.key)
        if not found:
            continue
        cells = []
        for data_seed in data_seeds:
            differences = [value for own, value in found if own == data_seed]
            if not differences:
                cells.append(NONE)
                continue
            result = paired(differences)
            half = "" if result.half is None else f" ± {number(result.half)}"
            cells.append(f"{number(result.mean, sign=True)}{half} ({result.n})")
        lines.append([title, *cells])
    return markdown(["difference", *(f"data seed {seed}" for seed in data_seeds)], lines)


def run_table(runs: Runs, rows: Sequence[Row]) -> str:
    """Every run: mIoU of its seeds and, where it went so far, of val; a line a data seed and seed,
    a column a row."""
    rows = [row for row in rows if of_row(runs, row)]
    shown = [run for row in rows for run in of_row(runs, row)]
    scores = {(run.row, run.data_seed, run.seed): _both(run) for run in shown}
    lines = [
        [str(data_seed), str(seed)] + [scores.get((row.key, data_seed, seed), NONE) for row in rows]
        for data_seed, seed in sorted({(run.data_seed, run.seed) for run in shown})
    ]
    return markdown(["data seed", "seed", *(row.title for row in rows)], lines)


def _both(run: Run) -> str:
    return number(run.seeds) if run.val is None else f"{number(run.seeds)}, {number(run.val)}"


def origin(runs: Runs) -> str:
    """When, from which code and with which torch the runs were made."""
    days = sorted(run.date.date().isoformat() for run in runs.values())
    period = days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
    commits = ", ".join(sorted({f"`{run.commit[:7]}`" for run in runs.values()}))
    versions = ", ".join(sorted({run.torch for run in runs.values()}))
    return f"{len(runs)} runs, {period}; code of {commits}; torch {versions}."


def document(runs: Runs, source: str) -> str:
    """The whole page. Raises HscError without runs, and for runs of several data sets."""
    if not runs:
        raise HscError(f"{source}: no runs; collect them first")
    data = sorted({run.data for run in runs.values()})
    if len(data) > 1:
        raise HscError(f"{source}: runs on {' and '.join(data)}; a page is of one data set")
    head = HEAD.format(data=data[0], source=source, origin=origin(runs))
    parts = [head.rstrip()]
    main = {row.key for row in MAIN}
    for title, rows in SECTIONS.items():
        keys = {row.key for row in rows} - (main if rows is not MAIN else set())
        if any(run.row in keys for run in runs.values()):
            parts += _section(runs, title, rows)
    return "\n\n".join(parts) + "\n"


SECTIONS = {
    "The rows": MAIN,
    "HSC's ablation (its Table 4), on SEAM": ABLATION,
    "Masks of PSA": PSA,
    "AuxSegNet": AUXSEGNET,
    "DSCNet (its Table IV), on SEAM": DSCNET,
}


def _section(runs: Runs, title: str, rows: Sequence[Row]) -> list[str]:
    parts = [f"## {title}", row_table(runs, rows)]
    compared = []
    for figure, called in FIGURES.items():
        found = [len(pairs(runs, row, other.key, figure)) for row, other, _ in comparisons(rows)]
        least = 1 if figure == "seeds" else 2  # few go further: a difference of one run is none
        if max(found, default=0) >= least:
            compared += [f"Of {called}:", paired_table(runs, rows, figure)]
    if compared:
        parts += ["### Paired differences", *([PAIRED_TEXT] if rows is MAIN else []), *compared]
    if compared and len({run.data_seed for row in rows for run in of_row(runs, row)}) > 1:
        parts += ["Of seeds, by data set:", split_table(runs, rows)]
    return [*parts, "### Every run", run_table(runs, rows)]


@command
@click.argument("source", type=PATH)
@click.option("--out", type=PATH, required=True, help="The Markdown file.")
def main(source: Path, out: Path) -> str:
    """Write the tables of the runs in SOURCE."""
    runs = read_runs(source)
    text = document(runs, source.as_posix())
    with atomic_file(out) as partial:
        partial.write_text(text, encoding="utf-8")
    return f"{out}: tables of {len(runs)} runs"


if __name__ == "__main__":
    main()
