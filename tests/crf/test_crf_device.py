"""Where the CRF of whole pictures runs: what the variable says, and that it changes no label."""

import sys

import numpy as np
import pytest
import skimage.data

from hsc.base.errors import HscError
from hsc.crf.dense import CrfConfig, refine_cam, refine_labels, refine_probabilities
from hsc.crf.device import crf_processes, lattice_device

CONFIG = CrfConfig(iterations=10)


@pytest.mark.parametrize(
    ("value", "device", "processes"),
    [
        ("", None, 3),
        (" ", None, 3),
        ("cpu", "cpu", 3),
        ("cuda", "cuda", 1),
        ("cuda:1", "cuda:1", 1),
    ],
)
def test_the_variable(value: str, device: str | None, processes: int) -> None:
    """Processes would only share a GPU."""
    environment = {"HSC_CRF_DEVICE": value, "HSC_PROCESSES": "3"}
    assert lattice_device(environment) == device
    assert crf_processes(environment) == processes
    assert lattice_device({}) is None


@pytest.mark.parametrize("value", ["gpu", "cuda:x", "1"])
def test_no_device(value: str) -> None:
    with pytest.raises(HscError, match=r"HSC_CRF_DEVICE: '.*' is no device"):
        crf_processes({"HSC_CRF_DEVICE": value})


def test_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HSC_CRF_DEVICE", "cuda")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(HscError, match="no GPU is usable"):
        refine_labels(np.zeros((4, 4, 3), np.uint8), np.eye(4, dtype=int), 2, CONFIG)


def test_torch_gives_what_pydensecrf_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """On photographs: probabilities, labels, and labels of a data set of many classes."""
    for picture in (skimage.data.chelsea()[::2, ::2], skimage.data.coffee()[::3, ::3]):
        cam = blobs(picture.shape[:2])
        monkeypatch.delenv("HSC_CRF_DEVICE", raising=False)
        expected = refined(picture, cam)
        with monkeypatch.context() as without:
            without.setenv("HSC_CRF_DEVICE", "cpu")
            without.setitem(sys.modules, "pydensecrf.densecrf", None)
            found = refined(picture, cam)
        np.testing.assert_allclose(found[0], expected[0], atol=2e-3)
        for one, other in zip(found[1:], expected[1:], strict=True):
            assert (one == other).mean() > 0.9999
            assert len(np.unique(one)) == 3


def blobs(size: tuple[int, int]) -> np.ndarray:
    """(2, H, W) in [0, 1], a round object each."""
    rows, columns = np.indices(size)
    return np.stack(
        [
            np.exp(-((rows - size[0] * at) ** 2 + (columns - size[1] * at) ** 2) / 2e3)
            for at in (0.3, 0.7)
        ]
    )


def refined(picture: np.ndarray, cam: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    probabilities = refine_probabilities(
        picture, np.concatenate([1 - cam.max(0)[None], cam]), CONFIG
    )
    labels = refine_cam(picture, cam, np.array([3, 7]), 4, CONFIG)
    return probabilities, labels, refine_labels(picture, labels, 21, CONFIG)
