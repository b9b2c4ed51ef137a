"""The command that predicts pictures of one's own, where no data set is."""

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image

from hsc.crf.dense import CrfConfig
from hsc.nets.deeplab import deeplab_network
from hsc.nets.weights import save_weights
from stages.predict import main
from tests.stage_runs import (
    OWN,
    ROOT,
    change,
    contents,
    environment,
    error_line,
    write_settings,
)
from tests.test_submit_voc import SPEC as VOC_SPEC
from tests.test_submit_voc import run as run_command

pytestmark = pytest.mark.usefixtures("cpu")

SPEC = VOC_SPEC | {"class_names": ["cat", "dog"]}
KERNELS = {
    "iterations": 5, "gaussian_sxy": 1.0, "gaussian_compat": 2.0, "bilateral_sxy": 30.0,
    "bilateral_srgb": 13.0, "bilateral_compat": 4.0,
}  # fmt: skip
SIZES = {"a.jpg": (20, 24), "b.png": (20, 24), "c.JPG": (33, 17)}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Settings, a network of random weights, and three pictures in a folder."""
    folder = tmp_path / "work"
    write_settings(folder)
    torch.manual_seed(0)
    network = deeplab_network(SPEC)
    save_weights(folder / "outputs" / "segmentation.pt", "deeplab", SPEC, network.state_dict())
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir()
    for name, size in SIZES.items():
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / name)
    return folder


def run(work: Path, *arguments: str, **variables: str) -> Result:
    return run_command(work, *arguments, command=main, **variables)


def labels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "P"
        return np.array(image)


def test_a_folder_is_predicted(work: Path) -> None:
    result = run(work, "photos", "--out", "found")
    assert result.exit_code == 0, result.output
    *lines, last = result.stdout.splitlines()
    assert last.startswith("found: 3 predictions (")
    assert [line.split(":")[0] for line in lines] == [
        "photos/a.jpg",
        "photos/b.png",
        "photos/c.JPG",
    ]
    assert sorted(contents(work / "found")) == [
        "a.png", "b.png", "c.png", "legend.csv",
        "overlays/a.jpg", "overlays/b.jpg", "overlays/c.jpg", "predictions.csv",
    ]  # fmt: skip
    with (work / "found" / "predictions.csv").open() as stream:
        shares = list(csv.DictReader(stream))
    names = ["background", "cat", "dog"]
    for name, size in SIZES.items():
        found = labels(work / "found" / f"{Path(name).stem}.png")
        assert found.shape == size
        listed = {row["class"]: float(row["share"]) for row in shares if row["id"] == name[0]}
        expected = {names[index]: (found == index).mean() for index in np.unique(found)}
        assert listed == pytest.approx(expected, abs=1e-6)
    legend = (work / "found" / "legend.csv").read_text().splitlines()
    assert legend[1:] == ["0,background,0,0,0", "1,cat,128,0,0", "2,dog,0,128,0"]
    before = contents(work)
    assert run(work, "photos", "--out", "found").exit_code == 0
    assert contents(work) == before, "the same bytes again"


def test_single_files_without_words_and_overlays(work: Path) -> None:
    arguments = ("photos/c.JPG", "photos/a.jpg", "--out", "found", "--quiet", "--no-overlays")
    result = run(work, *arguments)
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    assert line.startswith("found: 2 predictions (")
    assert sorted(contents(work / "found")) == ["a.png", "c.png", "legend.csv", "predictions.csv"]


def asked_for(work: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[Any, ...]:
    """What the network and the CRF were shown: shapes of the batches, configurations."""
    shapes, kernels = [], []

    def forward(network: Any, image: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(image.shape))
        return torch.nn.functional.one_hot(torch.full(image[:, 0].shape, 1), 3).permute(0, 3, 1, 2)

    def refine(image: Any, probabilities: Any, config: CrfConfig) -> Any:
        kernels.append(config)
        return np.eye(3)[2][:, None, None] + np.zeros_like(probabilities)

    monkeypatch.setattr("hsc.nets.deeplab.DeepLab.forward", forward)
    monkeypatch.setattr("hsc.crf.dense.refine_probabilities", refine)
    result = run(work, *arguments, "--out", "found")
    assert result.exit_code == 0, result.output
    return shapes, kernels


def test_the_recipe_says_how(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    how = {"scales": [0.5, 1.0], "flip": True, "crf": KERNELS}
    change(work / "recipes" / "shapes.yaml", predict_segmentation__deeplab=how)
    shapes, kernels = asked_for(work, monkeypatch, "photos/a.jpg")
    assert shapes == [(2, 3, 10, 12), (2, 3, 20, 24)]
    assert kernels == [CrfConfig(**KERNELS)]
    assert (labels(work / "found" / "a.png") == 2).all()


def test_options_say_otherwise(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    how = {"scales": [1.0], "flip": True, "crf": KERNELS}
    change(work / "recipes" / "shapes.yaml", predict_segmentation__deeplab=how)
    options = ("--scales", "1.5", "--scales", "0.25", "--no-flip", "--no-crf", "--batch", "2")
    shapes, kernels = asked_for(work, monkeypatch, "photos", *options)
    assert shapes == [(2, 3, 30, 36), (2, 3, 5, 6), (1, 3, 50, 26), (1, 3, 8, 4)]
    assert kernels == []
    assert (labels(work / "found" / "a.png") == 1).all()


def test_the_recipe_s_crf_and_flip_can_be_asked_for(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = {"scales": [1.0], "flip": False, "crf": KERNELS}
    change(work / "recipes" / "shapes.yaml", predict_segmentation__deeplab=how)
    options = ("--crf", "--flip", "--max-side", "12")
    shapes, kernels = asked_for(work, monkeypatch, "photos/b.png", *options)
    assert shapes == [(2, 3, 10, 12)]
    assert kernels == [CrfConfig(**KERNELS)]
    assert labels(work / "found" / "b.png").shape == (20, 24)


def test_pictures_are_seen_as_small_as_for_training(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the recipe made a folder's pictures smaller; an option still says otherwise."""
    options = ("--scales", "1", "--no-flip")
    by_option = asked_for(work, monkeypatch, "photos", *options, "--max-side", "12")
    recipe = work / "recipes" / "shapes.yaml"
    own = OWN | {"path": "photos"}
    change(recipe, prepare_data=own | {"max_side": 12})
    assert asked_for(work, monkeypatch, "photos", *options) == by_option
    change(recipe, prepare_data=own | {"max_side": 10})
    assert asked_for(work, monkeypatch, "photos", *options) != by_option
    assert asked_for(work, monkeypatch, "photos", *options, "--max-side", "12") == by_option


def test_a_damaged_picture_among_others(work: Path) -> None:
    """The others are predicted; the exit code tells, and so does the last line."""
    (work / "photos" / "b.png").write_bytes(b"no picture")
    result = run(work, "photos", "--out", "found")
    assert result.exit_code == 1
    problem, name, _ = result.stderr.splitlines()[-3:]
    assert problem == "Error: 1 of 3 pictures have no prediction, the others are in found:"
    assert name.startswith("photos/b.png: cannot be read as a picture (")
    assert {path.name for path in (work / "found").glob("*.png")} == {"a.png", "c.png"}
    text = (work / "found" / "predictions.csv").read_text()
    assert "\na," in text
    assert "\nc," in text
    assert "\nb," not in text


# What is refused before anything is computed


def refused(work: Path, *arguments: str) -> str:
    """The error's one line; nothing may have been written."""
    before = contents(work)
    result = run(work, *arguments)
    assert result.exit_code == 1, result.output
    assert contents(work) == before
    assert not (work / "found").is_dir()
    return error_line(result.stderr)


def test_two_pictures_of_one_stem(work: Path) -> None:
    Image.new("RGB", (3, 3)).save(work / "photos" / "a.png")
    text = refused(work, "photos", "--out", "found")
    assert text.startswith("photos/a.jpg and photos/a.png: their results would both be named 'a'")


def test_pictures_in_the_folder_of_the_results(work: Path) -> None:
    text = refused(work, "photos", "--out", "photos")
    assert text.startswith("photos/b.png: one of the pictures, which the results would overwrite")


def test_what_is_missing_is_named(work: Path) -> None:
    assert refused(work, "none.jpg", "--out", "found").startswith("none.jpg: no such file or fold")
    text = refused(work, "photos", "--out", "found", "--weights", "none.pt")
    assert text.startswith("none.pt: no such file")
    text = refused(work, "photos", "--out", "found", "--params", "none.yaml")
    assert text.startswith("none.yaml: cannot be read")


def test_a_file_in_place_of_the_folder(work: Path) -> None:
    (work / "found").write_text("")
    text = refused(work, "photos", "--out", "found", "--no-overlays")
    assert text.startswith("found: no folder, and none can be made (")
    text = refused(work, "photos", "--out", "found")
    assert text.startswith("found/overlays: no folder, and none can be made (")


def test_options_that_make_no_sense(work: Path) -> None:
    assert refused(work, "photos", "--out", "found", "--crf").startswith(
        "--crf: crf is null in the recipe's pred"
    )
    text = refused(work, "photos", "--out", "found", "--scales", "0")
    assert text.startswith("--scales: 0.0 is no factor of a size")
    for arguments in (("photos",), ("--out", "found"), ("photos", "--out", "x", "--batch", "0")):
        assert run(work, *arguments).exit_code == 2


def test_weights_of_another_network(work: Path) -> None:
    save_weights(work / "outputs" / "segmentation.pt", "cam", {}, {})
    text = refused(work, "photos", "--out", "found")
    assert text.startswith("outputs/segmentation.pt: expected deeplab or auxsegnet weights")


# How it is started


def test_as_a_file_with_workers_and_processes(work: Path) -> None:
    """Both start this script again. The results are those of one process."""
    change(work / "recipes" / "shapes.yaml", predict_segmentation__deeplab__crf=KERNELS)
    assert run(work, "photos", "--out", "found").exit_code == 0
    command = [sys.executable, str(ROOT / "stages" / "predict.py"), "photos", "--out", "again"]
    done = subprocess.run(
        command,
        cwd=work,
        env=environment(HSC_WORKERS="1", HSC_PROCESSES="2"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("again: 3 predictions (")
    assert contents(work / "again") == contents(work / "found")


def test_the_processes_of_the_crf_need_no_torch() -> None:
    """They import the script that started them and what it asks of them."""
    modules = "sys, stages.predict, hsc.segmentation.prediction_files"
    code = f"import {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
