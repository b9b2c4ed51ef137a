"""torchvision's ResNets as backbones: sizes, names, frozen norms, strides."""

import math

import pytest
import torch
from torch import nn
from torchvision.models import resnet50, resnet101

from hsc.nets.torchvision_resnet import TorchvisionResNet

WHOLE = {50: resnet50, 101: resnet101}


def on_meta(depth: int, stride: int) -> TorchvisionResNet:
    with torch.device("meta"):
        return TorchvisionResNet(depth, stride).eval()


@pytest.mark.parametrize("depth", [50, 101])
@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize(("height", "width"), [(33, 40), (97, 65), (16, 1)])
def test_sizes_are_the_picture_s_over_the_stride_rounded_up(
    depth: int, stride: int, height: int, width: int
) -> None:
    backbone = on_meta(depth, stride)
    low, mid, final = backbone(torch.empty(2, 3, height, width, device="meta"))
    cells = (math.ceil(height / stride), math.ceil(width / stride))
    eighth = (math.ceil(height / 8), math.ceil(width / 8))
    assert low.shape == (2, backbone.low_channels, *eighth) == (2, 512, *eighth)
    assert mid.shape == (2, backbone.mid_channels, *cells) == (2, 1024, *cells)
    assert final.shape == (2, backbone.channels, *cells) == (2, 2048, *cells)


@pytest.mark.parametrize("depth", [50, 101])
def test_names_are_torchvision_s_without_the_classifier(depth: int) -> None:
    with torch.device("meta"):
        whole = WHOLE[depth]()
    expected = {k: v.shape for k, v in whole.state_dict().items() if not k.startswith("fc.")}
    for stride in (8, 16):
        found = on_meta(depth, stride).state_dict()
        assert {k: v.shape for k, v in found.items()} == expected


@torch.no_grad()
def test_without_dilation_s_effect_it_computes_what_torchvision_does() -> None:
    """Up to layer2 no stride is taken out; the rest is torchvision's with the same dilations."""
    torch.manual_seed(0)
    whole = resnet50(replace_stride_with_dilation=[False, False, True]).eval()
    backbone = TorchvisionResNet(50, 16).eval()
    kept = {k: v for k, v in whole.state_dict().items() if not k.startswith("fc.")}
    backbone.load_state_dict(kept)
    features = backbone(image := torch.randn(1, 3, 33, 40))
    pooled = features.final.mean(dim=(2, 3))
    torch.testing.assert_close(whole.fc(pooled), whole(image))
    assert features.final.min() >= 0


def test_frozen_norms_keep_statistics_and_scales() -> None:
    torch.manual_seed(0)
    backbone = TorchvisionResNet(50, 16, frozen_norm=True).train()
    norms = {n: m for n, m in backbone.named_modules() if isinstance(m, nn.BatchNorm2d)}
    assert len(norms) == 53
    assert not any(norm.training for norm in norms.values())
    before = {name: buffer.clone() for name, buffer in backbone.named_buffers()}
    backbone(torch.randn(1, 3, 33, 40)).final.mean().backward()
    assert all(torch.equal(before[name], buffer) for name, buffer in backbone.named_buffers())
    for name, parameter in backbone.named_parameters():
        in_norm = name.rpartition(".")[0] in norms
        assert parameter.requires_grad is not in_norm, name
        assert (parameter.grad is None) is in_norm, name


def test_without_frozen_norms_everything_trains() -> None:
    backbone = on_meta(50, 8).train()
    assert all(parameter.requires_grad for parameter in backbone.parameters())
    assert all(m.training for m in backbone.modules())


@pytest.mark.parametrize(("depth", "stride"), [(18, 16), (50, 4), (50, 32)])
def test_other_depths_and_strides_are_refused(depth: int, stride: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        TorchvisionResNet(depth, stride)
