"""ResNet-38: sizes, what trains and what does not, dropout, dilations.

Its numbers are checked in tests/golden_networks.py.
"""

import math

import pytest
import torch
from torch import nn

from hsc.nets.resnet38 import ResNet38

FROZEN = ("conv1a.", "b2.", "b2_1.", "b2_2.")


@pytest.fixture(scope="module")
def backbone() -> ResNet38:
    """One for all tests of this file: it takes a second and 420 MB."""
    torch.manual_seed(0)
    return ResNet38(frozen_norm=True)


@pytest.fixture(scope="module")
def on_meta() -> ResNet38:
    """Without memory, norms not frozen."""
    with torch.device("meta"):
        return ResNet38()


def norms(module: nn.Module) -> dict[str, nn.BatchNorm2d]:
    return {n: part for n, part in module.named_modules() if isinstance(part, nn.BatchNorm2d)}


@pytest.mark.parametrize(("height", "width"), [(33, 40), (97, 65), (64, 8), (1, 9)])
def test_sizes_are_the_picture_s_over_eight_rounded_up(
    on_meta: ResNet38, height: int, width: int
) -> None:
    low, mid, final = on_meta.eval()(torch.empty(2, 3, height, width, device="meta"))
    cells = (math.ceil(height / 8), math.ceil(width / 8))
    assert low.shape == (2, on_meta.low_channels, *cells) == (2, 512, *cells)
    assert mid.shape == (2, on_meta.mid_channels, *cells) == (2, 1024, *cells)
    assert final.shape == (2, on_meta.channels, *cells) == (2, 4096, *cells)


@torch.no_grad()
def test_features_are_not_negative(backbone: ResNet38) -> None:
    for values in backbone.eval()(torch.randn(1, 3, 33, 40)):
        assert values.min() == 0
        assert values.max() > 0


def test_the_size_that_was_published(on_meta: ResNet38) -> None:
    assert sum(tensor.numel() for tensor in on_meta.state_dict().values()) == 105_118_693
    assert len(on_meta.state_dict()) == 228


def test_dilations_stand_in_for_the_strides(on_meta: ResNet38) -> None:
    found = {
        name: (part.stride[0], part.dilation[0])
        for name, part in on_meta.named_modules()
        if isinstance(part, nn.Conv2d) and (part.stride[0], part.dilation[0]) != (1, 1)
    }
    strides = {f"{block}.{conv}" for block in ("b2", "b3", "b4")
               for conv in ("conv_branch2a", "conv_branch1")}  # fmt: skip
    assert {name for name, (stride, _) in found.items() if stride == 2} == strides
    assert {name: dilation for name, (_, dilation) in found.items() if dilation > 1} == {
        "b5.conv_branch2b1": 2,
        "b5_1.conv_branch2a": 2,
        "b5_1.conv_branch2b1": 2,
        "b5_2.conv_branch2a": 2,
        "b5_2.conv_branch2b1": 2,
        "b6.conv_branch2b1": 4,
        "b7.conv_branch2b1": 4,
    }


def test_what_trains_with_frozen_norms(backbone: ResNet38) -> None:
    for name, parameter in backbone.named_parameters():
        trains = not name.startswith(FROZEN) and "bn" not in name
        assert parameter.requires_grad is trains, name


def test_what_trains_without(on_meta: ResNet38) -> None:
    for name, parameter in on_meta.named_parameters():
        assert parameter.requires_grad is not name.startswith(FROZEN), name


def test_all_norms_stay_in_eval_mode_when_frozen(backbone: ResNet38) -> None:
    backbone.eval().train()
    assert backbone.training
    assert len(norms(backbone)) == 37
    assert not any(norm.training for norm in norms(backbone).values())


def test_the_frozen_blocks_norms_stay_in_eval_mode_always(on_meta: ResNet38) -> None:
    on_meta.eval().train()
    for name, norm in norms(on_meta).items():
        assert norm.training is not name.startswith(FROZEN), name


def test_the_gradient_reaches_b3_and_nothing_before(backbone: ResNet38) -> None:
    backbone.train()
    before = {name: norm.running_mean.clone() for name, norm in norms(backbone).items()}
    backbone(torch.randn(1, 3, 33, 40)).final.mean().backward()
    for name, parameter in backbone.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
        else:
            assert parameter.grad is None, name
    assert backbone.b3.conv_branch2a.weight.grad.abs().sum() > 0
    for name, norm in norms(backbone).items():
        assert torch.equal(norm.running_mean, before[name]), name
    backbone.zero_grad(set_to_none=True)


@torch.no_grad()
def test_dropout_in_training_only(backbone: ResNet38) -> None:
    image = torch.randn(1, 3, 33, 40)
    backbone.eval()
    assert torch.equal(backbone(image).final, backbone(image).final)
    backbone.train()
    first, second = backbone(image), backbone(image)
    assert not torch.equal(first.final, second.final)
    # What comes before the two bottlenecks is not dropped.
    assert torch.equal(first.low, second.low)
    assert torch.equal(first.mid, second.mid)
    rates = [part.p for part in backbone.modules() if isinstance(part, nn.Dropout2d)]
    assert rates == [0.3, 0.5]
