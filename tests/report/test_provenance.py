"""hsc.report.provenance: the commit with its overrides, versions, digests, changed parameters."""

import dataclasses
import hashlib
import subprocess
from pathlib import Path

import pytest
import yaml

from hsc.base.errors import HscError
from hsc.base.off import write_off_file
from hsc.base.run_record import RunRecord
from hsc.report.provenance import (
    Change,
    Weights,
    read_changes,
    read_commit,
    read_versions,
    read_weights,
)
from hsc.report.timings import STAGES, Timing
from tests.stage_runs import change

PARAMS = {"seed": 0, "data": "shapes", "baseline": "seam", "hsc": {"gamma": 0.1, "class": True}}
RECIPE = {"train_cam": {"seam": {"lr": 0.001, "sizes": [62, 96]}}}


def git(folder: Path, *arguments: str) -> str:
    settings = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", "-C", str(folder), *settings, *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def params(tmp_path: Path) -> Path:
    (tmp_path / "recipes").mkdir()
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(PARAMS))
    (tmp_path / "recipes" / "shapes.yaml").write_text(yaml.safe_dump(RECIPE))
    return path


@pytest.fixture
def recipe(params: Path) -> Path:
    return params.parent / "recipes" / "shapes.yaml"


@pytest.fixture
def repository(params: Path) -> Path:
    folder = params.parent
    for name in ("code.py", "dvc.lock"):
        (folder / name).write_text("1\n")
    (folder / "metrics").mkdir()
    (folder / "metrics" / "val.json").write_text("{}")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def test_a_clean_copy(repository: Path, params: Path, recipe: Path) -> None:
    commit = read_commit(params, recipe)
    assert commit is not None
    assert commit.sha == git(repository, "rev-parse", "HEAD")
    assert (commit.changed, commit.overrides) == ((), ())
    assert commit.command == "dvc repro"


def test_what_a_run_writes_is_no_change_of_the_code(
    repository: Path, params: Path, recipe: Path
) -> None:
    for name in ("dvc.lock", "metrics/val.json"):
        (repository / name).write_text("2\n")
    (repository / "untracked.txt").write_text("notes\n")
    commit = read_commit(params, recipe)
    assert commit is not None
    assert commit.changed == ()
    (repository / "code.py").write_text("2\n")
    commit = read_commit(params, recipe)
    assert commit is not None
    assert commit.changed == ("code.py",)


def test_parameters_that_differ_become_overrides(
    repository: Path, params: Path, recipe: Path
) -> None:
    change(params, baseline="eps", hsc__gamma=0.05, **{"hsc__class": False})
    change(recipe, train_cam__seam__sizes=[40, 80], train_cam__seam__clip_norm=None)
    commit = read_commit(params, recipe)
    assert commit is not None
    assert commit.changed == ()
    assert set(commit.overrides or ()) == {
        "baseline=eps",
        "hsc.gamma=0.05",
        "hsc.class=false",
        "recipes/shapes.yaml:train_cam.seam.sizes=[40, 80]",
        "recipes/shapes.yaml:train_cam.seam.clip_norm=null",
    }
    assert commit.command.startswith("dvc exp run -S ")
    assert "-S 'recipes/shapes.yaml:train_cam.seam.sizes=[40, 80]'" in commit.command


def test_what_is_no_override_is_none(repository: Path, params: Path, recipe: Path) -> None:
    values = yaml.safe_load(params.read_text())
    del values["hsc"]["gamma"]
    params.write_text(yaml.safe_dump(values))
    commit = read_commit(params, recipe)
    assert commit is not None
    assert commit.overrides is None
    other = recipe.with_name("new.yaml")
    other.write_text(yaml.safe_dump(RECIPE))
    change(params, hsc__gamma=0.1)
    commit = read_commit(params, other)
    assert commit is not None
    assert commit.overrides is None


def test_no_repository_no_commit_and_none_of_another_project(
    params: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_commit(params, recipe) is None
    git(params.parent, "init", "-q")
    assert read_commit(params, recipe) is None  # not tracked
    git(params.parent, "add", ".")
    assert read_commit(params, recipe) is None  # no commit yet
    monkeypatch.setenv("PATH", "")
    assert read_commit(params, recipe) is None  # no git


def lock(params: Path, **stages: dict) -> Path:
    path = params.with_name("dvc.lock")
    path.write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}, sort_keys=False))
    return path


def test_parameters_as_the_lock_has_them(params: Path, recipe: Path) -> None:
    then = {"params.yaml": {"baseline": "seam", "hsc": PARAMS["hsc"]}}
    path = lock(params, train_cam={"params": then}, make_cams={})
    assert read_changes(path, params, recipe) == ()
    assert read_changes(path.with_name("other.lock"), params, recipe) == ()


def test_changed_parameters_are_told_with_their_stages(params: Path, recipe: Path) -> None:
    path = lock(
        params,
        train_cam={
            "params": {
                "params.yaml": {"baseline": "seam", "hsc": PARAMS["hsc"], "psa.enabled": False},
                "recipes/shapes.yaml": {"train_cam.seam": RECIPE["train_cam"]["seam"]},
                "recipes/other.yaml": {"network": {"widths": [1]}},
            }
        },
        infer_cams={"params": {"params.yaml": {"baseline": "seam"}}},
    )
    change(params, baseline="eps", hsc__gamma=0.2, psa={"enabled": False})
    change(recipe, train_cam__seam__lr=0.01)
    assert read_changes(path, params, recipe) == (
        Change("baseline", "seam", "eps", ("train_cam", "infer_cams")),
        Change("hsc.gamma", "0.1", "0.2", ("train_cam",)),
        Change("train_cam.seam.lr", "0.001", "0.01", ("train_cam",)),
    )


@pytest.mark.parametrize("text", ["stages: [", "[]", "a: 1", "stages: {x: {params: 3}}"])
def test_a_broken_lock_is_named(params: Path, recipe: Path, text: str) -> None:
    path = params.with_name("dvc.lock")
    path.write_text(text)
    with pytest.raises(HscError, match=r"dvc\.lock: cannot be read"):
        read_changes(path, params, recipe)


def test_weights_with_their_digests(tmp_path: Path) -> None:
    (tmp_path / "cam.pt").write_bytes(b"weights")
    (tmp_path / "cams.h5").write_bytes(b"maps")
    (tmp_path / "report.html").write_bytes(b"no weights")
    write_off_file(tmp_path / "affinity.pt")
    off, cam, cams = read_weights(tmp_path)
    assert (off.file, off.sha256) == ("affinity.pt", None)
    assert cam == Weights("cam.pt", 7, hashlib.sha256(b"weights").hexdigest())
    assert cams.file == "cams.h5"
    assert read_weights(tmp_path / "none") == ()


def test_a_digest_that_a_record_has_is_taken_from_it(tmp_path: Path) -> None:
    (tmp_path / "cam.pt").write_bytes(b"weights")
    stage = next(each for each in STAGES if each.name == "train_cam")
    (cam,) = read_weights(tmp_path, [dataclasses.replace(timing(7), stage=stage)])
    assert cam.sha256 == "7"


def timing(number: int, **versions: str) -> Timing:
    record = RunRecord(
        stage="x", product="y", digest=str(number), seconds=1.0, peak_bytes=1, peak_child_bytes=0,
        peak_gpu_bytes=None, device=None, finished="", versions=versions,
    )  # fmt: skip
    return Timing(STAGES[number], True, False, record)


def test_versions_of_here_and_of_stages_that_had_others() -> None:
    import numpy as np

    found = {
        version.name: version
        for version in read_versions(
            [
                timing(2, torch="1.0", numpy=np.__version__),
                timing(3, torch="1.0", odd="7"),
                timing(4, torch="2.0"),
                Timing(STAGES[5], True, False, None),
            ]
        )
    }
    assert found["numpy"].now == np.__version__
    assert found["numpy"].then == ()
    assert found["torch"].then == (("1.0", ("train_cam", "infer_cams")), ("2.0", ("make_seeds",)))
    assert (found["odd"].now, found["odd"].then) == (None, (("7", ("infer_cams",)),))
    assert "python" in found
