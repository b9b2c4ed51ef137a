"""Collecting from a throwaway repository with made-up experiments."""

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from benchmarks import collect
from benchmarks.experiments import experiment_refs
from benchmarks.rows import parse_name
from benchmarks.runs import read_runs
from hsc.errors import HscError

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


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def lock_of(seed: int, crf_of: int, files: dict[str, str]) -> str:
    """A lock file: seeds made from the CAMs of `seed`, the CRF's labels from those of `crf_of`."""

    def out(path: str, text: str) -> dict[str, str]:
        return {"path": path, "md5": md5(text)}

    stages: dict[str, Any] = {
        "train_cam": {"deps": [out("stages/train_cam.py", "code")]},
        "make_seeds": {
            "deps": [out("outputs/cam.pt", f"cam {seed}")],
            "outs": [
                out("outputs/seeds", f"seeds {seed}"),
                out("metrics/seeds.json", files["metrics/seeds.json"]),
            ],
        },
        "refine_crf": {
            "deps": [out("outputs/seeds", f"seeds {crf_of}")],
            "outs": [out("outputs/crf", f"crf {crf_of}")],
        },
        "evaluate@crf": {
            "deps": [out("outputs/crf", f"crf {crf_of}")],
            "outs": [out("metrics/crf.json", files["metrics/crf.json"])],
        },
    }
    stages["train_cam"]["outs"] = [out("outputs/cam.pt", f"cam {seed}")]
    return yaml.safe_dump({"schema": "2.0", "stages": stages})


class Repository:
    """A git repository with one commit of code, and experiments upon it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "--initial-branch=main")
        self.write({"code.py": "1"})
        self.git("add", "code.py")
        self.parent = self.commit("code")

    def git(self, *words: str, day: int = 1) -> str:
        person = [
            "-c",
            "user.name=A",
            "-c",
            "user.email=a@example.org",
            "-c",
            "commit.gpgsign=false",
        ]
        return subprocess.run(
            ["git", *person, *words], cwd=self.folder, check=True, capture_output=True, text=True,
            env=os.environ | {"GIT_COMMITTER_DATE": f"2026-01-{day:02}T10:00:00+0000"},
        ).stdout.strip()  # fmt: skip

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    def commit(self, message: str, day: int = 1) -> str:
        self.git("add", "--all")
        self.git("commit", "--message", message, day=day)
        return self.git("rev-parse", "HEAD")

    def experiment(
        self, name: str, seeds: float, crf_of: int | None = None, day: int = 1, **changes: Any
    ) -> str:
        """Add one; without crf_of its CRF is that of the commit before (of seed 99)."""
        row, data_seed, seed = parse_name(name) or pytest.fail(name)
        files = {
            "metrics/seeds.json": json.dumps({"best_mIoU": seeds, "best_threshold": 0.29}),
            "metrics/crf.json": json.dumps({"mIoU": seeds + 9}),
        }
        files["dvc.lock"] = lock_of(seed, 99 if crf_of is None else crf_of, files)
        params: dict[str, Any] = {"data": "shapes", "seed": seed, "hsc": {}, "eps": {}}
        for override in row.overrides:
            path, value = override.split("=")
            *section, key = path.split(".")
            (params[section[0]] if section else params)[key] = yaml.safe_load(value)
        files["params.yaml"] = yaml.safe_dump(params | changes)
        files["recipes/shapes.yaml"] = yaml.safe_dump({"prepare_data": {"seed": data_seed}})
        self.write(files)
        sha = self.commit(name, day)
        self.git("update-ref", f"refs/exps/{self.parent[:2]}/{self.parent[2:]}/{name}", sha)
        self.git("reset", "--hard", self.parent)
        return sha


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
        result = CliRunner().invoke(collect.main, ["--out", str(tmp_path / "runs.json"), *words])
        return result.exit_code, result.output

    return run


def test_a_run_is_read_whole(
    repository: Repository, run_collect: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    sha = repository.experiment("eps-control-d1-s2", 75.5, crf_of=2, day=3)
    code, output = run_collect()
    assert code == 0, output
    assert "1 runs, 1 of them new" in output
    run = read_runs(tmp_path / "runs.json")["eps-control-d1-s2"]
    assert (run.row, run.data_seed, run.seed) == ("eps-control", 1, 2)
    assert (run.seeds, run.threshold, run.crf, run.val) == (75.5, 0.29, 84.5, None)
    assert (run.experiment, run.commit) == (sha, repository.parent)
    assert run.date.isoformat() == "2026-01-03T10:00:00+00:00"
    assert run.torch[0].isdigit()


def test_metrics_left_from_other_parameters_are_not_the_runs(repository: Repository) -> None:
    repository.experiment("seam-d0-s1", 45.0)
    run = collect.read_experiment(experiment_refs()[0])
    assert run is not None
    assert (run.seeds, run.crf, run.val) == (45.0, None, None)


def test_other_references_are_left_alone(repository: Repository) -> None:
    sha = repository.experiment("seam-d0-s1", 45.0)
    repository.git("update-ref", "refs/exps/celery/stash", sha)
    repository.git("update-ref", "refs/exps/exec/EXEC_HEAD", sha)
    repository.git("update-ref", f"refs/exps/{'a' * 2}/{'b' * 38}/my-own", sha)
    refs = experiment_refs()
    assert sorted(ref.name for ref in refs) == ["my-own", "seam-d0-s1"]
    assert [ref.parent for ref in refs if ref.name == "my-own"] == ["a" * 2 + "b" * 38]
    found = [collect.read_experiment(ref) for ref in refs]
    assert [run.name for run in found if run is not None] == ["seam-d0-s1"]


def test_the_file_grows_and_the_later_run_counts(
    repository: Repository, run_collect: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    repository.experiment("seam-d0-s1", 45.0)
    run_collect()
    ref = f"refs/exps/{repository.parent[:2]}/{repository.parent[2:]}/seam-d0-s1"
    repository.git("update-ref", "-d", ref)
    repository.experiment("seam-d0-s2", 46.0)
    assert "2 runs, 1 of them new" in run_collect()[1]
    repository.experiment("seam-d0-s1", 47.0, day=2)
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
    repository.experiment("seam-d0-s1", 45.0, **changes)
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
    repository.experiment("seam-d0-s1", 45.0)
    ref = experiment_refs()[0]
    repository.git("checkout", "--detach", ref.sha)
    repository.write({"metrics/seeds.json": '{"best_mIoU": 99, "best_threshold": 0.5}'})
    sha = repository.commit("edited")
    with pytest.raises(HscError, match=r"metrics/seeds\.json is not what dvc\.lock says"):
        collect.read_experiment(type(ref)(ref.name, sha, ref.parent))


def test_a_stage_is_current_only_if_everything_before_it_is() -> None:
    files = {"metrics/seeds.json": "", "metrics/crf.json": ""}
    fresh = yaml.safe_load(lock_of(1, 1, files))["stages"]
    assert collect.is_current(fresh, "evaluate@crf")
    assert not collect.is_current(fresh, "evaluate@val")
    stale = yaml.safe_load(lock_of(1, 99, files))["stages"]
    assert collect.is_current(stale, "make_seeds")
    assert not collect.is_current(stale, "evaluate@crf")


def test_seconds_come_from_the_summary_lines() -> None:
    assert collect.stage_seconds(LOG) == {"train_cam": 58.1, "infer_cams": 19.8}
    assert collect.stage_seconds("Stage 'train_cam' is cached - skipping run\n") == {}


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
    repository.experiment("seam-d0-s1", 45.0)
    repository.experiment("seam-d0-s2", 46.0)
    run_collect()
    assert not asked
    for _ in range(2):
        run_collect("--logs")
    runs = read_runs(tmp_path / "runs.json")
    assert runs["seam-d0-s1"].seconds == {"train_cam": 58.1, "infer_cams": 19.8}
    assert runs["seam-d0-s2"].seconds == {}
    assert [words[-1] for words in asked] == ["seam-d0-s1", "seam-d0-s2", "seam-d0-s2"]
