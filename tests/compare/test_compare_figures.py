"""Which figures are a run's own, by its lock file."""

import json
from typing import Any

import pytest
import yaml

from hsc.base.errors import HscError
from hsc.compare.figures import FIGURES, digest_of, is_current, read_figure, read_lock
from tests.experiment_repository import md5, metric_files, run_files
from tests.import_closure import ROOT

PARAMS = {"data": "shapes", "seed": 1, "hsc": {"gamma": 0.1}}
RECIPE = {"prepare_data": {"seed": 0}, "refine_crf": {"iterations": 10}}
SETTINGS = {"params.yaml": PARAMS, "recipes/shapes.yaml": RECIPE}
SCORES = {name: {"mIoU": 50.0 + index} for index, name in enumerate(FIGURES)}


def lock_of(*reached: str) -> dict[str, Any]:
    figures = {name: SCORES[name] for name in reached}
    left = {name: SCORES[name] for name in FIGURES if name not in reached}
    return read_lock(run_files(PARAMS, RECIPE, figures, left)["dvc.lock"])


def changed(path: str, **changes: Any) -> dict[str, Any]:
    return {**SETTINGS, path: {**SETTINGS[path], **changes}}


def test_a_stage_is_current_only_if_everything_before_it_is() -> None:
    lock = lock_of("seeds", "crf")
    found = {name: is_current(lock, figure.stage, SETTINGS) for name, figure in FIGURES.items()}
    assert found == {"seeds": True, "crf": True, "masks": False, "val": False}
    assert not is_current(lock, "no_such_stage")


def test_parameters_that_were_not_run_are_seen() -> None:
    """The bytes of what the CRF reads are the same with other iterations."""
    lock = lock_of("seeds", "crf")
    other_crf = changed("recipes/shapes.yaml", refine_crf={"iterations": 5})
    assert is_current(lock, "make_seeds", other_crf)
    assert not is_current(lock, "evaluate@crf", other_crf)
    assert is_current(lock, "evaluate@crf")
    other_seed = changed("params.yaml", seed=2)
    assert not is_current(lock, "make_seeds", other_seed)
    assert not is_current(lock, "make_seeds", {"params.yaml": PARAMS})


def test_the_projects_own_lock_file_is_read_as_a_whole() -> None:
    text = (ROOT / "dvc.lock").read_text(encoding="utf-8")
    whole = yaml.safe_load(text)["stages"]
    assert read_lock(text) == whole
    assert all(is_current(whole, figure.stage) for figure in FIGURES.values())


@pytest.mark.parametrize(
    "text", ["", "a: 1\n", "stages:\n<<<<<<< HEAD\n", "stages: 1", "stages: {a: 1}"]
)
def test_no_lock_file(text: str) -> None:
    with pytest.raises(HscError, match=r"dvc\.lock: no lock file"):
        read_lock(text)


def test_a_figure_is_the_content_of_its_file() -> None:
    lock, texts = lock_of("seeds"), metric_files(SCORES)
    assert read_figure(lock, FIGURES["seeds"], texts, SETTINGS) == {**SCORES["seeds"], "IoU": {}}
    assert read_figure(lock, FIGURES["crf"], texts, SETTINGS) is None


def test_runs_of_older_code_have_all_in_one_file() -> None:
    scores = {"mIoU": 1.0, "IoU": {"cat": 2.0}}
    text = json.dumps(scores)
    out = {"path": "metrics/seeds.json", "md5": md5(text)}
    lock = {"make_seeds": {"deps": [], "outs": [out]}}
    assert read_figure(lock, FIGURES["seeds"], {"metrics/seeds.json": text}, None) == scores


def test_a_file_that_is_missing_or_was_edited() -> None:
    lock = lock_of("seeds")
    whole = metric_files(SCORES)
    for path in ("metrics/seeds.json", "metrics/seeds_classes.json"):
        with pytest.raises(HscError, match=f"{path} is missing"):
            read_figure(lock, FIGURES["seeds"], {**whole, path: None}, SETTINGS)
        with pytest.raises(HscError, match=f"{path} is not what dvc.lock says"):
            read_figure(lock, FIGURES["seeds"], {**whole, path: '{"mIoU": 99}'}, SETTINGS)


def test_digests_are_those_of_the_lock() -> None:
    lock = lock_of("seeds")
    assert len(digest_of(lock, "prepare_data", "outputs/data/shapes") or "") == 32
    assert digest_of(lock, "prepare_data", "outputs/data/voc2012") is None
    assert digest_of(lock, "no_such_stage", "outputs/data/shapes") is None
