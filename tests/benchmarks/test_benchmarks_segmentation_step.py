"""The measurement of the segmentation networks, on pictures small enough for a test."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.segmentation_step import NETWORKS, main, network, training

HEADS = {"resnet101+aspp": "aspp", "resnet101s+aspp": "aspp", "resnet38+largefov": "largefov"}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_networks_are_the_published_ones(name: str) -> None:
    params = network(name)
    assert params.output_stride == 8
    assert params.head.kind == HEADS[name]
    assert params.head.dropout_of == "values"
    assert training(2, 448).augmentation.scale == (0.5, 1.5)


def test_it_measures_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HSC_DEVICE", "cpu")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    out = tmp_path / "results" / "step.json"
    arguments = ["--batch", "2", "--crop", "24", "--steps", "1", "--networks", "resnet101+aspp"]
    result = CliRunner().invoke(main, [*arguments, "--out", str(out)])
    assert result.exit_code == 0, result.output
    found = json.loads(out.read_text())
    assert {"date", "device", "torch", "threads", "load_before"} <= found.keys()
    (row,) = found["rows"].values()
    assert row["logits"] == [2, 21, 24, 24]
    assert row["weights"] > 40e6
    assert row["step_median_seconds"] == row["step_seconds"][0] > 0
    assert 0 < row["forward_peak_bytes"] <= row["step_peak_bytes"]
