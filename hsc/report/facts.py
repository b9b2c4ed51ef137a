"""Everything that the page tells, read from a run's files into objects that do not change.

What was not made yet is absent (None or left out) and named under `missing`; what cannot be read is
an HscError.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hsc.base.errors import HscError
from hsc.base.progress import Progress, unseen
from hsc.base.run_record import records_folder
from hsc.compare.figures import FIGURES
from hsc.data.voc import read_image
from hsc.params.method import (
    ContrastChoice,
    MethodChoice,
    choose,
    choose_segmentation_contrast,
)
from hsc.params.reading import load
from hsc.params.recipe import Recipe
from hsc.params.run import RunParams
from hsc.report.provenance import (
    Change,
    Commit,
    Version,
    Weights,
    read_changes,
    read_commit,
    read_versions,
    read_weights,
)
from hsc.report.reading import (
    BackboneFacts,
    Cell,
    ClassScores,
    DataFacts,
    PanelIndex,
    RoundFacts,
    RoundScores,
    Scores,
    SegmentationFacts,
    Swatch,
    numbers,
    read_model,
    read_table,
)
from hsc.report.timings import Timing, read_timings
from hsc.store import CamReader

_Value = TypeVar("_Value")
STEPS = {key: figure.stage for key, figure in FIGURES.items()}
"""What is scored, in order, and the stage that scores it: metrics/<step>.json."""
TRAININGS = {
    "backbone": "prepare_backbone",
    "train_cam": "train_cam",
    "train_affinity": "train_affinity",
    "train_segmentation": "train_segmentation",
}
"""The tables of losses, plots/<name>.csv, and the stage that writes each."""
_EXPECTED = (
    ("metrics", "data.json", "the data set's counts", "prepare_data"),
    ("outputs", "backbone.pt", "the backbone", "prepare_backbone"),
    ("plots", "backbone.csv", "its losses", "prepare_backbone"),
    ("outputs", "cam.pt", "the CAM network", "train_cam"),
    ("plots", "train_cam.csv", "its losses", "train_cam"),
    ("outputs", "cams.h5", "the CAM file", "infer_cams"),
    ("metrics", "seeds.json", "the score of the seeds", "make_seeds"),
    ("metrics", "seeds_classes.json", "the IoU of its classes", "make_seeds"),
    ("plots", "threshold_curve.csv", "the threshold curve", "make_seeds"),
    ("metrics", "crf.json", "the score after the CRF", "evaluate@crf"),
    ("metrics", "crf_classes.json", "the IoU of its classes", "evaluate@crf"),
    ("plots", "crf_confusion.csv", "the confusion after the CRF", "evaluate@crf"),
    ("plots", "train_affinity.csv", "the losses of PSA's network", "train_affinity"),
    ("metrics", "masks.json", "the score of the masks", "evaluate@masks"),
    ("metrics", "masks_classes.json", "the IoU of its classes", "evaluate@masks"),
    ("plots", "masks_confusion.csv", "the confusion of the masks", "evaluate@masks"),
    ("outputs", "segmentation.pt", "the segmentation network", "train_segmentation"),
    ("metrics", "segmentation.json", "what it started from", "train_segmentation"),
    ("plots", "train_segmentation.csv", "its losses", "train_segmentation"),
    ("metrics", "rounds.json", "the scores of AuxSegNet's rounds", "evaluate_rounds"),
    ("metrics", "val.json", "the score on val", "evaluate@val"),
    ("metrics", "val_classes.json", "the IoU of its classes", "evaluate@val"),
    ("plots", "val_confusion.csv", "the confusion on val", "evaluate@val"),
    ("outputs", "panels/panels.json", "the pictures", "draw_panels"),
)
"""What a whole run has: folder, file, what it is for the page, the stage that writes it."""


@dataclass(frozen=True)
class Where:
    """The places that are read, and the folder of the stages' records."""

    params: Path = Path("params.yaml")
    recipes: Path = Path("recipes")
    metrics: Path = Path("metrics")
    plots: Path = Path("plots")
    outputs: Path = Path("outputs")
    records: Path | None = None


@dataclass(frozen=True)
class Curve:
    """plots/threshold_curve.csv: percent by threshold; indices of the two that are marked."""

    thresholds: tuple[float, ...]
    miou: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    used: int | None
    best: int | None


@dataclass(frozen=True)
class Training:
    """A table of losses; terms by name, the sum first, each as long as `steps`."""

    stage: str
    steps: tuple[float, ...]
    rate: tuple[float, ...]
    terms: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Confusion:
    """Pixels by true class (rows) and label (columns), int64, square, in the order of `names`."""

    names: tuple[str, ...]
    pixels: NDArray[np.int64]


@dataclass(frozen=True)
class Picture:
    """A cell of the panels: its PNG, as it lies in the file, and its size in pixels."""

    cell: Cell
    png: bytes
    width: int
    height: int


@dataclass(frozen=True)
class Panel:
    """A picture of the data set and what every step made of it."""

    image_id: str
    tags: tuple[str, ...]
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Missing:
    """A stage whose files are not all there, and what the page lacks without them."""

    stage: str
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """A run. Dictionaries are by the keys of STEPS and TRAININGS, in that order."""

    run: RunParams
    method: MethodChoice
    segmentation_contrast: ContrastChoice | None
    recipe: Recipe
    params_text: str
    recipe_file: str
    recipe_text: str
    data: DataFacts | None
    scores: Mapping[str, Scores]
    curve: Curve | None
    confusions: Mapping[str, Confusion]
    trainings: Mapping[str, Training]
    panels: tuple[Panel, ...]
    legend: tuple[Swatch, ...]
    backbone: BackboneFacts | None
    segmentation: SegmentationFacts | None
    rounds: Mapping[str, RoundScores]
    cams_digest: str | None
    weights: tuple[Weights, ...]
    timings: tuple[Timing, ...]
    versions: tuple[Version, ...]
    commit: Commit | None
    changes: tuple[Change, ...]
    missing: tuple[Missing, ...]


def gather(where: Where, progress: Progress = unseen) -> Facts:
    """Read a run, as much of it as there is.

    progress: of what takes long, as of `read_timings`.

    Raises HscError for parameters that cannot be read, and for a file that is there but is not what
    its stage writes.
    """
    run, recipe = load(where.params, where.recipes)
    recipe_path = where.recipes / f"{run.data}.yaml"
    metrics = where.metrics
    records = where.records or records_folder()
    timings = read_timings(where.outputs, metrics, _off(run), records, progress)
    panels, legend = read_panels(where.outputs / "panels")
    return Facts(
        run=run,
        method=choose(run, where.params),
        segmentation_contrast=choose_segmentation_contrast(run, where.params),
        recipe=recipe,
        params_text=where.params.read_text("utf-8"),
        recipe_file=recipe_path.name,
        recipe_text=recipe_path.read_text("utf-8"),
        data=read_model(metrics / "data.json", DataFacts, "prepare_data"),
        scores=_present({key: read_scores(metrics, key, stage) for key, stage in STEPS.items()}),
        curve=read_curve(where.plots / "threshold_curve.csv"),
        confusions=_present(
            {
                key: read_confusion(where.plots / f"{key}_confusion.csv", STEPS[key])
                for key in STEPS
                if key != "seeds"
            }
        ),
        trainings=_present(
            {
                key: read_training(where.plots / f"{key}.csv", stage)
                for key, stage in TRAININGS.items()
            }
        ),
        panels=panels,
        legend=legend,
        backbone=read_model(metrics / "backbone.json", BackboneFacts, "prepare_backbone"),
        segmentation=read_model(
            metrics / "segmentation.json", SegmentationFacts, "train_segmentation"
        ),
        rounds=read_rounds(metrics / "rounds.json"),
        cams_digest=read_cams_digest(where.outputs / "cams.h5"),
        weights=read_weights(where.outputs, timings),
        timings=timings,
        versions=read_versions(timings),
        commit=read_commit(where.params, recipe_path),
        changes=read_changes(where.params.with_name("dvc.lock"), where.params, recipe_path),
        missing=read_missing(where, _off(run)),
    )


def _present(values: Mapping[str, _Value | None]) -> dict[str, _Value]:
    return {key: value for key, value in values.items() if value is not None}


def _off(run: RunParams) -> set[str]:
    """Stages that have nothing to do in this run."""
    psa = {"label_affinity", "train_affinity"} if not run.psa.enabled else set()
    return psa if run.segmentation == "auxsegnet" else psa | {"evaluate_rounds"}


def read_scores(metrics: Path, step: str, stage: str) -> Scores | None:
    """What a step scored, with its classes; None where there is nothing yet.

    Raises HscError for a broken file.
    """
    found = read_model(metrics / f"{step}.json", Scores, stage)
    classes = read_model(metrics / f"{step}_classes.json", ClassScores, stage)
    return found and found.model_copy(update={"classes": classes or ClassScores()})


def read_rounds(path: Path) -> Mapping[str, RoundScores]:
    """AuxSegNet's rounds; none where there are none. Raises HscError for a broken file."""
    found = read_model(path, RoundFacts, "evaluate_rounds")
    return {} if found is None else found.rounds


def read_missing(where: Where, off: Container[str]) -> tuple[Missing, ...]:
    """The stages whose files are not all there, in their order; without those that are off."""
    folders = {"metrics": where.metrics, "plots": where.plots, "outputs": where.outputs}
    missing: dict[str, list[str]] = {}
    for folder, name, part, stage in _EXPECTED:
        if stage not in off and not (folders[folder] / name).exists():
            missing.setdefault(stage, []).append(part)
    return tuple(Missing(stage, tuple(parts)) for stage, parts in missing.items())


def read_curve(path: Path) -> Curve | None:
    """The sweep of thresholds; None where there is none, or nothing to score against.

    Raises HscError for a table without its columns or with something else than numbers.
    """
    columns = ("threshold", "mIoU", "precision", "recall")
    table = read_table(path, "make_seeds", (*columns, "mark"))
    if table is None or not table["mark"]:
        return None
    marks = table["mark"]
    return Curve(
        *(numbers(path, table, column) for column in columns),
        used=_first(marks, ("used", "used and best")),
        best=_first(marks, ("best", "used and best")),
    )


def _first(marks: Sequence[str], wanted: Sequence[str]) -> int | None:
    return next((index for index, mark in enumerate(marks) if mark in wanted), None)


def read_training(path: Path, stage: str) -> Training | None:
    """A table of losses; None where there is none, or nothing was trained.

    Raises HscError for a table without its columns or with something else than numbers.
    """
    table = read_table(path, stage, ("step", "lr", "loss"))
    if table is None or not table["step"]:
        return None
    columns = {name: numbers(path, table, name) for name in table}
    return Training(stage, columns.pop("step"), columns.pop("lr"), columns)


def read_confusion(path: Path, stage: str) -> Confusion | None:
    """A table of all pairs of classes; None where there is none, or no pixel was counted.

    Raises HscError unless every pair of the classes is there, with a number.
    """
    table = read_table(path, stage, ("truth", "label", "pixels"))
    if table is None:
        return None
    names = tuple(dict.fromkeys(table["truth"]))
    index = {name: position for position, name in enumerate(names)}
    pixels = np.full((len(names), len(names)), -1, dtype=np.int64)
    counts = numbers(path, table, "pixels")
    for truth, label, count in zip(table["truth"], table["label"], counts, strict=True):
        if label not in index:
            raise HscError(f"{path}: {label!r} is a label but no truth; run {stage} again")
        pixels[index[truth], index[label]] = int(count)
    if (pixels < 0).any():
        raise HscError(f"{path}: some pairs of classes have no line; run {stage} again")
    return Confusion(names, pixels) if pixels.any() else None


def read_panels(folder: Path) -> tuple[tuple[Panel, ...], tuple[Swatch, ...]]:
    """The pictures of outputs/panels and their legend; nothing where there are none.

    Raises HscError for a broken index, and for a picture that is missing or damaged.
    """
    index = read_model(folder / "panels.json", PanelIndex, "draw_panels")
    if index is None:
        return (), ()
    panels = tuple(
        Panel(row.id, row.tags, tuple(_picture(folder, cell) for cell in row.cells))
        for row in index.pictures
    )
    return panels, index.legend


def _picture(folder: Path, cell: Cell) -> Picture:
    path = folder / cell.file
    height, width, _ = read_image(path).shape  # decoded whole: a browser says nothing of damage
    return Picture(cell, path.read_bytes(), width, height)


def read_cams_digest(path: Path) -> str | None:
    """What the CAM file says it was made from. Raises HscError for a damaged one."""
    if not path.exists():
        return None
    with CamReader(path) as reader:
        return reader.digest
