"""Collect the runs of the experiment table from DVC's experiments into one JSON file.

    python -m benchmarks.collect --out benchmarks/results/shapes.json --logs

Runs that the file has already stay, so a table can grow: of two runs of one name the later counts.
"""

import hashlib
import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import yaml

from benchmarks.experiments import Experiment, dvc, experiment_refs, git
from benchmarks.rows import DATA_SEED, RECIPE, Row, parse_name
from benchmarks.runs import Run, merge, read_runs, write_runs
from hsc import duration
from hsc.cli import PATH, command
from hsc.errors import HscError

METRICS = {
    "seeds": ("make_seeds", "metrics/seeds.json"),
    "crf": ("evaluate@crf", "metrics/crf.json"),
    "val": ("evaluate@val", "metrics/val.json"),
}
"""Stage and file of each figure."""

SUMMARIES = {"train_cam": r"outputs/cam\.pt", "infer_cams": r"outputs/cams\.h5"}
"""How the line begins that a stage ends with; its time stands in brackets at the end."""

# PyYAML's own parser in C, where it was built: a lock file has 1,500 lines.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def is_current(lock: dict[str, Any], stage_name: str) -> bool:
    """Whether a stage ran on what the stages before it made in the same experiment.

    An experiment that stops at an earlier target keeps the committed metrics of the stages behind
    it, of other parameters. Its lock file tells: there a dependency has other bytes than the stage
    that makes it wrote. lock: `stages` of dvc.lock.
    """
    makers = {out["path"]: name for name, entry in lock.items() for out in entry.get("outs", [])}
    written = {out["path"]: out["md5"] for entry in lock.values() for out in entry.get("outs", [])}
    waiting, seen = [stage_name], {stage_name}
    while waiting:
        entry = lock.get(waiting.pop())
        if entry is None:
            return False
        for dependency in entry.get("deps", []):
            maker = makers.get(dependency["path"])
            if maker is None:
                continue
            if dependency["md5"] != written[dependency["path"]]:
                return False
            if maker not in seen:
                seen.add(maker)
                waiting.append(maker)
    return True


def value_of(settings: dict[str, Any], override: str) -> tuple[Any, Any]:
    """What an override says and what the settings have: (wanted, found)."""
    path, text = override.split(":")[-1].split("=")
    found: Any = settings
    for word in path.split("."):
        found = found.get(word) if isinstance(found, dict) else None
    return yaml.safe_load(text), found


def require_parameters(
    name: str, row: Row, data_seed: int, seed: int, params: dict[str, Any], recipe: dict[str, Any]
) -> None:
    """Raise HscError where an experiment was not run with what its name says."""
    checks = [(params, text) for text in ("data=shapes", f"seed={seed}", *row.overrides)]
    for settings, override in [*checks, (recipe, f"{DATA_SEED}={data_seed}")]:
        wanted, found = value_of(settings, override)
        if wanted != found:
            raise HscError(
                f"{name}: run with {found!r} in place of {override}; remove the experiment "
                f"(dvc exp remove {name}) and queue it again"
            )


def read_experiment(experiment: Experiment, folder: Path = Path()) -> Run | None:
    """One run without its seconds; None where it did not come as far as the seeds.

    Raises HscError where its parameters are not those of its name.
    """
    parsed = parse_name(experiment.name)
    if parsed is None:
        return None
    row, data_seed, seed = parsed

    def show(path: str) -> str:
        return git("show", f"{experiment.sha}:{path}", folder=folder)

    params, recipe = yaml.safe_load(show("params.yaml")), yaml.safe_load(show(RECIPE))
    require_parameters(experiment.name, row, data_seed, seed, params, recipe)
    lock = yaml.load(show("dvc.lock"), Loader=_LOADER)["stages"]
    found: dict[str, dict[str, Any] | None] = {}
    for figure, (stage_name, path) in METRICS.items():
        text = show(path) if is_current(lock, stage_name) else None
        outs = lock.get(stage_name, {}).get("outs", [])
        digests = {out["path"]: out["md5"] for out in outs}
        if text is not None and hashlib.md5(text.encode()).hexdigest() != digests[path]:
            raise HscError(f"{experiment.name}: {path} is not what dvc.lock says; run it again")
        found[figure] = None if text is None else json.loads(text)
    seeds, crf, val = (found[figure] for figure in METRICS)
    if seeds is None:
        return None
    return Run(
        row=row.key,
        data_seed=data_seed,
        seed=seed,
        seeds=seeds["best_mIoU"],
        threshold=seeds["best_threshold"],
        crf=crf and crf["mIoU"],
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
        ends = re.finditer(rf"^{start}: .*\(({duration.PATTERN})\)$", log, flags=re.MULTILINE)
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
@click.option("--out", type=PATH, required=True, help="The file, which may have runs already.")
@click.option("--logs", is_flag=True, help="Read the stages' seconds from the queue's logs, too.")
def main(out: Path, logs: bool) -> str:
    """Read every experiment of the table and add it to the file."""
    runs = read_runs(out) if out.exists() else {}
    before = len(runs)
    for experiment in experiment_refs():
        run = read_experiment(experiment)
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
