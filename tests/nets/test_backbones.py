"""Backbones: sizes, frozen norms, names."""

import math

import pytest
import torch
from torch import nn

from hsc.base.errors import HscError
from hsc.nets.backbones import backbone_names, build_backbone
from hsc.nets.small_resnet import SmallResNet
from hsc.weights.warmup import TagClassifier

WIDTHS = (4, 6, 8, 10)


def norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    return [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]


@pytest.mark.parametrize("stride", [4, 8])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 17), (31, 40), (1, 9)])
def test_sizes_are_the_pictures_over_the_stride_rounded_up(
    stride: int, height: int, width: int
) -> None:
    backbone = SmallResNet(WIDTHS, stride).eval()
    low, mid, final = backbone(torch.randn(2, 3, height, width))
    cells = (math.ceil(height / stride), math.ceil(width / stride))
    assert final.shape == (2, 10, *cells)
    assert low.shape[1] == backbone.low_channels == 4
    assert mid.shape[1] == backbone.mid_channels == 6
    assert backbone.channels == 10
    assert final.min() >= 0


def test_both_strides_have_the_same_weights() -> None:
    # The warm-up trains at a coarser stride than the CAM network, on the same weights.
    coarse, fine = SmallResNet(WIDTHS, 8), SmallResNet(WIDTHS, 4)
    fine.load_state_dict(coarse.state_dict())
    assert {k: v.shape for k, v in coarse.state_dict().items()} == {
        k: v.shape for k, v in fine.state_dict().items()
    }


def test_frozen_norm_keeps_its_statistics_in_training() -> None:
    backbone = SmallResNet(WIDTHS, frozen_norm=True).train()
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    image = torch.randn(2, 3, 16, 16)
    training = backbone(image).final
    assert all(torch.equal(before[k], v) for k, v in backbone.state_dict().items())
    assert backbone.training
    assert not any(norm.training for norm in norms(backbone))
    assert torch.equal(training, backbone.eval()(image).final)


def test_frozen_norm_survives_the_train_of_its_parent() -> None:
    parent = nn.ModuleDict({"backbone": SmallResNet(WIDTHS, frozen_norm=True), "own": nn.Dropout()})
    parent.eval().train()
    assert parent["own"].training
    assert not any(norm.training for norm in norms(parent["backbone"]))


def test_without_frozen_norm_the_statistics_move() -> None:
    backbone = SmallResNet(WIDTHS).train()
    assert all(norm.training for norm in norms(backbone))
    backbone(torch.randn(2, 3, 16, 16))
    assert all(norm.num_batches_tracked == 1 for norm in norms(backbone))
    assert not any(norm.training for norm in norms(backbone.eval()))


def test_every_parameter_gets_a_gradient() -> None:
    backbone = SmallResNet(WIDTHS, frozen_norm=True).train()
    backbone(torch.randn(2, 3, 16, 16)).final.sum().backward()
    missing = [name for name, p in backbone.named_parameters() if p.grad is None]
    assert missing == []


def test_the_seed_decides_the_weights() -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return SmallResNet(WIDTHS).stem.weight

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_build_by_name() -> None:
    assert backbone_names() == ("resnet101", "resnet101s", "resnet38", "resnet50", "small")
    backbone = build_backbone("small", WIDTHS, 8, frozen_norm=True)
    assert isinstance(backbone, SmallResNet)
    assert backbone.frozen_norm
    with pytest.raises(HscError, match=r"^backbone: 'vgg' is unknown; there are: .*small"):
        build_backbone("vgg", WIDTHS, 4, frozen_norm=False)


@pytest.mark.parametrize(
    ("name", "stride"),
    [
        ("resnet38", 8),
        ("resnet50", 8),
        ("resnet50", 16),
        ("resnet101", 8),
        ("resnet101", 16),
        ("resnet101s", 8),
        ("resnet101s", 16),
    ],
)
def test_every_backbone_keeps_its_promises(name: str, stride: int) -> None:
    with torch.device("meta"):
        backbone = build_backbone(name, None, stride, frozen_norm=True).train()
        low, mid, final = backbone(torch.empty(2, 3, 33, 40))
    assert final.shape == (2, backbone.channels, math.ceil(33 / stride), math.ceil(40 / stride))
    assert low.shape[1] == backbone.low_channels
    assert mid.shape[1] == backbone.mid_channels
    assert not any(norm.training for norm in norms(backbone))
    assert not any(p.requires_grad for norm in norms(backbone) for p in norm.parameters())


@pytest.mark.parametrize(
    ("name", "widths", "stride", "words"),
    [
        ("small", WIDTHS, 16, "output_stride: the backbone small has 4 or 8, got 16"),
        ("resnet38", None, 4, "output_stride: the backbone resnet38 has 8, got 4"),
        ("resnet50", None, 4, "output_stride: the backbone resnet50 has 8 or 16, got 4"),
        ("resnet101", None, 32, "output_stride: the backbone resnet101 has 8 or 16, got 32"),
        ("small", None, 8, "widths: the backbone small needs them"),
        ("resnet38", WIDTHS, 8, "widths: the backbone resnet38 has widths of its own"),
        ("resnet50", [1], 16, "widths: the backbone resnet50 has widths of its own"),
    ],
)
def test_what_a_backbone_does_not_have_is_the_user_s_problem(
    name: str, widths: tuple[int, ...] | None, stride: int, words: str
) -> None:
    with pytest.raises(HscError) as caught:
        build_backbone(name, widths, stride, frozen_norm=False)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize("stride", [2, 16])
def test_other_strides_are_refused(stride: int) -> None:
    with pytest.raises(ValueError, match=f"output_stride must be 4 or 8, got {stride}"):
        SmallResNet(WIDTHS, stride)


def test_tag_classifier_is_the_global_average_of_its_maps() -> None:
    classifier = TagClassifier(SmallResNet(WIDTHS), num_classes=3).eval()
    image = torch.randn(2, 3, 16, 24)
    logits = classifier(image)
    assert logits.shape == (2, 3)
    maps = classifier.head(classifier.backbone(image).final)
    assert torch.allclose(logits, maps.mean(dim=(2, 3)), atol=1e-6)


def test_tag_classifier_pools_the_strongest_cells() -> None:
    classifier = TagClassifier(SmallResNet(WIDTHS), num_classes=3, pool=0.25).eval()
    image = torch.randn(2, 3, 16, 16)
    maps = classifier.head(classifier.backbone(image).final).flatten(2)  # 4 * 4 cells
    strongest = maps.sort(dim=2, descending=True).values[:, :, :4]
    assert torch.allclose(classifier(image), strongest.mean(dim=2), atol=1e-6)


@pytest.mark.parametrize("pool", [0.0, 1.5])
def test_tag_classifier_refuses_another_fraction(pool: float) -> None:
    with pytest.raises(ValueError, match=r"pool has to be in \(0, 1\]"):
        TagClassifier(SmallResNet(WIDTHS), num_classes=3, pool=pool)


def test_weights_mean_the_same_at_both_output_strides() -> None:
    coarse, fine = SmallResNet(WIDTHS, 8).eval(), SmallResNet(WIDTHS, 4).eval()
    fine.load_state_dict(coarse.state_dict())
    image = torch.randn(2, 3, 48, 40)
    at_eight, at_four = coarse(image).final, fine(image).final
    torch.testing.assert_close(at_four[:, :, ::2, ::2], at_eight)
