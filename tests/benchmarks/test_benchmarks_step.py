"""The measurement of a step, on pictures small enough for a test."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.step import Size, deeplab, main, method

SMALL = Size(2, 24, 16, "lattice")


def test_methods_and_networks_are_the_published_ones() -> None:
    built, optimiser = method("seam+hsc", SMALL)
    assert type(built.network.backbone).__name__ == "ResNet38"
    assert built.contrast is not None
    assert optimiser.param_groups[0]["lr"] == 0.01
    for name, head in (("resnet101+aspp", "Aspp"), ("resnet38+largefov", "LargeFov")):
        built, _ = deeplab(name)
        assert type(built.network.head).__name__ == head


def test_it_measures_and_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HSC_DEVICE", "cpu")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    out = tmp_path / "results" / "step.json"
    sizes = ["--batch", "2", "--crop", "24", "--view2", "16", "--steps", "1"]
    result = CliRunner().invoke(main, ["cam+hsc", "resnet101+aspp", *sizes, "--out", str(out)])
    assert result.exit_code == 0, result.output
    found = json.loads(out.read_text())
    assert {"date", "device", "torch", "threads", "load", "batch", "precision"} <= found.keys()
    assert list(found["rows"]) == ["cam+hsc", "resnet101+aspp"]
    for row in found["rows"].values():
        assert row["weights"] > 40e6
        assert row["finite"]
        assert row["step_median_seconds"] == row["step_seconds"][0] > 0
        assert 0 < row["forward_peak_bytes"] <= row["step_peak_bytes"]
    assert found["rows"]["cam+hsc"]["contrast_seconds"] > 0
    assert {"roi", "class", "pixel"} <= found["rows"]["cam+hsc"]["terms"].keys()
    assert found["rows"]["resnet101+aspp"]["contrast_seconds"] == 0


def test_a_name_without_a_contrast_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["cam+hsc", "seam", "--out", str(tmp_path / "step.json")])
    assert result.exit_code == 1
    assert "seam: write BASELINE+CONTRAST or BACKBONE+HEAD, such as seam+none" in result.output
