"""ResNet-101 with a deep stem; its numbers are compared in tests/golden_segmentation.py."""

import torch
from torch import nn

from hsc.nets.deep_stem_resnet import DeepStemResNet
from hsc.nets.torchvision_resnet import TorchvisionResNet


def on_meta(**options: object) -> DeepStemResNet:
    with torch.device("meta"):
        return DeepStemResNet(**options)


def test_only_the_stem_and_what_reads_it_differ_from_torchvision_s() -> None:
    with torch.device("meta"):
        plain = TorchvisionResNet(101, 8).state_dict()
    deep = on_meta().state_dict()
    changed = {
        key.rpartition(".")[0]
        for key in plain.keys() | deep.keys()
        if key not in plain or key not in deep or plain[key].shape != deep[key].shape
    }
    stem = {"conv1", *(f"conv1.{layer}" for layer in (0, 1, 3, 4, 6)), "bn1"}
    assert changed == stem | {"layer1.0.conv1", "layer1.0.downsample.0"}


def test_the_stem_halves_the_picture_once() -> None:
    backbone = on_meta().eval()
    stem = backbone.conv1(torch.empty(1, 3, 65, 48, device="meta"))
    assert stem.shape == (1, 128, 33, 24)
    assert [m.out_channels for m in backbone.conv1 if isinstance(m, nn.Conv2d)] == [64, 64, 128]


def test_new_layers_have_weights_of_the_usual_size() -> None:
    """None is left as `empty` gave it."""
    torch.manual_seed(0)
    backbone = DeepStemResNet()
    for part in (backbone.conv1[6], backbone.layer1[0].conv1, backbone.layer1[0].downsample[0]):
        kernel = part.kernel_size[0] ** 2
        expected = (2 / (part.out_channels * kernel)) ** 0.5
        assert abs(part.weight.std() / expected - 1) < 0.05
    torch.manual_seed(0)
    again = DeepStemResNet().state_dict()
    assert all(torch.equal(again[key], value) for key, value in backbone.state_dict().items())


def test_frozen_norms_are_frozen_in_the_stem_too() -> None:
    backbone = on_meta(frozen_norm=True).train()
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 106
    assert not any(norm.training for norm in norms)
    assert not any(p.requires_grad for norm in norms for p in norm.parameters())
    assert all(m.weight.requires_grad for m in backbone.conv1 if isinstance(m, nn.Conv2d))
