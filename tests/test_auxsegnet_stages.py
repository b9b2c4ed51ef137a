"""The segmentation stages with `segmentation: auxsegnet`, on a tiny data set."""

import csv
import shutil
from pathlib import Path

import pytest
import torch

from hsc.base.files import read_json
from hsc.base.made import MARK
from hsc.base.off import NO_ROUNDS
from hsc.data.label_maps import read_labels
from hsc.data.voc import VocFolder
from hsc.nets.segmentation import load_segmentation
from tests.stage_runs import (
    change,
    contents,
    error_line,
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
OWN = ("train_segmentation", "evaluate_rounds", "predict_segmentation", "evaluate_val")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the whole pipeline has run; its own stages as processes."""
    folder = tmp_path_factory.mktemp("auxsegnet")
    write_settings(folder)
    change(folder / PARAMS, baseline="eps", contrast="none", segmentation="auxsegnet")
    for each in stages():
        if each.name in OWN:
            done = run_process(each, folder)
            assert done.returncode == 0, f"{each.name}: {done.stderr}"
        else:
            run_well(each, folder)
    return folder


def test_the_network_is_an_auxsegnet_and_predicts(finished: Path) -> None:
    network, spec = load_segmentation(finished / "outputs" / "segmentation.pt")
    folder = VocFolder(finished / DATA)
    assert tuple(spec["class_names"]) == folder.class_names
    assert type(network).__name__ == "AuxSegNet"
    for image_id in folder.ids("val"):
        labels = read_labels(finished / "outputs" / "predictions", image_id)
        assert labels.shape == folder.size(image_id)
    assert read_json(finished / "metrics" / "val.json")["images"] == 4


def test_metrics_say_what_it_started_from(finished: Path) -> None:
    said = read_json(finished / "metrics" / "segmentation.json")
    assert said["head"] == "auxsegnet"
    assert said["initial_weights"]["kind"] == "CAM network"


def test_every_round_is_scored(finished: Path) -> None:
    rounds = read_json(finished / "metrics" / "rounds.json")["rounds"]
    assert list(rounds) == ["0", "1"]
    with (finished / "plots" / "rounds.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["round"] for row in rows] == ["0", "1"]
    assert [float(row["mIoU"]) for row in rows] == [row["mIoU"] for row in rounds.values()]
    names = {path.name for path in (finished / "outputs" / "rounds").iterdir()}
    assert names == {"0", "1", MARK}


def test_losses_have_a_line_a_step_of_all_rounds(finished: Path) -> None:
    with (finished / "plots" / "train_segmentation.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["step"]) for row in rows] == list(range(8))


def test_no_state_is_left_behind(finished: Path) -> None:
    assert not list((finished / ".hsc" / "resume").iterdir())


def test_deeplab_has_no_rounds_and_says_so(finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "work")
    change(folder / PARAMS, segmentation="deeplab")
    for name in ("train_segmentation", "evaluate_rounds"):
        stage(name).clear(folder)
        run_well(stage(name), folder)
    assert (folder / "outputs" / "rounds" / "off.txt").read_text() == NO_ROUNDS
    assert read_json(folder / "metrics" / "rounds.json")["mIoU"] is None
    assert (folder / "plots" / "rounds.csv").read_text().count("\n") == 1


def test_without_masks_nothing_is_scored(finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "work")
    shutil.rmtree(folder / DATA / "SegmentationClass")
    stage("evaluate_rounds").clear(folder)
    assert "nothing to score" in run_well(stage("evaluate_rounds"), folder)
    assert read_json(folder / "metrics" / "rounds.json")["images"] == 0


def test_a_damaged_saliency_map_is_named(finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "work")
    (folder / DATA / "Saliency" / "train_00003.png").write_bytes(b"no picture")
    stage("train_segmentation").clear(folder)
    before = contents(folder)
    result = run_here(stage("train_segmentation"), folder)
    assert result.exit_code == 1
    assert "Saliency/train_00003.png: " in error_line(result.stderr)
    kept = {path: data for path, data in contents(folder).items() if ".hsc" not in path}
    assert kept == before


def test_a_data_set_without_saliency_is_refused_before_it_is_made(tmp_path: Path) -> None:
    write_settings(tmp_path)
    folder = {"kind": "folder", "path": "pictures", "max_side": None, "limit": None}
    recipe = tmp_path / RECIPE
    change(recipe, prepare_data=folder | {"saliency": "none"})
    change(tmp_path / PARAMS, segmentation="auxsegnet")
    result = run_here(stage("prepare_data"), tmp_path)
    assert result.exit_code == 1
    said = error_line(result.stderr)
    assert said.startswith("prepare_data.saliency is none, but segmentation is auxsegnet")


def test_a_contrast_of_deeplab_is_refused(tmp_path: Path) -> None:
    write_settings(tmp_path)
    change(tmp_path / PARAMS, segmentation_contrast="dscnet")
    result = run_here(stage("prepare_data"), tmp_path)
    assert result.exit_code == 1
    assert "segmentation_contrast is one in AuxSegNet's rounds" in error_line(result.stderr)


def test_a_contrast_that_cannot_be_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    write_settings(tmp_path)
    change(
        tmp_path / PARAMS, segmentation="auxsegnet", segmentation_contrast="dscnet",
        dscnet__pgcl=False,
    )  # fmt: skip
    result = run_here(stage("prepare_data"), tmp_path)
    assert result.exit_code == 1
    assert "dscnet.dscl is true, but it stands on both" in error_line(result.stderr)


def test_two_processes_train_what_one_trains(finished: Path, tmp_path: Path) -> None:
    """With DSCNet: the first round's labels to the byte, network and losses up to rounding."""
    from tests.test_torchrun import arguments, torchrun

    folders = [shutil.copytree(finished, tmp_path / name) for name in ("one", "two")]
    for folder in folders:
        change(folder / PARAMS, segmentation_contrast="dscnet")
        sgd = {"optimiser": "sgd", "momentum": 0.9, "rounds": 1, "head_dropout": 0.5}
        change(
            folder / RECIPE, **{f"train_segmentation__auxsegnet__{k}": v for k, v in sgd.items()}
        )
        stage("train_segmentation").clear(folder)
    run_well(stage("train_segmentation"), folders[0])
    done = torchrun(folders[1], *arguments("train_segmentation"))
    assert done.returncode == 0, done.stderr
    one, two = (contents(folder) for folder in folders)
    assert one.keys() == two.keys(), "one set of outputs, nothing beside it"
    labels = [path for path in one if path.startswith("outputs/rounds/0/")]
    assert labels
    assert {path: one[path] for path in labels} == {path: two[path] for path in labels}
    states = [load_segmentation(f / "outputs" / "segmentation.pt")[0].state_dict() for f in folders]
    for key, value in states[0].items():
        assert torch.allclose(states[1][key].float(), value.float(), atol=1e-5), key
    assert states[0]["enrichment.seen"].any()
