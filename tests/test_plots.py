"""`dvc plots` with the templates of .dvc/plots: whole Vega-Lite, with the numbers of the tables.

The tables are written by the stages' own functions, of known numbers.
"""

import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from dvc_render import VegaRenderer
from PIL import Image

from hsc.base.off import NO_STEPS, write_off_file
from hsc.cam.seed_stage import write_curve
from hsc.engine.history import write_history
from hsc.scoring.metrics import ThresholdCurve, report, unscored
from hsc.scoring.tables import write_confusion, write_iou
from tests.stage_runs import ROOT

TEMPLATES = ROOT / ".dvc" / "plots"
PLOTS: dict[str, Any] = {
    name: properties
    for plot in yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
    for name, properties in ({plot: None} if isinstance(plot, str) else plot).items()
}
VEGA = {name: properties for name, properties in PLOTS.items() if properties is not None}
CLASSES = ("background", "cat", "owl")
SCORED = ("seeds", "crf", "masks", "val")
MARKS = {"rect", "bar", "line", "point", "text"}
COMPOSED = {"layer", "vconcat", "spec"}
TERMS = {
    "seam": ("loss", "classification", "minimum"),
    "eps": ("loss", "classification", "saliency"),
}


def write_tables(folder: Path, terms: tuple[str, ...], masks: bool = True) -> None:
    """All that dvc.yaml plots, in `folder`/plots."""
    plots = folder / "plots"
    history = [
        {"step": step, "lr": 0.1 / (step + 1), **dict.fromkeys(terms, 1.5 - step / 50)}
        for step in range(40)
    ]
    for name in ("backbone", "train_cam", "train_segmentation"):
        write_history(plots / f"{name}.csv", history)
    write_off_file(plots / "train_affinity.csv", NO_STEPS)
    rounds = "0,40.5,85.6,42.9,60.0\n1,49.2,87.8,51.8,70.0\n"
    write_off_file(plots / "rounds.csv", "round,mIoU,precision,recall,labelled\n" + rounds)
    matrix = np.array([[70, 20, 10], [5, 45, 0], [0, 10, 0]])
    curve = ThresholdCurve(2, np.arange(10) / 10)
    random = np.random.default_rng(0)
    curve.add(random.random((2, 8, 8)).astype(np.float32), np.array([1, 2]), np.eye(8, dtype=int))
    write_curve(curve if masks else None, 0.7, plots / "threshold_curve.csv")
    for name in SCORED:
        scores = report(matrix, CLASSES, "train", 3) if masks else unscored("train")
        write_iou(scores, plots / f"{name}_iou.csv")
        if name != "seeds":
            write_confusion(matrix if masks else None, CLASSES, plots / f"{name}_confusion.csv")
    Image.new("RGB", (4, 3)).save(plots / "panels.png")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def dvc(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


def repository(folder: Path) -> Path:
    """What `dvc plots` reads, without Git and without stages."""
    dvc(folder, "init", "--no-scm", "--quiet")
    shutil.copytree(TEMPLATES, folder / ".dvc" / "plots")
    shutil.copyfile(ROOT / ".dvc" / "config", folder / ".dvc" / "config")
    dvc(folder, "config", "core.no_scm", "true")
    plots = yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"plots": plots}))
    return folder


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[dict]]]:
    """A folder with tables, and what `dvc plots show` makes of them."""
    folder = repository(tmp_path_factory.mktemp("plots"))
    write_tables(folder, TERMS["seam"])
    answer = json.loads(dvc(folder, "plots", "show", "--json"))
    assert "errors" not in answer
    return folder, answer["data"]


def both_revisions(name: str, folder: Path) -> dict[str, Any]:
    """The plot as `dvc plots diff` fills it with two revisions whose columns differ."""
    properties = VEGA[name]
    ((path, y),) = properties["y"].items()
    points = []
    for revision, terms in TERMS.items():
        write_tables(folder / revision, terms)
        points += [row | {"rev": revision} for row in rows(folder / revision / path)]
    labels = {"x_label": properties["x"], "y_label": y} | properties
    return VegaRenderer(
        points, name, **labels | {"y": y, "template_dir": str(TEMPLATES)}
    ).get_filled_template()


def walk(spec: Any) -> Iterator[dict]:
    """Every dictionary in it."""
    if isinstance(spec, dict):
        yield spec
        for value in spec.values():
            yield from walk(value)
    elif isinstance(spec, list):
        for value in spec:
            yield from walk(value)


def made_by_transforms(spec: dict) -> set[str]:
    """The fields that the transforms add."""
    made: set[str] = set()
    for part in walk(spec):
        for step in part.get("transform", []):
            for entry in (step, *step.get("aggregate", []), *step.get("joinaggregate", []),
                          *step.get("window", [])):  # fmt: skip
                names = entry.get("as", [])
                made |= {names} if isinstance(names, str) else set(names)
    return made


def check_view(view: dict) -> None:
    """A view is composed of others or is a mark with an encoding, its own or from above."""
    (kind,) = (COMPOSED | {"mark"}) & set(view)
    if kind == "mark":
        mark = view["mark"]
        assert (mark if isinstance(mark, str) else mark["type"]) in MARKS
        assert view.get("encoding") is not None
    elif kind == "spec":
        assert view["facet"]["field"]
        check_view(view["spec"])
    else:
        assert view[kind]
        for inner in view[kind]:
            check_view(inner)


def check_vega_lite(spec: dict, columns: set[str]) -> None:
    """Nothing left to fill in, whole views, and only fields that there are."""
    assert spec["$schema"] == "https://vega.github.io/schema/vega-lite/v5.json"
    view = {key: value for key, value in spec.items() if key != "data"}
    assert "<DVC_METRIC" not in json.dumps(view)
    check_view(view)
    known = columns | made_by_transforms(view)
    fields = [part["field"] for part in walk(view) if "field" in part]
    assert fields
    assert set(fields) <= known
    groups = [part["groupby"] for part in walk(view) if "groupby" in part]
    assert {name for group in groups for name in group} <= known


def test_every_plot_is_shown(shown: tuple[Path, dict[str, list[dict]]]) -> None:
    _, data = shown
    assert set(data) == set(PLOTS)
    for name, renderings in data.items():
        kinds = [rendering["type"] for rendering in renderings]
        if name == "affinity_training":
            assert kinds == [], "the table has no line"
        else:
            assert kinds == ["vega" if name in VEGA else "image"]


@pytest.mark.parametrize("name", [name for name in VEGA if name != "affinity_training"])
def test_a_plot_is_whole_and_has_the_numbers_of_its_table(
    shown: tuple[Path, dict[str, list[dict]]], name: str
) -> None:
    folder, data = shown
    (path,) = VEGA[name]["y"]
    content = data[name][0]["content"]
    expected = [row | {"rev": "workspace"} for row in rows(folder / path)]
    found = [{key: row[key] for key in expected[0]} for row in content["data"]["values"]]
    assert found == expected
    check_vega_lite(content, set(expected[0]))
    assert content["title"]["text"] == VEGA[name]["title"]


@pytest.mark.parametrize("name", [name for name in VEGA if name != "affinity_training"])
def test_two_revisions_whose_columns_differ(tmp_path: Path, name: str) -> None:
    content = both_revisions(name, tmp_path)
    values = content["data"]["values"]
    assert {row["rev"] for row in values} == {"seam", "eps"}
    check_vega_lite(content, {key for row in values for key in row})
    used = {part["field"] for part in walk(content) if "field" in part}
    assert "rev" in used, "revisions are told apart"


def test_the_losses_of_both_revisions_are_among_those_shown(tmp_path: Path) -> None:
    content = both_revisions("cam_training", tmp_path)
    (terms,) = [step["fold"] for step in content["transform"] if "fold" in step]
    assert {*TERMS["seam"], *TERMS["eps"], "lr"} <= set(terms)
    assert content["facet"]["sort"] == [
        "learning rate" if term == "lr" else term.replace("_", " ") for term in terms
    ], "a panel for each, in this order"


def test_every_template_is_used_and_every_one_used_is_there() -> None:
    templates = {path.stem for path in TEMPLATES.glob("*.json")}
    assert templates == {properties["template"] for properties in VEGA.values()}


def test_a_data_set_without_masks(tmp_path: Path) -> None:
    """The page is made, with what there is."""
    folder = repository(tmp_path)
    write_tables(folder, TERMS["eps"], masks=False)
    dvc(folder, "plots", "show")
    page = (folder / "dvc_plots" / "index.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    for name in PLOTS:
        anchor = name.replace("/", "_").replace(".", "_")
        assert re.search(f'id ?= ?"{anchor}"', page)
    assert '"saliency"' in page
    assert page.count("vegaEmbed(") == len(VEGA)
    assert "<img src=" in page
    assert "max-width" in page, "the page of .dvc/plots"
