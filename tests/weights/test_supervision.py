"""Which weights have seen segmentation masks, and that they are refused in words."""

import pytest
import torch

from hsc.base.errors import HscError
from hsc.weights.imported import LAYOUTS
from hsc.weights.supervision import OF_LAYOUT, refuse_masks, segmentation_parts, without_head


def test_every_layout_says_what_its_weights_have_seen() -> None:
    assert {*OF_LAYOUT, "own"} == set(LAYOUTS)
    assert [layout for layout, seen in OF_LAYOUT.items() if seen == "masks"] == ["deeplabv2"]


@pytest.mark.parametrize(
    ("keys", "parts"),
    [
        (["backbone.conv1.weight", "classifier.0.convs.0.0.weight", "aux_classifier.4.bias"],
         ["aux_classifier", "classifier"]),  # torchvision
        (["backbone.conv1.weight", "decode_head.conv_seg.weight"], ["decode_head"]),  # mmseg
        (["backbone.conv1.0.weight", "aspp.branch1.0.weight", "cls_conv.bias"],
         ["aspp", "cls_conv"]),
        (["backbone.b2.x", "conv_fov.weight", "bn_fov2.weight"], ["bn_fov2", "conv_fov"]),
        (["module.aspp.0.weight"], ["aspp"]),
        (["backbone.stem.weight", "head.mix.0.weight"], ["head"]),  # ours
        (["conv1.weight", "fc.weight", "layer1.0.conv1.weight"], []),  # ImageNet
        (["b2.conv_branch2a.weight", "fc8.weight", "f9.weight"], []),  # SEAM
        (["backbone.stem.weight", "head.weight"], []),  # our CAM network
        (["conv1.weight", "classifier.weight"], []),  # a network of tags
    ],
)  # fmt: skip
def test_segmentation_heads_are_known(keys: list[str], parts: list[str]) -> None:
    assert segmentation_parts(keys) == parts


def test_the_head_is_taken_off() -> None:
    state = {
        "backbone.conv1.weight": torch.ones(1),
        "classifier.4.weight": torch.zeros(1),
        "aux_classifier.0.weight": torch.zeros(1),
    }
    assert without_head(state) == {"conv1.weight": torch.ones(1)}
    bare = {"conv1.weight": torch.ones(1), "aspp.conv.weight": torch.zeros(1)}
    assert without_head(bare) == {"conv1.weight": torch.ones(1)}


@pytest.mark.parametrize("supervision", [None, "tags"])
def test_masks_are_refused_unless_the_recipe_says_so(supervision: str | None) -> None:
    with pytest.raises(HscError) as caught:
        refuse_masks("a.pth", "it has a segmentation head (aspp)", supervision)
    text = str(caught.value)
    assert text.startswith("a.pth: it has a segmentation head (aspp), so its weights were trained")
    assert "stronger supervision than image tags" in text
    assert "`supervision: masks`" in text
    refuse_masks("a.pth", "it has a segmentation head (aspp)", "masks")
