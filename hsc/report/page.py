"""The page: a run's facts laid out by `page.html` and `style.css`, in one file without a script."""

import base64
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hsc.base import duration
from hsc.base.disk_space import amount
from hsc.base.files import atomic_file
from hsc.report import charts, words
from hsc.report.facts import STEPS, Confusion, Facts, Panel, Training
from hsc.report.papers import TABULATED_IN, TITLES, Published, published, table_of
from hsc.report.timings import Timing, total_seconds

_PIXELATED_BELOW = 128
"""Pixels on the longer side below which a picture is enlarged without smoothing."""
_OPEN_UP_TO = 30
"""Classes up to which all confusion matrices stand open; with more, the first one does."""


@dataclass(frozen=True)
class Score:
    """A column of the score table: this run's figure; None where there is none, and why."""

    title: str
    miou: float | None
    scored_on: str
    absent: tuple[str, ...]


@dataclass(frozen=True)
class PaperRow:
    """A row of the papers' figures: by column, None where nothing was published."""

    published: Published
    figures: tuple[float | None, ...]


@dataclass(frozen=True)
class Plot:
    """A chart and what stands above it."""

    title: str
    about: str
    svg: Markup


@dataclass(frozen=True)
class HeatMap:
    """A confusion matrix in percent of each true class's pixels; None in a row without pixels."""

    title: str
    names: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]


@dataclass(frozen=True)
class CellView:
    """A picture with its caption."""

    caption: str
    alt: str
    source: str
    width: int
    height: int
    pixelated: bool


@dataclass(frozen=True)
class TimingView:
    """A row of the table of stages; `record` is None where it was not timed, `why` then says so."""

    timing: Timing
    took: str
    why: str
    memory: str
    gpu_memory: str
    finished: str


def write_page(facts: Facts, path: Path) -> None:
    """Write the page, whole or not at all."""
    text = render(facts)
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def render(facts: Facts) -> str:
    """The page as HTML; the same facts give the same text."""
    environment = Environment(
        loader=PackageLoader("hsc.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"amount": amount, "origin": words.origin}
    style = resources.files("hsc.report").joinpath("style.css").read_text("utf-8")
    return environment.get_template("page.html").render(
        style=Markup(style), facts=facts, **_context(facts)
    )


def _context(facts: Facts) -> dict[str, Any]:
    run, told = facts.run, table_of(facts.run.data)
    rows = published(
        run.baseline, run.contrast, run.segmentation, run.data, run.segmentation_contrast
    )
    what, how = words.settings(facts)
    maps = heat_maps(facts)
    return {
        "title": words.title(facts),
        "method": words.method(facts),
        "summary": words.summary(facts),
        "flow": words.flow(facts),
        "threshold": words.threshold(facts),
        "scores": scores(facts),
        "papers": tuple(PaperRow(row, (row.seeds, row.crf, row.masks, row.val)) for row in rows),
        "tables_of": TABULATED_IN[told],
        "papers_on": TITLES[told],
        "notes": words.paper_notes(facts, rows),
        "panels": tuple((panel, cells(panel)) for panel in facts.panels),
        "colours": {swatch.name: swatch.colour for swatch in facts.legend},
        "seed_plots": seed_plots(facts),
        "class_plots": class_plots(facts),
        "trainings": tuple(
            (words.TRAINING_TITLES[key], len(training.steps), training_plots(training))
            for key, training in facts.trainings.items()
        ),
        "heat_maps": maps,
        "large_maps": any(len(each.names) > _OPEN_UP_TO for each in maps),
        "what": what,
        "how": how,
        "timings": tuple(timing_view(timing) for timing in facts.timings),
        "timed": sum(timing.record is not None for timing in facts.timings),
        "total": duration.describe(total_seconds(facts.timings)),
        "other_versions": any(version.then for version in facts.versions),
    }


def scores(facts: Facts) -> tuple[Score, ...]:
    """The columns of the score table, in the papers' order."""
    columns = []
    for step in STEPS:
        found = facts.scores.get(step)
        title = words.STEP_TITLES[step]
        if found is None:
            columns.append(Score(title, None, "not run", ()))
        elif found.miou is None:
            columns.append(Score(title, None, f"no masks for {found.split}", ()))
        else:
            said = f"{found.split}, {found.images} pictures"
            columns.append(Score(title, found.miou, said, found.classes.absent))
    return tuple(columns)


def cells(panel: Panel) -> tuple[CellView, ...]:
    """The pictures of a panel with captions, their bytes as data URLs."""
    views = []
    for picture in panel.pictures:
        title, of = picture.cell.title, picture.cell.of
        caption = f"{title}: {of}" if of else title
        views.append(
            CellView(
                caption,
                f"{caption} of {panel.image_id}",
                "data:image/png;base64," + base64.b64encode(picture.png).decode("ascii"),
                picture.width,
                picture.height,
                max(picture.width, picture.height) < _PIXELATED_BELOW,
            )
        )
    return tuple(views)


def seed_plots(facts: Facts) -> tuple[Plot, ...]:
    """The threshold curve, and precision against recall."""
    curve = facts.curve
    if curve is None:
        return ()
    return (
        Plot(
            "Which threshold?",
            "Mean IoU of the seeds on train when only what is above the threshold counts as an "
            "object.",
            Markup(charts.threshold_chart("threshold", curve)),
        ),
        Plot(
            "Precision against recall",
            "Of the seeds' foreground: how much of it is right, and how much of the objects it "
            "covers, threshold by threshold; whether the class is right does not matter here.",
            Markup(charts.precision_chart("precision", curve)),
        ),
    )


def class_plots(facts: Facts) -> tuple[Plot, ...]:
    """IoU by class of everything that was scored; the masks only where they are not the CRF's."""
    shown = {
        step: found.classes
        for step, found in facts.scores.items()
        if found.classes.iou and (step != "masks" or facts.run.psa.enabled)
    }
    if not shown:
        return ()
    titles = {step: f"{words.STEP_TITLES[step]} ({facts.scores[step].split})" for step in shown}
    if "val" in shown:
        titles["val"] = "segmentation (val)"
    about = f"Sorted by {titles[next(reversed(shown))]}."
    return tuple(
        Plot("IoU by class", about if number == 0 else "The next ones.", Markup(chart))
        for number, chart in enumerate(charts.class_charts("classes", shown, titles))
    )


def training_plots(training: Training) -> tuple[Plot, ...]:
    """A chart for each term of the loss, and the learning rate."""
    plots = [
        Plot(
            name.replace("_", " "),
            words.term(name, training),
            Markup(charts.loss_chart(f"{training.stage}-{number}", name, training.steps, values)),
        )
        for number, (name, values) in enumerate(training.terms.items())
    ]
    rate = Markup(charts.rate_chart(f"{training.stage}-lr", training.steps, training.rate))
    return (*plots, Plot("learning rate", "", rate))


def heat_maps(facts: Facts) -> tuple[HeatMap, ...]:
    """What was confused, of val first; of the masks only where they are not the CRF's."""
    titles = {
        "val": "The segmentation network on val",
        "masks": "The masks on train",
        "crf": f"{words.REFINED[facts.run.refine][0]}, on train",
    }
    return tuple(
        _heat_map(title, facts.confusions[step])
        for step, title in titles.items()
        if step in facts.confusions and (step != "masks" or facts.run.psa.enabled)
    )


def _heat_map(title: str, confusion: Confusion) -> HeatMap:
    totals = confusion.pixels.sum(axis=1, keepdims=True)
    share = 100 * confusion.pixels / np.maximum(totals, 1)
    rows = tuple(
        (name, tuple(values.tolist()) if total else (None,) * len(values))
        for name, values, total in zip(confusion.names, share, totals[:, 0], strict=True)
    )
    return HeatMap(title, confusion.names, rows)


def timing_view(timing: Timing) -> TimingView:
    """What a stage took, for people."""
    record = timing.record
    if record is None:
        why = "from the cache, not timed on this machine" if timing.made else "not run"
        return TimingView(timing, "", "off" if timing.off else why, "", "", "")
    gpu = record.peak_gpu_bytes
    return TimingView(
        timing,
        duration.describe(record.seconds),
        "off" if timing.off else "",
        # A process's peak can be that of the one that started it, so the two are told as one.
        amount(max(record.peak_bytes, record.peak_child_bytes)),
        "" if gpu is None else amount(gpu),
        record.finished[:16].replace("T", " "),
    )
