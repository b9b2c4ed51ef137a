"""The published DeepLab's checkpoint; its keys are compared in tests/golden_segmentation.py."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from hsc.base.errors import HscError
from hsc.nets.deeplab import deeplab_network
from hsc.weights.published_deeplab import convert, deeplab_spec, expected_shapes

PATH = Path("deeplab.pth")
CLASSES = tuple(f"class {index}" for index in range(1, 21))


def checkpoint(num_classes: int = 20) -> dict[str, Tensor]:
    """Every key with a number of its own, spread without memory."""
    return {
        key: torch.tensor(float(index)).expand(shape)
        for index, (key, shape) in enumerate(expected_shapes(num_classes).items())
    }


def test_our_network_takes_it() -> None:
    with torch.device("meta"):
        network = deeplab_network(deeplab_spec(CLASSES))
    converted = convert(checkpoint(), PATH)
    shapes = {key: tensor.shape for key, tensor in network.state_dict().items()}
    assert {key: tensor.shape for key, tensor in converted.items()} == shapes


@pytest.mark.parametrize(
    ("published", "ours"),
    [
        ("backbone.conv1.0.weight", "backbone.conv1.0.weight"),
        ("aspp.branch1.0.weight", "head.branches.0.0.weight"),
        ("aspp.branch4.1.bias", "head.branches.3.1.bias"),
        ("aspp.branch5_conv.weight", "head.pooled.0.weight"),
        ("aspp.branch5_bn.running_var", "head.pooled.1.running_var"),
        ("aspp.conv_cat.0.weight", "head.mix.0.weight"),
        ("cls_conv.bias", "classifier.bias"),
    ],
)
def test_every_part_goes_where_it_belongs(published: str, ours: str) -> None:
    state = checkpoint()
    converted = convert(state, PATH)
    assert len(converted) == len(state)
    assert torch.equal(converted[ours], state[published])


def test_counts_of_steps_may_be_missing() -> None:
    state = checkpoint()
    old = {key: tensor for key, tensor in state.items() if "num_batches" not in key}
    converted = convert(old, PATH)
    assert converted.keys() == convert(state, PATH).keys()
    assert converted["head.mix.1.num_batches_tracked"] == 0


def test_every_fault_is_listed() -> None:
    state = checkpoint()
    del state["aspp.conv_cat.0.weight"]
    state["aux.weight"] = torch.zeros(1)
    with pytest.raises(HscError) as caught:
        convert(state, PATH, num_classes=80)
    assert str(caught.value) == (
        "deeplab.pth: not in the layout deeplabv2: missing aspp.conv_cat.0.weight; "
        "unexpected aux.weight; cls_conv.bias is (21,), not (81,); "
        "cls_conv.weight is (21, 256, 1, 1), not (81, 256, 1, 1)"
    )
