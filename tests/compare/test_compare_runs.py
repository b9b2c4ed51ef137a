"""What a state of the repository says of its run."""

from pathlib import Path
from typing import Any

import pytest

from hsc.base.errors import HscError
from hsc.compare.runs import Run, differing, read_run, same_pictures
from hsc.compare.snapshots import resolve
from tests.compare.made_runs import make_run
from tests.experiment_repository import run_files

PARAMS = {
    "data": "shapes", "seed": 3, "baseline": "seam", "contrast": "none", "hsc": {"gamma": 0.1},
}  # fmt: skip
RECIPE = {"prepare_data": {"seed": 1, "size": 80}, "refine_crf": {"iterations": 10}}


def read(folder: Path, files: dict[str, str]) -> Run:
    for path, text in files.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    return read_run(resolve(["workspace"], folder)[0], folder)


def test_a_run_is_read_whole(tmp_path: Path) -> None:
    figures: dict[str, Any] = {"seeds": {"mIoU": 50.5, "IoU": {"background": 75}}}
    run = read(tmp_path, run_files(PARAMS, RECIPE, figures, left={"val": {"mIoU": 1}}))
    assert (run.data, run.seeds) == ("shapes", (1, 3))
    assert run.settings["hsc.gamma"] == 0.1
    assert run.settings["refine_crf.iterations"] == 10
    assert [run.miou(figure) for figure in ("seeds", "crf", "val")] == [50.5, None, None]
    assert run.iou("seeds", "background") == 75
    assert run.iou("seeds", "dog") is None
    assert run.iou("val", "background") is None
    assert run.notes == ()
    assert run.digest is not None


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    files = run_files(PARAMS, RECIPE, {"seeds": {"mIoU": 1}, "crf": {"mIoU": None}})
    del files["metrics/seeds.json"]
    run = read(tmp_path, files)
    assert run.figures == {}
    assert run.notes == (
        "metrics/seeds.json is missing; run it again",
        "metrics/crf.json: not scored, the data have no masks",
    )


def test_parameters_that_were_never_run(tmp_path: Path) -> None:
    files = run_files(PARAMS, RECIPE, {"seeds": {"mIoU": 1}})
    files["params.yaml"] = files["params.yaml"].replace("seed: 3", "seed: 4")
    run = read(tmp_path, files)
    assert run.figures == {}
    assert run.notes[0].startswith("no figures of its own")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"params.yaml": None}, "workspace: no params.yaml"),
        ({"params.yaml": "- 1"}, "workspace: params.yaml: no parameters in it"),
        ({"params.yaml": "a: ["}, "workspace: params.yaml: not valid YAML"),
        ({"params.yaml": "data: shapes\nbaseline: seam"}, "params.yaml has no contrast"),
        ({"recipes/shapes.yaml": None}, "workspace: no recipes/shapes.yaml"),
        ({"dvc.lock": None}, "workspace: no dvc.lock"),
        ({"dvc.lock": "<<<<<<< HEAD"}, "workspace: dvc.lock: no lock file"),
    ],
)
def test_no_run_at_all(tmp_path: Path, changes: dict[str, str | None], problem: str) -> None:
    files = run_files(PARAMS, RECIPE, {"seeds": {"mIoU": 1}}) | changes
    with pytest.raises(HscError, match=problem):
        read(tmp_path, {path: text for path, text in files.items() if text is not None})


def test_parameters_that_differ() -> None:
    assert differing([{"a": 1, "b": 2, "c": [1]}, {"b": 3, "c": [1], "d": None}]) == ["a", "b", "d"]


def test_the_same_pictures() -> None:
    run = make_run("seam", digest="x")
    assert same_pictures(run, make_run("eps", digest="x", prepare_data__kind="shapes"))
    # other bytes: only if it is the saliency that differs
    assert same_pictures(run, make_run("eps", digest="y", prepare_data__saliency="estimated"))
    assert not same_pictures(run, make_run("eps", digest="y"))
    assert not same_pictures(run, make_run("eps", digest="y", prepare_data__size=96))
    both = {"prepare_data__size": 96, "prepare_data__saliency": "estimated"}
    assert not same_pictures(run, make_run("eps", digest="y", **both))
    assert not same_pictures(run, make_run("eps", digest="x", data="voc2012"))
