"""The command for a GPU, on the CPU with small networks: its lines, its ratios, its errors."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from benchmarks import gpu, step
from benchmarks.parts import cam_inference
from hsc.cam.network import cam_network
from hsc.data.classes import VOC_CLASSES
from hsc.methods.training import build_method, cam_optimiser
from hsc.params.method import MethodChoice
from hsc.params.recipe import NetworkParams, TrainCamParams

REST = (
    "matrix product bf16", "matrix product fp32", "CAM inference", "CRF of a batch's labels",
    "CRF of a picture", "PAR of a batch's labels",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _small(
    monkeypatch: pytest.MonkeyPatch,
    tiny_run: Callable[..., MethodChoice],
    tiny_network: NetworkParams,
    tiny_cam_params: TrainCamParams,
) -> None:
    def method(name: str, size: step.Size) -> tuple:
        baseline, contrast = name.split("+")
        run = tiny_run(baseline=baseline, contrast=contrast)
        built = build_method(VOC_CLASSES, run, tiny_network, tiny_cam_params)
        return built, cam_optimiser(built, tiny_cam_params)

    def network(like: torch.nn.Module | None = None) -> torch.nn.Module:
        spec = {
            "backbone": "small", "widths": [4, 4, 8, 8], "output_stride": 4, "projectors": None,
            "class_names": VOC_CLASSES, "pcm": (4, 4, 8),
        }  # fmt: skip
        made = cam_network(spec)
        made.load_state_dict(made.state_dict() if like is None else like.state_dict())
        return made.eval()

    monkeypatch.setattr(step, "method", method)
    monkeypatch.setattr(cam_inference, "resnet38", network)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def run(path: Path, *options: str) -> dict:
    result = CliRunner().invoke(gpu.main, ["--small", "--out", str(path), *options])
    assert result.exit_code == 0, result.output
    return json.loads(path.read_text())


def test_every_line_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = ("seam+hsc", "eps+none", "eps+ppc", "cam+none", "cam+dscnet")
    monkeypatch.setattr(gpu, "METHODS", some)
    found = run(tmp_path / "gpu.json")
    ways = {f"{name} {kind.name}" for name in some for kind in gpu.KINDS}
    assert found["lines"].keys() == ways | set(REST)
    assert not [line for line in found["lines"].values() if "error" in line]
    assert {"device", "date", "torch"} <= found.keys()
    for name in ways:
        line = found["lines"][name]
        assert line["seconds"] > 0
        assert line["flops"] > 1e6
        assert (line["contrast_seconds"] > 0) == ("+none" not in name)
    assert found["lines"]["CAM inference"]["difference"]["fp32"] < 1e-4
    assert found["lines"]["PAR of a batch's labels"]["difference"]["device"] < 1e-4
    ratio = found["ratios"]["seam+hsc bf16"]
    lines = found["lines"]
    assert ratio == lines["seam+hsc plain"]["seconds"] / lines["seam+hsc bf16"]["seconds"]
    assert {"seam+hsc, part of the product", "CRF of a picture device"} <= found["ratios"].keys()


def test_what_fails_has_its_error_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(gpu, "METHODS", ("seam+hsc",))
    monkeypatch.setattr(step, "random_batch", full)
    found = run(tmp_path / "gpu.json")
    assert found["lines"]["seam+hsc bf16"] == {"error": "CUDA out of memory"}
    assert "seconds" in found["lines"]["CRF of a picture"]
    assert not any("seam+hsc" in name for name in found["ratios"])


def test_no_line_is_begun_too_late(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        gpu.main, ["--small", "--out", str(tmp_path / "gpu.json"), "--seconds", "-1"]
    )
    assert result.output.startswith(f"{tmp_path}/gpu.json: 0 lines")
