"""The figures of a run, its metric files, and which of them are its own by `dvc.lock`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from hsc.base.errors import ExperimentError
from hsc.base.settings import LOADER, value_at


@dataclass(frozen=True)
class Figure:
    """One figure of a run: its column, and the stage and files that it comes from."""

    title: str
    stage: str
    path: str
    classes: str


FIGURES = {
    "seeds": Figure("seed", "make_seeds", "metrics/seeds.json", "metrics/seeds_classes.json"),
    "crf": Figure("+ CRF", "evaluate@crf", "metrics/crf.json", "metrics/crf_classes.json"),
    "masks": Figure("masks", "evaluate@masks", "metrics/masks.json", "metrics/masks_classes.json"),
    "val": Figure("val", "evaluate@val", "metrics/val.json", "metrics/val_classes.json"),
}
"""In the order of the pipeline."""


def read_lock(text: str) -> dict[str, Any]:
    """`stages` of a dvc.lock. Raises HscError for another content."""
    try:
        stages = yaml.load(text, Loader=LOADER)["stages"]
        return {name: {**entry, "deps": entry.get("deps") or []} for name, entry in stages.items()}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        raise ExperimentError("dvc.lock: no lock file of DVC; run dvc repro") from None


def is_current(
    lock: Mapping[str, Any], stage: str, settings: Mapping[str, Any] | None = None
) -> bool:
    """Whether a stage ran on what the stages before it made in the same run.

    An experiment that stops at an earlier target keeps the committed metrics of the stages behind
    it, of other parameters. Its lock file tells: there a dependency has other bytes than the stage
    that makes it wrote, or a stage on the way has other parameters than `settings` have now.
    lock: from `read_lock`. settings: content by parameter file; None compares none.
    """
    makers = {out["path"]: name for name, entry in lock.items() for out in entry.get("outs", [])}
    written = {out["path"]: out["md5"] for entry in lock.values() for out in entry.get("outs", [])}
    waiting, seen = [stage], {stage}
    while waiting:
        entry = lock.get(waiting.pop())
        if entry is None or (settings is not None and not _has_params(entry, settings)):
            return False
        for dependency in entry["deps"]:
            maker = makers.get(dependency["path"])
            if maker is None:
                continue
            if dependency["md5"] != written[dependency["path"]]:
                return False
            if maker not in seen:
                seen.add(maker)
                waiting.append(maker)
    return True


def _has_params(entry: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether the parameters that a stage ran with are those of the settings."""
    return all(
        value_at(settings.get(path), key) == value
        for path, values in entry.get("params", {}).items()
        for key, value in values.items()
    )


def digest_of(lock: Mapping[str, Any], stage: str, path: str) -> str | None:
    """The digest of what a stage wrote, None where the lock file does not have it."""
    outs = lock.get(stage, {}).get("outs", [])
    return next((out["md5"] for out in outs if out["path"] == path), None)


def read_figure(
    lock: Mapping[str, Any],
    figure: Figure,
    texts: Mapping[str, str | None],
    settings: Mapping[str, Any] | None,
) -> dict[str, Any] | None:
    """The content of a figure's files; None where the run did not come as far as its stage.

    texts: of the files, None for one that is not there. Runs of older code have all in one file.
    Raises HscError for a file that is missing or is not the one that the stage wrote.
    """
    if not is_current(lock, figure.stage, settings):
        return None
    content = _written(lock, figure.stage, figure.path, texts)
    if digest_of(lock, figure.stage, figure.classes) is None:
        return content
    return content | _written(lock, figure.stage, figure.classes, texts)


def _written(
    lock: Mapping[str, Any], stage: str, path: str, texts: Mapping[str, str | None]
) -> dict[str, Any]:
    text = texts.get(path)
    if text is None:
        raise ExperimentError(f"{path} is missing; run it again")
    if hashlib.md5(text.encode()).hexdigest() != digest_of(lock, stage, path):
        raise ExperimentError(f"{path} is not what dvc.lock says; run it again")
    return dict(json.loads(text))
