"""Networks of timm as backbones: maps at the stride asked for, in their own normalisation."""

import sys

import pytest
import torch

from hsc.base.errors import HscError
from hsc.data.preprocessing import MEAN, STD
from hsc.nets.backbones import build_backbone
from hsc.nets.timm_backbone import TimmBackbone, is_timm

KINDS = [
    ("timm/tf_efficientnet_lite0", 8, (40, 112, 1280), (8, 8, 8)),
    ("timm/tf_efficientnet_lite0", 16, (40, 112, 1280), (8, 16, 16)),
    ("timm/tf_efficientnet_lite0", 32, (40, 112, 1280), (8, 16, 32)),
    ("timm/resnet18", 8, (128, 256, 512), (8, 8, 8)),
    ("timm/regnety_002", 16, (56, 152, 368), (8, 16, 16)),
    ("timm/mobilenetv3_small_050", 32, (16, 24, 288), (8, 16, 32)),
    ("timm/vit_tiny_patch16_224", 16, (192, 192, 192), (16, 16, 16)),
    ("timm/vit_small_patch14_dinov2", 14, (384, 384, 384), (14, 14, 14)),
]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(("name", "stride", "widths", "strides"), KINDS)
@torch.no_grad()
def test_maps_of_a_network(
    name: str, stride: int, widths: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    """Also of a picture whose sides are no multiple of the stride."""
    backbone = build_backbone(name, None, stride, frozen_norm=True).eval()
    assert (backbone.low_channels, backbone.mid_channels, backbone.channels) == widths
    for height, width in ((96, 112), (100, 90)):
        maps = backbone(torch.randn(1, 3, height, width))
        for found, channels, each in zip(maps, widths, strides, strict=True):
            assert found.shape == (1, channels, -(-height // each), -(-width // each)), name


def test_the_networks_own_normalisation() -> None:
    """Pictures arrive normalised as ImageNet's; this network wants (x - 0.5) / 0.5."""
    backbone = TimmBackbone("timm/tf_efficientnet_lite0", 16).eval()
    seen = []
    backbone.network.conv_stem.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    pixels = torch.rand(1, 3, 64, 64)
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    with torch.no_grad():
        backbone((pixels - mean) / std)
    torch.testing.assert_close(seen[0], (pixels - 0.5) / 0.5)


def test_frozen_norms_keep_statistics_and_scales() -> None:
    backbone = TimmBackbone("timm/tf_efficientnet_lite0", 16, frozen_norm=True).train()
    norms = [m for m in backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)
    assert not any(parameter.requires_grad for norm in norms for parameter in norm.parameters())
    assert any(parameter.requires_grad for parameter in backbone.parameters())


@pytest.mark.parametrize(
    ("name", "stride", "said"),
    [
        ("timm/resnet1", 8, r"timm has no network 'resnet1'; similar ones: .*resnet"),
        ("timm/mobilenetv3_small_050", 16, r"output_stride: .* has 32, got 16"),
        ("timm/vit_tiny_patch16_224", 8, r"output_stride: .* has 16, got 8"),
        ("timm/resnet18", 4, r"output_stride"),
        ("resnet1", 8, r"there are: .*small, and timm/NAME"),
    ],
)
def test_what_cannot_be_had(name: str, stride: int, said: str) -> None:
    with pytest.raises(HscError, match=said):
        build_backbone(name, None, stride, frozen_norm=True)


def test_widths_are_its_own() -> None:
    with pytest.raises(HscError, match="has widths of its own"):
        build_backbone("timm/resnet18", (1, 2, 3, 4), 8, frozen_norm=True)


def test_without_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(HscError, match=r"timm/resnet18 needs the package timm; pip install"):
        build_backbone("timm/resnet18", None, 8, frozen_norm=True)


def test_names() -> None:
    assert is_timm("timm/resnet18")
    assert not is_timm("resnet50")
