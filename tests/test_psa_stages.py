"""PSA's stages as dvc.yaml writes them, on a tiny data set: on, off, killed, with bad input."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hsc.base.made import MARK
from hsc.base.off import NO_STEPS, OFF
from hsc.data.label_maps import read_labels
from hsc.data.voc import VocFolder, write_mask
from hsc.psa.network import load_affinity_network
from tests.stage_runs import (
    change,
    contents,
    environment,
    error_line,
    remove,
    run_here,
    run_process,
    run_well,
    stage,
    stages,
    write_settings,
)

pytestmark = pytest.mark.usefixtures("cpu")

DATA = "outputs/data/shapes"
PARAMS, RECIPE = Path("params.yaml"), Path("recipes/shapes.yaml")
STAGES = ("label_affinity", "train_affinity", "refine_masks")
NAMES = [each.name for each in stages()]
SHARED = NAMES[: NAMES.index("refine_crf") + 1]
"""What runs alike with and without PSA."""


@pytest.fixture(scope="module")
def off(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all stages up to the masks have run with PSA off."""
    folder = tmp_path_factory.mktemp("off")
    write_settings(folder)
    for name in (*SHARED, *STAGES):
        run_well(stage(name), folder)
    return folder


@pytest.fixture(scope="module")
def on(off: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with PSA on, its stages as processes of their own, and the masks' scores."""
    folder = shutil.copytree(off, tmp_path_factory.mktemp("on") / "work")
    change(folder / PARAMS, psa__enabled=True)
    for name in (*STAGES, "evaluate_masks"):
        stage(name).clear(folder)
        done = run_process(stage(name), folder)
        assert done.returncode == 0, f"{name}: {done.stderr}"
        (line,) = done.stdout.splitlines()
        assert line.endswith(" s)")
    return folder


@pytest.fixture
def work(on: Path, tmp_path: Path) -> Path:
    """A copy of it, to break or to run stages in."""
    return shutil.copytree(on, tmp_path / "work")


def again(folder: Path, *names: str) -> None:
    for name in names:
        stage(name).clear(folder)
        run_well(stage(name), folder)


def fail(folder: Path, name: str) -> str:
    """Run a stage that must fail; its error line. It leaves every file as it was."""
    stage(name).clear(folder)
    before = contents(folder)
    result = run_here(stage(name), folder)
    assert result.exit_code == 1, result.output
    assert contents(folder) == before
    return error_line(result.stderr)


# Off


def test_off_writes_marks_and_links_the_crf(off: Path) -> None:
    outputs = off / "outputs"
    assert {path.name for path in (outputs / "affinity_labels").iterdir()} == {"off.txt", MARK}
    assert (outputs / "affinity.pt").read_text() == OFF
    assert (off / "plots" / "train_affinity.csv").read_text() == NO_STEPS
    for mask in (outputs / "masks").glob("*.png"):
        assert mask.samefile(outputs / "crf" / mask.name)


def test_off_other_parameters_of_psa_change_nothing(off: Path, tmp_path: Path) -> None:
    """So DVC, which compares outputs, runs nothing after these stages again."""
    folder = shutil.copytree(off, tmp_path / "work")
    settings = ("params.yaml", "recipes/shapes.yaml")
    before = {path: data for path, data in contents(folder).items() if path not in settings}
    change(folder / RECIPE, label_affinity__alpha_low=1)
    change(folder / RECIPE, refine_masks__beta=2, refine_masks__background="constant")
    again(folder, *STAGES)
    after = contents(folder)
    assert {path: after[path] for path in before} == before


@pytest.mark.parametrize("name", STAGES)
def test_off_takes_no_torch(off: Path, tmp_path: Path, name: str) -> None:
    """It would be loaded for nothing in every run without PSA."""
    folder = shutil.copytree(off, tmp_path / "work")
    stage(name).clear(folder)
    code = f"import sys, stages.{name} as s; s.main([], standalone_mode=False); "
    code += "sys.exit('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_of_several_processes_one_writes_the_marks(off: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(off, tmp_path / "work")
    stage("train_affinity").clear(folder)
    places = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    result = run_here(stage("train_affinity"), folder, RANK="1", LOCAL_RANK="1", **places)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert not (folder / "outputs" / "affinity.pt").exists()
    run_here(stage("train_affinity"), folder, RANK="0", LOCAL_RANK="0", **places)
    assert (folder / "outputs" / "affinity.pt").read_text() == OFF


# On


def test_labels_are_of_tagged_classes_background_and_doubt(on: Path) -> None:
    folder = VocFolder(on / DATA)
    labels = on / "outputs" / "affinity_labels"
    assert len(list(labels.glob("*.png"))) == 12
    seen = set()
    for image_id in folder.ids("train_aug"):
        found = read_labels(labels, image_id)
        assert found.shape == folder.size(image_id)
        tagged = np.flatnonzero(folder.tags(image_id)) + 1
        assert set(np.unique(found)) <= {0, 255, *tagged}
        seen |= set(np.unique(found))
    assert {0, 255} < seen


def test_the_network_and_its_losses(on: Path) -> None:
    network, spec = load_affinity_network(on / "outputs" / "affinity.pt")
    assert spec["radius"] == 3
    assert spec["output_stride"] == 4
    assert len(network.offsets) == 12
    with (on / "plots" / "train_affinity.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["step"] for row in rows] == ["0", "1", "2", "3"]
    assert ",".join(rows[0]) + "\n" == NO_STEPS
    assert all(np.isfinite(float(row["loss"])) for row in rows)


def test_masks_are_not_the_crf_s(on: Path) -> None:
    folder = VocFolder(on / DATA)
    differing = 0
    for image_id in folder.ids("train_aug"):
        mask, crf = (read_labels(on / "outputs" / name, image_id) for name in ("masks", "crf"))
        assert mask.shape == folder.size(image_id)
        assert set(np.unique(mask)) <= {0, *(np.flatnonzero(folder.tags(image_id)) + 1)}
        differing += (mask != crf).any()
    assert differing > 6
    assert json.loads((on / "metrics" / "masks.json").read_text())["images"] == 8


def test_a_second_run_gives_the_same_bytes(on: Path, work: Path) -> None:
    """In one process with one CRF process, where the first had a process a stage and two."""
    again(work, *STAGES)
    assert contents(work) == contents(on)


def test_masks_of_the_data_set_are_never_read(on: Path, work: Path) -> None:
    remove(work / DATA / "SegmentationClass")
    again(work, *STAGES)
    kept = {k: v for k, v in contents(on).items() if "SegmentationClass" not in k}
    assert contents(work) == kept


def test_turned_off_again_the_masks_are_the_crf_s(off: Path, work: Path) -> None:
    change(work / PARAMS, psa__enabled=False)
    again(work, *STAGES)
    outputs = {path: data for path, data in contents(off).items() if path.startswith("outputs")}
    assert {path: contents(work)[path] for path in outputs} == outputs


KILLER = """
import os, signal, sys
from hsc.psa.training import AffinityObjective
from stages.train_affinity import main

losses, calls = AffinityObjective.losses, iter(range(3))

def dying(self, batch):
    if next(calls, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
    return losses(self, batch)

AffinityObjective.losses = dying
main([])
"""


def test_training_killed_and_started_again(on: Path, work: Path) -> None:
    stage("train_affinity").clear(work)
    done = subprocess.run(
        [sys.executable, "-c", KILLER], cwd=work, env=environment(), capture_output=True
    )
    assert done.returncode == -9
    assert not (work / "outputs" / "affinity.pt").exists()
    (state,) = (work / ".hsc" / "resume").glob("*.pt")
    assert torch.load(state, weights_only=True)["step"] == 2
    run_well(stage("train_affinity"), work)
    assert contents(work) == contents(on), "the same bytes, nothing left behind"


@pytest.mark.parametrize("name", ["label_affinity", "refine_masks"])
def test_a_stage_that_breaks_off_leaves_nothing(
    work: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its fifth picture."""
    calls = iter(range(4))

    def full(*_: object) -> None:
        if next(calls, None) is None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("hsc.crf.stage.write_mask", full)
    message = fail(work, name)
    assert message.startswith(f"{stage(name).outs[0]}: no space left")


# Bad input


def test_stages_in_the_wrong_order(off: Path, tmp_path: Path) -> None:
    """PSA was turned on and the stages before were not run again."""
    folder = shutil.copytree(off, tmp_path / "work")
    change(folder / PARAMS, psa__enabled=True)
    assert "affinity.pt: no readable weights file" in fail(folder, "refine_masks")
    assert "outputs/affinity_labels/train_" in (message := fail(folder, "train_affinity"))
    assert "no such file; run the stage that writes outputs/affinity_labels" in message


def test_label_beyond_the_classes(work: Path) -> None:
    for path in (work / "outputs" / "affinity_labels").glob("*.png"):
        path.unlink()
        write_mask(path, np.full((40, 40), 12, np.uint8))
    message = fail(work, "train_affinity")
    assert message.startswith("outputs/affinity_labels/train_")
    assert "indices up to 12 do not belong to outputs/data/shapes" in message


def test_no_steps(work: Path) -> None:
    change(work / RECIPE, refine_masks__steps=0)
    message = fail(work, "refine_masks")
    assert message.startswith("recipes/shapes.yaml: refine_masks.steps: ")


def test_weights_of_another_kind(work: Path) -> None:
    shutil.copyfile(work / "outputs" / "cam.pt", work / "outputs" / "affinity.pt")
    assert "affinity.pt: expected affinity weights" in fail(work, "refine_masks")


def test_cams_cut_off(work: Path) -> None:
    path = work / "outputs" / "cams.h5"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for name in ("label_affinity", "refine_masks"):
        assert fail(work, name).startswith("outputs/cams.h5: truncated or no HDF5 file")
