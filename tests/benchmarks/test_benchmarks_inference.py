"""CAM inference in SEAM's way and ours: they agree, and a difference is noticed."""

import pytest

from benchmarks.part import Disagreement, measure
from benchmarks.parts import cam_inference


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cam_inference, "SIZE", (24, 33))
    monkeypatch.setattr(cam_inference, "SCALES", (0.5, 1.0))


def test_both_ways_agree() -> None:
    found = measure("cam_inference", 1)
    assert found.ratio > 0
    assert "33 x 24 at 2 scales; with HSC_PRECISION=bf16" in found.agreement


def test_a_difference_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    original = cam_inference.infer_cam
    monkeypatch.setattr(cam_inference, "infer_cam", lambda *given: 0.99 * original(*given))
    with pytest.raises(Disagreement, match=r"the maps differ by 0\.01"):
        measure("cam_inference", 1)
