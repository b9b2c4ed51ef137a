"""Segmentation inference on networks whose logits are known."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from hsc.cams import scale_picture
from hsc.data.classes import palette
from hsc.data.voc import VocFolder
from hsc.engine.runtime import Runtime
from hsc.errors import HscError
from hsc.nets.backbones import SmallResNet
from hsc.nets.deeplab import DeepLab
from hsc.segmentation import predict_labels, predict_logits, write_labels
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
    network = DeepLab(SmallResNet((4, 6, 8, 10)), 3, 5, (1, 2), dropout=0.5).train()
    first, again = (
        list(predict_labels(network, folder, ["d"], [0.5, 1.0], True, CPU)) for _ in range(2)
    )
    assert not network.training
    assert first[0][1].shape == folder.size("d")
    assert np.array_equal(first[0][1], again[0][1])
    assert set(np.unique(first[0][1])) <= {0, 1, 2, 3}


def test_progress_sees_every_picture(folder: VocFolder) -> None:
    seen = []

    def watch(items):
        for item in items:
            seen.append(item[0])
            yield item

    list(predict_labels(Seeing(), folder, ["d", "a"], [1.0], False, CPU, watch))
    assert seen == ["d", "a"]


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
