"""One run of the pipeline as it is compared: parameters, seeds, data, figures."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hsc.base.errors import ExperimentError, HscError
from hsc.base.settings import LOADER, flat
from hsc.compare.figures import FIGURES, digest_of, read_figure, read_lock
from hsc.compare.snapshots import Snapshot

PARAMS, LOCK = "params.yaml", "dvc.lock"
SEED, DATA_SEED = "seed", "prepare_data.seed"
Seeds = tuple[int | None, int | None]
"""Data seed (None for data that are not generated) and training seed."""


@dataclass(frozen=True)
class Run:
    """One run.

    settings: every parameter of params.yaml and of the recipe by its dotted path. digest: of its
    data, None where unknown. figures: content of the metric files by figure, without those that the
    run did not come to. notes: what the reader should know of it, in words.
    """

    snapshot: Snapshot
    settings: Mapping[str, Any]
    digest: str | None
    figures: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...] = ()

    @property
    def data(self) -> str:
        """The data set's name."""
        return str(self.settings["data"])

    @property
    def seeds(self) -> Seeds:
        """What tells it from the other runs of its row."""
        return self.settings.get(DATA_SEED), self.settings.get(SEED)

    def miou(self, figure: str) -> float | None:
        """mIoU in %, None where the run has none."""
        value = self.figures.get(figure, {}).get("mIoU")
        return None if value is None else float(value)

    def iou(self, figure: str, name: str) -> float | None:
        """IoU of a class in %, None where the run has none."""
        value = self.figures.get(figure, {}).get("IoU", {}).get(name)
        return None if value is None else float(value)


def read_run(snapshot: Snapshot, folder: Path = Path()) -> Run:
    """A run of the repository in `folder`.

    Raises HscError for a state without parameters, recipe or dvc.lock.
    """
    paths = [PARAMS, LOCK]
    paths += [path for figure in FIGURES.values() for path in (figure.path, figure.classes)]
    texts = snapshot.texts(paths, folder)
    params = _yaml(snapshot.name, PARAMS, texts[PARAMS])
    for key in ("data", "baseline", "contrast"):
        if key not in params:
            raise ExperimentError(
                f"{snapshot.name}: {PARAMS} has no {key}; it is of another project"
            )
    recipe_path = f"recipes/{params['data']}.yaml"
    recipe = _yaml(snapshot.name, recipe_path, snapshot.texts([recipe_path], folder)[recipe_path])
    lock_text = texts[LOCK]
    if lock_text is None:
        raise ExperimentError(f"{snapshot.name}: no dvc.lock: nothing was run; dvc repro")
    try:
        lock = read_lock(lock_text)
    except HscError as error:
        raise ExperimentError(f"{snapshot.name}: {error}") from None
    figures, notes = _figures(lock, texts, {PARAMS: params, recipe_path: recipe})
    settings = flat({**params, **recipe})
    digest = digest_of(lock, "prepare_data", f"outputs/data/{params['data']}")
    return Run(snapshot, settings, digest, figures, notes)


def _yaml(name: str, path: str, text: str | None) -> dict[str, Any]:
    """A parameter file as it stands: it may be of other code than this, so it is not checked."""
    if text is None:
        raise ExperimentError(f"{name}: no {path}; give a state of the repository that has one")
    try:
        content = yaml.load(text, Loader=LOADER)
    except yaml.YAMLError as error:
        raise ExperimentError(f"{name}: {path}: not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise ExperimentError(f"{name}: {path}: no parameters in it")
    return content


def _figures(
    lock: Mapping[str, Any], texts: Mapping[str, str | None], settings: Mapping[str, Any]
) -> tuple[dict[str, dict[str, Any]], tuple[str, ...]]:
    """The figures that are the run's own, and what has to be said of the others."""
    figures, notes = {}, []
    for name, figure in FIGURES.items():
        try:
            content = read_figure(lock, figure, texts, settings)
        except HscError as error:
            notes.append(str(error))
            continue
        if content is not None and content.get("mIoU") is None:
            notes.append(f"{figure.path}: not scored, the data have no masks")
        elif content is not None:
            figures[name] = content
    if not figures and not notes:
        notes.append("no figures of its own: its parameters were not run as far as make_seeds")
    return figures, tuple(notes)


def differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Paths at which the settings are not all the same, in their order."""
    paths = {path: None for each in settings for path in each}
    return [path for path in paths if len({_text(each, path) for each in settings}) > 1]


def _text(settings: Mapping[str, Any], path: str) -> str:
    return json.dumps(settings[path], default=str) if path in settings else ""


def same_pictures(one: Run, other: Run) -> bool:
    """Whether two runs are scored on the same pictures, where their data seeds are equal.

    They are if their data have the same bytes, and if the recipes differ in nothing but the
    saliency maps, which scores do not see.
    """
    if one.data != other.data:
        return False
    if one.digest == other.digest:
        return True
    changed = [
        path.removeprefix("prepare_data.")
        for path in differing([one.settings, other.settings])
        if path.startswith("prepare_data.")
    ]
    return bool(changed) and all(path.startswith("saliency") for path in changed)
