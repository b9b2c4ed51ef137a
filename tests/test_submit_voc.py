"""The command that predicts VOC's test split and packs it, on pictures that stand for it."""

import contextlib
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from hsc.base.made import MARK
from hsc.crf.dense import CrfConfig
from hsc.data.classes import VOC_CLASSES
from hsc.data.label_maps import read_labels
from hsc.data.lists import split_path
from hsc.nets.deeplab import deeplab_network
from hsc.nets.weights import save_weights
from stages.predict_segmentation import main as predict
from stages.submit_voc import main
from tests.segmentation.test_submission import SIZES, voc_folder
from tests.stage_runs import ROOT, change, contents, error_line, write_settings

pytestmark = pytest.mark.usefixtures("cpu")

SPEC = {
    "backbone": "small",
    "widths": [4, 4, 8, 8],
    "output_stride": 4,
    "class_names": list(VOC_CLASSES),
    "head": {
        "kind": "largefov",
        "channels": 8,
        "dilation": 2,
        "norm_momentum": 0.1,
        "dropout": 0.5,
        "dropout_of": "values",
    },
}
PREDICTIONS = "outputs/submission/results/VOC2012/Segmentation/comp6_test_cls"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Settings, a data set with a test split, and a network of random weights."""
    folder = tmp_path / "work"
    write_settings(folder)
    voc_folder(folder / "outputs/data/shapes")
    torch.manual_seed(0)
    state = deeplab_network(SPEC).state_dict()
    save_weights(folder / "outputs" / "segmentation.pt", "deeplab", SPEC, state)
    return folder


def run(work: Path, *arguments: str, command: Any = main, **variables: str) -> Result:
    environment = {"HSC_DEVICE": "cpu", "HSC_WORKERS": "0", "HSC_PROCESSES": "1", **variables}
    with contextlib.chdir(work):
        return CliRunner(env=environment).invoke(command, list(arguments))


def test_it_predicts_checks_and_packs(work: Path) -> None:
    result = run(work)
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    assert line.startswith("outputs/submission/results.tgz: 3 predictions of test (")
    for image_id, size in SIZES.items():
        labels = read_labels(work / PREDICTIONS, image_id)
        assert labels.shape == size
        assert labels.max() <= 20
    with tarfile.open(work / "outputs/submission/results.tgz") as tar:
        assert len(tar.getnames()) == 3
    before = contents(work)
    assert run(work).exit_code == 0
    assert contents(work) == before, "the same bytes again"


def test_predictions_made_before_are_packed(work: Path) -> None:
    first = run(work, "--split", "test", "--out", "outputs/test", command=predict)
    assert first.exit_code == 0, first.output
    (work / "outputs" / "segmentation.pt").unlink()  # it is not needed
    result = run(work, "--predictions", "outputs/test", "--out", "packed")
    assert result.exit_code == 0, result.output
    found = contents(work / "packed" / Path(PREDICTIONS).relative_to("outputs/submission"))
    made = contents(work / "outputs" / "test")
    assert made.pop(MARK)
    assert found == made


def refused(work: Path, *arguments: str) -> str:
    """The error's one line; nothing may have been written."""
    before = contents(work)
    result = run(work, *arguments)
    assert result.exit_code == 1
    assert contents(work) == before
    return error_line(result.stderr)


@pytest.mark.parametrize("spoil", ["missing", "extra"])
def test_an_incomplete_folder_is_refused(work: Path, spoil: str) -> None:
    run(work, "--split", "test", "--out", "found", command=predict)
    if spoil == "missing":
        (work / "found" / "2008_000012.png").unlink()
        words = "found: no prediction for 2008_000012.png of test"
    else:
        (work / "found" / "2007_000001.png").write_bytes(b"")
        words = "found: 2007_000001.png is of no picture of test"
    assert refused(work, "--predictions", "found").startswith(words)


def test_no_test_split(work: Path) -> None:
    path = split_path(work / "outputs/data/shapes", "test")
    path.unlink()
    text = refused(work)
    assert text.startswith(f"{path.relative_to(work)}: no such file")


def test_weights_of_other_classes(work: Path) -> None:
    spec = SPEC | {"class_names": ["cat", "dog"]}
    state = deeplab_network(spec).state_dict()
    save_weights(work / "outputs" / "segmentation.pt", "deeplab", spec, state)
    assert refused(work).startswith("outputs/segmentation.pt: trained for the classes cat, dog, ")


def test_a_data_set_of_other_classes(work: Path) -> None:
    (work / "outputs/data/shapes" / "classes.txt").write_text("cat\ndog\n")
    text = refused(work)
    said = "outputs/data/shapes/classes.txt: the classes are cat, dog, but the server scor"
    assert text.startswith(said)


def test_the_crf_is_that_of_the_recipe(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = {
        "iterations": 5, "gaussian_sxy": 1.0, "gaussian_compat": 2.0, "bilateral_sxy": 30.0,
        "bilateral_srgb": 13.0, "bilateral_compat": 4.0,
    }  # fmt: skip
    change(work / "recipes" / "shapes.yaml", predict_segmentation__deeplab__crf=kernels)
    asked = []

    def refine(image: Any, probabilities: Any, config: CrfConfig) -> Any:
        asked.append(config)
        return np.eye(21)[7][:, None, None] + np.zeros_like(probabilities)

    monkeypatch.setattr("hsc.crf.dense.refine_probabilities", refine)
    result = run(work)
    assert result.exit_code == 0, result.output
    assert asked == [CrfConfig(**kernels)] * 3
    assert all((read_labels(work / PREDICTIONS, image_id) == 7).all() for image_id in SIZES)


def test_the_processes_of_the_crf_need_no_torch() -> None:
    """They import the script that started them, which must not load it at its top."""
    scripts = "stages.submit_voc, stages.predict_segmentation, hsc.crf"
    code = f"import sys, {scripts}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
