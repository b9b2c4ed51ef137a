"""Collect the runs of an experiment table from DVC's experiments into one JSON file.

    python -m benchmarks.collect --data shapes --out benchmarks/results/shapes.json --logs

Runs that the file has already stay, so a table can grow: of two runs of one name the later counts.
"""

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import yaml

from benchmarks.dvc_command import dvc
from benchmarks.rows import TABLES, Row, Table, parse_name
from benchmarks.runs import Run, merge, read_runs, write_runs
from hsc.base import duration
from hsc.base.cli import PATH, command
from hsc.base.errors import HscError
from hsc.base.settings import value_at
from hsc.compare.experiments import Experiment, committed_texts, experiment_refs, git
from hsc.compare.figures import FIGURES, read_figure, read_lock

TABLE_FIGURES = ("seeds", "crf", "masks", "val")

SUMMARIES = {
    "train_cam": r"outputs/cam\.pt:",
    "infer_cams": r"outputs/cams\.h5:",
    "refine_crf": "outputs/crf: CRF labels",
    "refine_masks": r"outputs/masks: \d+ pseudo labels",
    "train_segmentation": r"outputs/segmentation\.pt:",
    "predict_segmentation": r"outputs/predictions: \d+ predictions",
}
"""How the line begins that a stage ends with; its time stands in brackets at the end.

A folder of labels has a line of the stage that made it and one of the stage that scored it.
"""


def value_of(settings: dict[str, Any], override: str) -> tuple[Any, Any]:
    """What an override says and what the settings have: (wanted, found)."""
    path, text = override.split(":")[-1].split("=")
    return yaml.safe_load(text), value_at(settings, path)


def require_parameters(
    name: str,
    table: Table,
    row: Row,
    data_seed: int,
    seed: int,
    params: dict[str, Any],
    recipe: dict[str, Any],
) -> None:
    """Raise HscError where an experiment was not run with what its name says."""
    for override in (*table.overrides(data_seed), f"seed={seed}", *row.overrides):
        settings = recipe if override.startswith(table.recipe) else params
        wanted, found = value_of(settings, override)
        if wanted != found:
            raise HscError(
                f"{name}: run with {found!r} in place of {override}; remove the experiment "
                f"(dvc exp remove {name}) and queue it again"
            )


def read_experiment(experiment: Experiment, table: Table, folder: Path = Path()) -> Run | None:
    """One run without its seconds; None for one of another table, or that lacks its seeds.

    Raises HscError where its parameters are not those of its name.
    """
    parsed = parse_name(experiment.name)
    if parsed is None or parsed[0] != table:
        return None
    _, row, data_seed, seed = parsed
    paths = [
        "params.yaml",
        table.recipe,
        "dvc.lock",
        *(path for each in TABLE_FIGURES for path in (FIGURES[each].path, FIGURES[each].classes)),
    ]
    texts = committed_texts(experiment.sha, paths, folder)
    params, recipe = (yaml.safe_load(texts[path] or "") for path in ("params.yaml", table.recipe))
    require_parameters(experiment.name, table, row, data_seed, seed, params, recipe)
    settings = {"params.yaml": params, table.recipe: recipe}
    try:
        lock = read_lock(texts["dvc.lock"] or "")
        seeds, crf, masks, val = (
            read_figure(lock, FIGURES[each], texts, settings) for each in TABLE_FIGURES
        )
    except HscError as error:
        raise HscError(f"{experiment.name}: {error}") from None
    if seeds is None:
        return None
    return Run(
        data=table.data,
        row=row.key,
        data_seed=data_seed,
        seed=seed,
        seeds=seeds["best_mIoU"],
        threshold=seeds["best_threshold"],
        auto=seeds.get("auto_mIoU"),
        crf=crf and crf["mIoU"],
        masks=masks and masks["mIoU"],
        val=val and val["mIoU"],
        seconds={},
        experiment=experiment.sha,
        commit=experiment.parent,
        date=git("show", "-s", "--format=%cI", experiment.sha, folder=folder).strip(),
        torch=version("torch"),
    )


def stage_seconds(log: str) -> dict[str, float]:
    """Seconds by stage from the log of a run; a stage that came from the cache has none.

    Beyond a minute they are whole ones, beyond an hour whole minutes: a log has no more.
    """
    seconds = {}
    for name, start in SUMMARIES.items():
        ends = re.finditer(rf"^{start}.*\(({duration.PATTERN})\)$", log, flags=re.MULTILINE)
        for found in ends:
            seconds[name] = duration.seconds_of(found[1])
    return seconds


def log_of(name: str) -> str:
    """What a queued run printed; empty where the queue does not know it."""
    try:
        return dvc("queue", "logs", name)
    except HscError:
        return ""


@command
@click.option("--data", type=click.Choice([*TABLES]), required=True, help="Whose table.")
@click.option("--out", type=PATH, required=True, help="The file, which may have runs already.")
@click.option("--logs", is_flag=True, help="Read the stages' seconds from the queue's logs, too.")
def main(data: str, out: Path, logs: bool) -> str:
    """Read every experiment of the table and add it to the file."""
    runs = read_runs(out) if out.exists() else {}
    before = len(runs)
    for experiment in experiment_refs():
        run = read_experiment(experiment, TABLES[data])
        if run is not None:
            runs = merge(runs, {run.name: run})
    if logs:
        for name, run in runs.items():
            if not run.seconds:
                runs[name] = run.model_copy(update={"seconds": stage_seconds(log_of(name))})
    write_runs(out, runs)
    return f"{out}: {len(runs)} runs, {len(runs) - before} of them new"


if __name__ == "__main__":
    main()
