"""Segmentation inference on networks whose logits are known."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from hsc.base.errors import HscError
from hsc.cam.inference import scale_picture
from hsc.crf.dense import CrfConfig, refine_probabilities
from hsc.data.classes import palette
from hsc.data.lists import write_index
from hsc.data.voc import VocFolder, layout, write_image
from hsc.engine.runtime import Runtime
from hsc.nets.deeplab import Aspp, DeepLab, LargeFov
from hsc.nets.small_resnet import SmallResNet
from hsc.nets.weights import save_weights
from hsc.params.segmentation import PredictParams
from hsc.segmentation.inference import (
    predict_batch,
    predict_labels,
    predict_logits,
    predict_split,
    write_labels,
)
from tests.tiny_folder import tiny_folder

CPU = Runtime(torch.device("cpu"), bf16=False, workers=0)


class Seeing(nn.Module):
    """Logits are the picture's channels."""

    def forward(self, image: Tensor) -> Tensor:
        return image


class Blind(nn.Module):
    """The same ramp from left (0) to right (1), and its negative, whatever is seen."""

    def forward(self, image: Tensor) -> Tensor:
        n, _, h, w = image.shape
        ramp = torch.linspace(0, 1, w).expand(n, 1, h, w)
        return torch.cat([ramp, -ramp], dim=1)


def picture(height: int = 6, width: int = 8) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_flips_are_undone_exactly() -> None:
    batches = scale_picture(picture(), [1.0], flip=True)
    assert torch.equal(predict_logits(Seeing(), batches, (6, 8)), batches[0][0])


def test_the_mirrored_logits_are_turned_back() -> None:
    batches = scale_picture(picture(4, 9), [1.0], flip=True)
    ramp = torch.linspace(0, 1, 9).expand(4, 9)
    alone = predict_logits(Blind(), [batches[0][:1]], (4, 9))
    assert torch.allclose(alone, torch.stack([ramp, -ramp]))
    both = predict_logits(Blind(), batches, (4, 9))
    assert torch.allclose(both, torch.stack([torch.full((4, 9), 0.5), torch.full((4, 9), -0.5)]))


def test_the_mean_over_scales_at_the_picture_s_size() -> None:
    batches = scale_picture(np.full((6, 8, 3), 128, dtype=np.uint8), [0.5, 1.0, 2.0], flip=True)
    found = predict_logits(Seeing(), batches, (6, 8))
    assert found.shape == (3, 6, 8)
    assert found.dtype == torch.float32
    assert torch.allclose(found, batches[0][0, :, :1, :1].expand(3, 6, 8), atol=1e-6)
    assert not found.requires_grad


@pytest.fixture
def folder(tmp_path: Path) -> VocFolder:
    return tiny_folder(tmp_path / "data")


def test_labels_are_the_strongest_channel(folder: VocFolder) -> None:
    found = list(predict_labels(Seeing(), folder, ["b", "d"], [1.0], True, CPU))
    assert [image_id for image_id, _ in found] == ["b", "d"]
    for image_id, labels in found:
        expected = scale_picture(folder.image(image_id), [1.0], False)[0][0].argmax(dim=0)
        assert labels.dtype == np.uint8
        assert np.array_equal(labels, expected.numpy())


def test_a_real_network_predicts_in_eval_mode(folder: VocFolder) -> None:
    torch.manual_seed(0)
    network = DeepLab(SmallResNet((4, 6, 8, 10)), 3, Aspp(10, 5, (1, 2)), dropout=0.5).train()
    first, again = (
        list(predict_labels(network, folder, ["d"], [0.5, 1.0], True, CPU)) for _ in range(2)
    )
    assert not network.training
    assert first[0][1].shape == folder.size("d")
    assert np.array_equal(first[0][1], again[0][1])
    assert set(np.unique(first[0][1])) <= {0, 1, 2, 3}


def test_progress_sees_every_picture(folder: VocFolder) -> None:
    seen = []

    def watch(done: int, total: int, /, **figures: float) -> None:
        seen.append((done, total))

    list(predict_labels(Seeing(), folder, ["d", "a"], [1.0], False, CPU, watch))
    assert seen == [(0, 2), (1, 2), (2, 2)]


def test_a_missing_picture_is_named(folder: VocFolder) -> None:
    with pytest.raises(HscError, match=r"z\.jpg: no such picture"):
        list(predict_labels(Seeing(), folder, ["z"], [1.0], False, CPU))


def test_labels_are_written_as_palette_pictures(tmp_path: Path) -> None:
    labels = np.array([[0, 1], [2, 255]], dtype=np.uint8)
    assert write_labels(iter([("a", labels), ("b", labels[:1])]), tmp_path / "out") == 2
    with Image.open(tmp_path / "out" / "a.png") as image:
        assert image.mode == "P"
        assert np.array_equal(np.asarray(image), labels)
        assert np.array_equal(np.array(image.getpalette()).reshape(-1, 3), palette())
    assert write_labels([], tmp_path / "none") == 0


# A CRF on the softmax


class Noisy(nn.Module):
    """A square of class 1 on the background, with every fifth pixel wrong."""

    def forward(self, image: Tensor) -> Tensor:
        n, _, h, w = image.shape
        labels = torch.zeros(h, w, dtype=torch.long)
        labels[h // 4 : 3 * h // 4, w // 4 : 3 * w // 4] = 1
        labels.view(-1)[::5] = 1 - labels.view(-1)[::5]
        return F.one_hot(labels, 3).permute(2, 0, 1).float().expand(n, -1, -1, -1)


@pytest.fixture
def square(tmp_path: Path) -> tuple[VocFolder, np.ndarray]:
    """Two pictures of a white square on black, and its mask."""
    mask = np.zeros((24, 28), dtype=np.uint8)
    mask[6:18, 7:21] = 1
    root = tmp_path / "squares"
    root.mkdir()
    write_index(root, ["cat", "dog"], {}, {"val": ["a", "b"]})
    for image_id in ("a", "b"):
        write_image(layout(root, image_id).image, np.repeat(mask[..., None] * 255, 3, axis=2))
    return VocFolder(root), mask


@pytest.mark.parametrize("processes", [1, 2])
def test_the_crf_follows_the_picture(square: tuple[VocFolder, np.ndarray], processes: int) -> None:
    folder, mask = square
    arguments = (folder, ["a", "b"], [1.0], False, CPU)
    plain = dict(predict_labels(Noisy(), *arguments))
    assert (plain["a"] != mask).mean() > 0.15
    crf = CrfConfig(gaussian_sxy=1, bilateral_sxy=20, bilateral_srgb=3, bilateral_compat=4)
    found = list(predict_labels(Noisy(), *arguments, crf=crf, processes=processes))
    assert [image_id for image_id, _ in found] == ["a", "b"]
    for _, labels in found:
        assert labels.dtype == np.uint8
        assert np.array_equal(labels, mask)


def test_the_crf_is_that_of_the_softmax(square: tuple[VocFolder, np.ndarray]) -> None:
    """Far from certain logits: on hard labels, or on the logits, it would be another."""
    folder, _ = square
    crf = CrfConfig(iterations=2, bilateral_compat=1, gaussian_compat=1)
    ((_, found),) = predict_labels(Noisy(), folder, ["a"], [1.0], False, CPU, crf=crf)
    logits = Noisy()(torch.zeros(1, 3, 24, 28))[0].contiguous()
    probabilities = (logits.exp() / logits.exp().sum(dim=0)).numpy()
    expected = refine_probabilities(folder.image("a"), probabilities, crf).argmax(axis=0)
    assert np.array_equal(found, expected)


def test_the_crf_takes_maps_in_any_order_of_memory(folder: VocFolder) -> None:
    """Weights in channels last, as training leaves them, give maps whose channels lie inmost."""
    torch.manual_seed(0)
    network = DeepLab(SmallResNet((4, 6, 8, 10)), 3, LargeFov(10, 5, 2), dropout=0.5)
    crf = CrfConfig(iterations=1)
    plain, other = (
        next(predict_labels(network.to(memory_format=layout), folder, ["d"], [1.0], True, CPU,
                            crf=crf))[1]
        for layout in (torch.contiguous_format, torch.channels_last)
    )  # fmt: skip
    assert np.array_equal(plain, other)


def test_the_pictures_wait_for_the_crf(
    square: tuple[VocFolder, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network goes no further ahead than the pool takes: memory does not grow."""
    folder, _ = square
    seen = []

    class Counting(Noisy):
        def forward(self, image: Tensor) -> Tensor:
            seen.append(len(image))
            return super().forward(image)

    ids = ["a", "b"] * 10
    labels = predict_labels(Counting(), folder, ids, [1.0], False, CPU, crf=CrfConfig(iterations=1))
    next(labels)
    assert len(seen) == 1
    assert len(list(labels)) == 19


def test_the_parameters_of_the_crf() -> None:
    kernels = {
        "iterations": 10, "gaussian_sxy": 1, "gaussian_compat": 3, "bilateral_sxy": 67,
        "bilateral_srgb": 3, "bilateral_compat": 4,
    }  # fmt: skip
    how = PredictParams.model_validate({"scales": [1.0], "flip": True, "crf": kernels})
    assert how.crf == CrfConfig(**kernels)


# Several pictures at once


@pytest.mark.parametrize("flip", [False, True])
def test_a_batch_is_its_pictures(flip: bool) -> None:
    torch.manual_seed(0)
    network = DeepLab(SmallResNet((4, 6, 8, 10)), 3, Aspp(10, 5, (1, 2)), dropout=0.5).eval()
    pictures = [
        scale_picture(np.roll(picture(24, 28), 5 * shift, axis=1), [0.5, 1.0], flip)
        for shift in range(3)
    ]
    together = [
        torch.cat(
            [batch[mirrored : mirrored + 1] for mirrored in range(1 + flip) for batch in same]
        )
        for same in zip(*pictures, strict=True)
    ]
    found = predict_batch(network, together, (24, 28), 3)
    assert found.shape == (3, 4, 24, 28)
    for logits, batches in zip(found, pictures, strict=True):
        alone = predict_logits(network, batches, (24, 28))
        assert torch.allclose(logits, alone, atol=1e-5)
        assert logits.std() > 100 * (logits - alone).std()
    assert not torch.allclose(found[0], found[1], atol=1e-3)


# A whole split, from a weights file


def test_a_split_is_predicted_from_a_weights_file(
    folder: VocFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HSC_DEVICE", "cpu")
    torch.manual_seed(0)
    network = DeepLab(SmallResNet((4, 6, 8, 10)), 3, LargeFov(10, 5, 2), dropout=0.5)
    head = {"kind": "largefov", "channels": 5, "dilation": 2, "norm_momentum": 0.1}
    spec = {
        "backbone": "small", "widths": [4, 6, 8, 10], "output_stride": 4,
        "class_names": list(folder.class_names),
        "head": head | {"dropout": 0.5, "dropout_of": "channels"},
    }  # fmt: skip
    path = tmp_path / "segmentation.pt"
    save_weights(path, "deeplab", spec, network.state_dict())
    how = PredictParams(scales=(0.5, 1.0), flip=True, crf=None)
    found = list(predict_split(path, folder, "val", how))
    expected = list(predict_labels(network, folder, folder.ids("val"), [0.5, 1.0], True, CPU))
    assert [image_id for image_id, _ in found] == ["d"]
    assert np.array_equal(found[0][1], expected[0][1])
    save_weights(path, "deeplab", spec | {"class_names": ["a", "b", "c"]}, network.state_dict())
    with pytest.raises(HscError, match=r"segmentation\.pt: trained for the classes a, b, c"):
        next(predict_split(path, folder, "val", how))
