"""Collecting from a throwaway repository with made-up experiments."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from benchmarks import collect
from benchmarks.rows import TABLES, parse_name
from benchmarks.runs import read_runs
from hsc.base.errors import HscError
from hsc.compare.experiments import experiment_refs
from tests.experiment_repository import Repository, run_files

SHAPES = TABLES["shapes"]
LOG = """\
Reproducing experiment 'seam-d0-s1'
Running stage 'train_cam':
> python -m stages.train_cam
CAM training: 400/400 step (100 %), 5.6 step/s, took 1:10, loss 0.4 (58.1 s)
outputs/cam.pt: seam, contrast none, 400 steps, loss 0.4312 (58.1 s)
outputs/cam.pt: kept (2)
Updating lock file 'dvc.lock'

outputs/cams.h5: CAMs of 480 pictures (19.8 s)
outputs/seeds: mIoU 45.00 % on train at threshold 0.29 (1.1 s)
"""


def add(
    repository: Repository,
    name: str,
    seeds: float,
    with_crf: bool = False,
    day: int = 1,
    **changes: Any,
) -> str:
    """Add an experiment of the table; without CRF that figure is an earlier run's."""
    _, row, data_seed, seed = parse_name(name) or pytest.fail(name)
    params: dict[str, Any] = {"data": "shapes", "seed": seed, "hsc": {}, "eps": {}}
    for override in row.overrides:
        path, value = override.split("=")
        *section, key = path.split(".")
        (params[section[0]] if section else params)[key] = yaml.safe_load(value)
    chosen = {"best_mIoU": seeds, "best_threshold": 0.29, "auto_mIoU": 41.5}
    figures = {"seeds": chosen, "crf": {"mIoU": seeds + 9}}
    left = {} if with_crf else {"crf": figures.pop("crf")}
    recipe = {"prepare_data": {"seed": data_seed}}
    return repository.experiment(name, run_files(params | changes, recipe, figures, left), day)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """Empty of experiments; the working directory is its folder."""
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return Repository(folder)


@pytest.fixture
def run_collect(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Call the command on the file that all calls share; exit code and output."""

    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(
            collect.main, ["--data", "shapes", "--out", str(tmp_path / "runs.json"), *words]
        )
        return result.exit_code, result.output

    return run


def test_a_run_is_read_whole(
    repository: Repository, run_collect: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    sha = add(repository, "eps-control-d1-s2", 75.5, with_crf=True, day=3)
    code, output = run_collect()
    assert code == 0, output
    assert "1 runs, 1 of them new" in output
    run = read_runs(tmp_path / "runs.json")["eps-control-d1-s2"]
    assert (run.row, run.data_seed, run.seed) == ("eps-control", 1, 2)
    assert (run.seeds, run.threshold, run.crf, run.val) == (75.5, 0.29, 84.5, None)
    assert (run.experiment, run.commit) == (sha, repository.parent)
    assert (run.data, run.auto, run.masks) == ("shapes", 41.5, None)
    assert run.date.isoformat() == "2026-01-03T10:00:00+00:00"
    assert run.torch[0].isdigit()


def test_metrics_left_from_other_parameters_are_not_the_runs(repository: Repository) -> None:
    add(repository, "seam-d0-s1", 45.0)
    run = collect.read_experiment(experiment_refs()[0], SHAPES)
    assert run is not None
    assert (run.seeds, run.crf, run.val) == (45.0, None, None)


def test_other_references_are_left_alone(repository: Repository) -> None:
    sha = add(repository, "seam-d0-s1", 45.0)
    repository.git("update-ref", "refs/exps/celery/stash", sha)
    repository.git("update-ref", "refs/exps/exec/EXEC_HEAD", sha)
    repository.git("update-ref", f"refs/exps/{'a' * 2}/{'b' * 38}/my-own", sha)
    refs = experiment_refs()
    assert sorted(ref.name for ref in refs) == ["my-own", "seam-d0-s1"]
    assert [ref.parent for ref in refs if ref.name == "my-own"] == ["a" * 2 + "b" * 38]
    found = [collect.read_experiment(ref, SHAPES) for ref in refs]
    assert [run.name for run in found if run is not None] == ["seam-d0-s1"]


def test_the_file_grows_and_the_later_run_counts(
    repository: Repository, run_collect: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    add(repository, "seam-d0-s1", 45.0)
    run_collect()
    ref = f"refs/exps/{repository.parent[:2]}/{repository.parent[2:]}/seam-d0-s1"
    repository.git("update-ref", "-d", ref)
    add(repository, "seam-d0-s2", 46.0)
    assert "2 runs, 1 of them new" in run_collect()[1]
    add(repository, "seam-d0-s1", 47.0, day=2)
    assert "2 runs, 0 of them new" in run_collect()[1]
    runs = read_runs(tmp_path / "runs.json")
    assert {name: run.seeds for name, run in runs.items()} == {
        "seam-d0-s1": 47.0,
        "seam-d0-s2": 46.0,
    }
    before = (tmp_path / "runs.json").read_bytes()
    run_collect()
    assert (tmp_path / "runs.json").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"seed": 5}, "run with 5 in place of seed=1"),
        ({"contrast": "hsc"}, "run with 'hsc' in place of contrast=none"),
        ({"data": "folder"}, "run with 'folder' in place of data=shapes"),
    ],
)
def test_a_name_that_is_wrong_is_refused(
    repository: Repository,
    run_collect: Callable[..., tuple[int, str]],
    changes: dict[str, Any],
    text: str,
) -> None:
    add(repository, "seam-d0-s1", 45.0, **changes)
    code, output = run_collect()
    assert code == 1
    assert f"seam-d0-s1: {text}" in output


def test_values_are_compared_as_yaml() -> None:
    assert collect.value_of({"hsc": {"roi": False}}, "hsc.roi=false") == (False, False)
    assert collect.value_of({"hsc": {"crf": "none"}}, "hsc.crf=none") == ("none", "none")
    assert collect.value_of({"hsc": 1}, "hsc.roi.more=1") == (1, None)
    recipe = {"prepare_data": {"seed": 3}}
    assert collect.value_of(recipe, "recipes/shapes.yaml:prepare_data.seed=3") == (3, 3)


def test_a_metric_that_was_edited_is_refused(repository: Repository) -> None:
    add(repository, "seam-d0-s1", 45.0)
    ref = experiment_refs()[0]
    repository.git("checkout", "--detach", ref.sha)
    repository.write({"metrics/seeds.json": '{"best_mIoU": 99, "best_threshold": 0.5}'})
    sha = repository.commit("edited")
    with pytest.raises(HscError, match=r"metrics/seeds\.json is not what dvc\.lock says"):
        collect.read_experiment(type(ref)(ref.name, sha, ref.parent), SHAPES)


def test_seconds_come_from_the_summary_lines() -> None:
    assert collect.stage_seconds(LOG) == {"train_cam": 58.1, "infer_cams": 19.8}
    assert collect.stage_seconds("Stage 'train_cam' is cached - skipping run\n") == {}


def test_the_time_to_score_labels_is_not_that_to_make_them() -> None:
    log = """\
outputs/crf: CRF labels of 869 pictures (4 min 18 s)
outputs/crf: mIoU 53.02 % over 7 classes, 869 pictures of train (1.9 s)
outputs/masks: 869 pseudo labels, linked to outputs/crf (0.3 s)
outputs/masks: mIoU 53.02 % over 7 classes, 869 pictures of train (1.8 s)
outputs/predictions: 443 predictions of val (3 min 57 s)
outputs/predictions: mIoU 30.68 % over 7 classes, 443 pictures of val (1.5 s)
"""
    expected = {"refine_crf": 258, "refine_masks": 0.3, "predict_segmentation": 237}
    assert collect.stage_seconds(log) == expected


@pytest.mark.parametrize(
    ("said", "seconds"), [("2 min 03 s", 123), ("1 h 02 min", 3720), ("12.3 s", 12.3)]
)
def test_seconds_of_long_stages(said: str, seconds: float) -> None:
    log = LOG.replace("58.1 s", said)
    assert collect.stage_seconds(log) == {"train_cam": seconds, "infer_cams": 19.8}


def test_the_last_run_of_a_stage_counts() -> None:
    log = LOG + "outputs/cam.pt: seam, contrast none, 400 steps, loss 0.4 (3 min 00 s)\n"
    assert collect.stage_seconds(log)["train_cam"] == 180


def test_logs_are_read_where_seconds_are_missing(
    repository: Repository,
    run_collect: Callable[..., tuple[int, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    asked = []

    def dvc(*words: str) -> str:
        asked.append(words)
        if words[-1] == "seam-d0-s2":
            raise HscError("no such task")
        return LOG

    monkeypatch.setattr(collect, "dvc", dvc)
    add(repository, "seam-d0-s1", 45.0)
    add(repository, "seam-d0-s2", 46.0)
    run_collect()
    assert not asked
    for _ in range(2):
        run_collect("--logs")
    runs = read_runs(tmp_path / "runs.json")
    assert runs["seam-d0-s1"].seconds == {"train_cam": 58.1, "infer_cams": 19.8}
    assert runs["seam-d0-s2"].seconds == {}
    assert [words[-1] for words in asked] == ["seam-d0-s1", "seam-d0-s2", "seam-d0-s2"]
