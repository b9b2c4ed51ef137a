"""Trainings that torchrun starts in two processes (Gloo, on the CPU), against one process."""

import csv
import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hsc.nets.weights import load_whole
from tests.stage_runs import (
    ROOT,
    change,
    contents,
    environment,
    run_here,
    run_well,
    stage,
    write_settings,
)
from tests.terminal import run_on_terminal

pytestmark = pytest.mark.usefixtures("cpu")

Together = Callable[[str], tuple[Path, str]]

# By training how far a weight may be off. SGD's steps are as exact as the gradients; the warm-up's
# AdamW divides by them, so that the rounding of one near 0 shows, a few hundredths of a step of
# 3e-3. In float64 the layers and the losses agree to 1e-9 (test_distributed, test_whole_batch).
TOLERANCE = {
    "prepare_backbone": 3e-4,
    "train_cam": 1e-5,
    "train_affinity": 1e-5,
    "train_segmentation": 1e-5,
}
RECIPE = Path("recipes/shapes.yaml")
KILLED = """
import os, signal, sys
from hsc.methods.method import Method
from stages.train_cam import main

losses, calls = Method.losses, iter(range(5))

def dying(self, batch):
    if next(calls, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
    return losses(self, batch)

Method.losses = dying
main()
"""


def torchrun(folder: Path, *what: str) -> subprocess.CompletedProcess[str]:
    """Start two processes in `folder`; their stderr is a terminal."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return run_on_terminal(
        [sys.executable, *launcher, *what],
        folder,
        environment(GLOO_SOCKET_IFNAME="lo"),
        stdout=subprocess.PIPE,
    )


def by_variable(folder: Path, *what: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The same by `HSC_GPUS`, as `dvc repro` starts a stage."""
    return run_on_terminal(
        [sys.executable, *what],
        folder,
        environment(GLOO_SOCKET_IFNAME="lo", HSC_GPUS="2", **variables),
        stdout=subprocess.PIPE,
    )


def arguments(name: str) -> list[str]:
    """A stage's command as dvc.yaml has it, without `python`."""
    return shlex.split(stage(name).cmd)[1:]


def weights(folder: Path, name: str) -> dict[str, Tensor]:
    return load_whole(folder / stage(name).outs[0])["state"]


def table(folder: Path, name: str) -> list[dict[str, float]]:
    (path,) = (path for path in stage(name).outs if path.endswith(".csv"))
    with (folder / path).open() as stream:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(stream)]


def check_close(folder: Path, other: Path, name: str) -> None:
    """Every weight that the training wrote is the same up to rounding."""
    found, expected = weights(folder, name), weights(other, name)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert (found[key] - value).abs().max() <= TOLERANCE[name], key


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that the trainings read. Dropout is on everywhere; SGD: see TOLERANCE."""
    folder = tmp_path_factory.mktemp("start")
    write_settings(folder)
    change(folder / RECIPE, train_cam__seam__head_dropout=0.5)
    change(folder / RECIPE, segmentation_network__head__dropout=0.5)
    sgd = {"optimiser": "sgd", "momentum": 0.9}
    change(folder / RECIPE, **{f"train_cam__seam__{key}": value for key, value in sgd.items()})
    for name in ("train_affinity", "train_segmentation__deeplab"):
        change(folder / RECIPE, **{f"{name}__{key}": value for key, value in sgd.items()})
    change(folder / "params.yaml", psa__enabled=True)
    run_well(stage("prepare_data"), folder)
    run_well(stage("prepare_backbone"), folder)
    names = (
        (folder / "outputs/data/shapes/ImageSets/Segmentation/train_aug.txt").read_text().split()
    )
    for labels in ("masks", "affinity_labels"):
        (folder / "outputs" / labels).mkdir()
        for name in names:
            shutil.copy(
                folder / f"outputs/data/shapes/SegmentationClass/{name}.png",
                folder / "outputs" / labels,
            )
    return folder


@pytest.fixture(scope="module")
def two(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Together:
    """`two(training)`: the folder in which two processes have run it, and what they printed."""

    @functools.cache
    def run(name: str) -> tuple[Path, str]:
        folder = shutil.copytree(start, tmp_path_factory.mktemp("two") / "work")
        stage(name).clear(folder)
        done = torchrun(folder, *arguments(name))
        assert done.returncode == 0, done.stderr
        shown = re.findall(r"(?:training|warm-up): +0%\|", done.stderr)
        assert len(shown) == 1, "one progress bar"
        return folder, done.stdout

    return run


@pytest.mark.parametrize("name", TOLERANCE)
def test_two_processes_train_what_one_trains(
    start: Path, two: Together, tmp_path: Path, name: str
) -> None:
    one = shutil.copytree(start, tmp_path / "one")
    stage(name).clear(one)
    run_well(stage(name), one)
    folder, printed = two(name)
    assert contents(folder).keys() == contents(one).keys(), "one set of outputs, nothing beside it"
    (line,) = printed.splitlines()
    assert line.startswith(f"{stage(name).outs[0]}: ")

    rows, expected_rows = table(folder, name), table(one, name)
    assert len(rows) == len(expected_rows) > 2
    for row, expected in zip(rows, expected_rows, strict=True):
        assert row == pytest.approx(expected, rel=1e-5, abs=1e-5)
    check_close(folder, one, name)
    before, after = weights(start, "prepare_backbone"), weights(folder, name)
    if name != "prepare_backbone":
        assert not torch.equal(after["backbone.stem.weight"], before["stem.weight"]), "it trained"


def test_killed_and_started_again(start: Path, two: Together, tmp_path: Path) -> None:
    work = shutil.copytree(start, tmp_path / "work")
    (tmp_path / "killed.py").write_text(KILLED)
    done = torchrun(work, str(tmp_path / "killed.py"), *arguments("train_cam")[2:])
    assert done.returncode != 0
    (state,) = (work / ".hsc" / "resume").glob("*.pt")
    assert load_whole(state)["step"] == 4
    assert not (work / "outputs" / "cam.pt").exists()
    alone = shutil.copytree(work, tmp_path / "alone")
    done = torchrun(work, *arguments("train_cam"))
    assert done.returncode == 0, done.stderr
    assert contents(work) == contents(two("train_cam")[0]), "the same bytes, nothing left behind"
    run_well(stage("train_cam"), alone)  # one process can go on for two
    check_close(alone, work, "train_cam")


@pytest.mark.parametrize("name", ["prepare_backbone", "train_cam"])
def test_one_variable_starts_them(start: Path, two: Together, tmp_path: Path, name: str) -> None:
    work = shutil.copytree(start, tmp_path / "work")
    stage(name).clear(work)
    done = by_variable(work, *arguments(name))
    assert done.returncode == 0, done.stderr
    assert contents(work) == contents(two(name)[0]), "what torchrun's processes train"
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"{stage(name).outs[0]}: ")


def test_one_that_is_killed_ends_the_others(start: Path, two: Together, tmp_path: Path) -> None:
    """It is told; the next command goes on to the same bytes."""
    work = shutil.copytree(start, tmp_path / "work")
    stage("train_cam").clear(work)
    dying = "".join(KILLED.splitlines(keepends=True)[:-1]).replace(
        "from stages.train_cam import main\n", ""
    )
    (tmp_path / "sitecustomize.py").write_text(
        "import os\nif os.environ.get('RANK') == '1':\n" + textwrap.indent(dying, "    ")
    )
    search = f"{tmp_path}{os.pathsep}{ROOT}"
    done = by_variable(work, *arguments("train_cam"), PYTHONPATH=search)
    assert done.returncode != 0
    assert "Error: process 1 of 2 was ended by SIGKILL" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (work / "outputs" / "cam.pt").exists()
    done = by_variable(work, *arguments("train_cam"))
    assert done.returncode == 0, done.stderr
    assert contents(work) == contents(two("train_cam")[0]), "the same bytes, nothing left behind"


@pytest.mark.parametrize("start_two", [torchrun, by_variable])
def test_batch_that_does_not_divide(start: Path, tmp_path: Path, start_two: Callable) -> None:
    work = shutil.copytree(start, tmp_path / "work")
    change(work / RECIPE, train_cam__seam__batch_size=3)
    before = contents(work)
    done = start_two(work, *arguments("train_cam"))
    assert done.returncode != 0
    assert "Error: batch_size: 3 pictures cannot be shared among 2 processes; " in done.stderr
    if start_two is by_variable:
        assert done.stderr.count("Error: ") == 1, "told once"
    assert "step/s" not in done.stderr, "found before the training"
    assert contents(work) == before


def test_stages_for_one_process_refuse_more(start: Path) -> None:
    torchruns = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    result = run_here(stage("make_seeds"), start, **torchruns)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: torchrun: 2 processes, but this step takes one")
