"""The segmentation network against the numbers of the published DeepLab."""

import json
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hsc.data.classes import VOC_CLASSES
from hsc.nets.deeplab import DeepLab, deeplab_network
from hsc.weights import published_deeplab
from tests.golden import cases, load, statistics
from tests.golden_networks import compare, recipe_tensor


@pytest.fixture(scope="module", autouse=True)
def shared_deeplab() -> Iterator[None]:
    """Free its weights, 250 MB, behind the last test."""
    yield
    deeplab.cache_clear()


@cache
def deeplab(scale: float) -> DeepLab:
    """The network of recipe weights, which went through the import, in eval mode."""
    shapes = published_deeplab.expected_shapes()
    state = {key: recipe_tensor(key, shape, scale) for key, shape in shapes.items()}
    with torch.device("meta"):
        built = deeplab_network(published_deeplab.deeplab_spec(VOC_CLASSES))
    converted = published_deeplab.convert(state, Path("deeplabv2.pth"))
    built.load_state_dict(converted, assign=True)
    return built.eval()


@pytest.mark.parametrize("path", cases("keys", "deeplabv2_resnet101s.json"))
def test_deeplab_keys_and_recipe(path: Path) -> None:
    stored = json.loads(path.read_text())
    shapes = {entry["key"]: tuple(entry["shape"]) for entry in stored["keys"]}
    assert published_deeplab.expected_shapes() == shapes
    for entry in stored["keys"]:
        made = recipe_tensor(entry["key"], tuple(entry["shape"]), stored["weight_scale"])
        assert zlib.crc32(made.numpy().tobytes()) == entry["crc32"], entry["key"]


@pytest.mark.parametrize("path", cases("12_deeplabv2"))
@torch.no_grad()
def test_deeplab(path: Path) -> None:
    """Logits, and what the four stages, the head and the classifier give on the way."""
    inputs, outputs, meta = load(path)
    network = deeplab(meta["weight_scale"])
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        return lambda module, arguments, result: seen.update({name: result})

    stages = ("layer1", "layer2", "layer3", "layer4")
    watched = {name: network.backbone.get_submodule(name) for name in stages}
    watched |= {"aspp": network.head, "lowres": network.classifier}
    hooks = [module.register_forward_hook(keep(name)) for name, module in watched.items()]
    image = torch.from_numpy(inputs["x"])
    logits = network(image)
    for hook in hooks:
        hook.remove()
    assert torch.equal(
        logits, F.interpolate(seen["lowres"], image.shape[2:], mode="bilinear", align_corners=True)
    )
    got = {f"{name}_stats": statistics(seen[name]) for name in stages}
    got |= {
        "layer4_ch64": seen["layer4"][:, ::64],
        "aspp_ch16": seen["aspp"][:, ::16],
        "logits_lowres": seen["lowres"],
        "logits_sub3": logits[:, :, ::3, ::3],
        "logits_stats": statistics(logits),
    }
    compare("12_deeplabv2", got, outputs)
