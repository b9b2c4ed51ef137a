"""Published checkpoints: keys there and back, the background's place, every fault listed.

The keys are compared with the published ones in tests/golden_networks.py.
"""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from hsc.base.errors import HscError
from hsc.cam.network import cam_network
from hsc.nets.resnet38 import ResNet38
from hsc.weights.published import LAYOUTS, cam_spec, convert, expected_shapes, to_published

PATH = Path("some.pth")
CLASSES = tuple(f"class {index}" for index in range(1, 21))
CAM_LAYOUTS = [name for name, layout in LAYOUTS.items() if layout.background is not None]


def checkpoint(layout: str, num_classes: int = 20) -> dict[str, Tensor]:
    """Every key with a number of its own, spread without memory; the head one for each row."""
    state = {}
    for index, (key, shape) in enumerate(expected_shapes(layout, num_classes).items()):
        if key == "fc8.weight":
            state[key] = torch.arange(float(shape[0]))[:, None, None, None].expand(shape)
        else:
            state[key] = torch.tensor(float(index)).expand(shape)
    return state


@pytest.mark.parametrize("layout", LAYOUTS)
def test_there_and_back(layout: str) -> None:
    state = checkpoint(layout)
    back = to_published(layout, convert(layout, state, PATH))
    assert list(back) == list(state)
    for key, tensor in state.items():
        assert torch.equal(back[key], tensor), key


@pytest.mark.parametrize("layout", CAM_LAYOUTS)
def test_a_cam_network_takes_it(layout: str) -> None:
    with torch.device("meta"):
        network = cam_network(cam_spec(layout, CLASSES))
    own = {key: tensor.shape for key, tensor in network.state_dict().items()}
    converted = convert(layout, checkpoint(layout), PATH)
    assert {key: tensor.shape for key, tensor in converted.items()} == own


def test_the_backbone_alone_has_the_backbone_s_keys() -> None:
    with torch.device("meta"):
        own = ResNet38().state_dict()
    assert set(convert("resnet38d", checkpoint("resnet38d"), PATH)) == set(own)


def test_the_affinity_network_s_head_is_named() -> None:
    converted = convert("psa", checkpoint("psa"), PATH)
    assert sorted(key for key in converted if not key.startswith("backbone.")) == [
        "affinity.embed.weight",
        "affinity.reduce_final.weight",
        "affinity.reduce_low.weight",
        "affinity.reduce_mid.weight",
    ]
    with pytest.raises(HscError, match="layout: psa is no CAM network"):
        cam_spec("psa", CLASSES)


@pytest.mark.parametrize(
    ("layout", "first_rows"),
    [("seam", [0, 1, 2]), ("ppc", [0, 1, 2]), ("eps", [20, 0, 1]), ("hsc", [20, 0, 1])],
)
def test_the_background_comes_first(layout: str, first_rows: list[int]) -> None:
    head = convert(layout, checkpoint(layout), PATH)["head.weight"]
    assert head.shape == (21, 4096, 1, 1)
    assert head[:3, 0, 0, 0].tolist() == first_rows


def test_a_head_without_background_gets_a_row_of_zeros() -> None:
    converted = convert("eps_cls", checkpoint("eps_cls"), PATH)
    assert converted["head.weight"][:, 7, 0, 0].tolist() == [0.0, *range(20)]
    converted["head.weight"][0, 5] = 0.1
    with pytest.raises(ValueError, match=r"eps_cls has no background, but head\.weight\[0\] is"):
        to_published("eps_cls", converted)


def test_other_numbers_of_classes() -> None:
    converted = convert("eps", checkpoint("eps", 80), PATH, num_classes=80)
    assert converted["head.weight"].shape[0] == 81
    with pytest.raises(
        HscError, match=r"fc8\.weight is \(81, 4096, 1, 1\), not \(21, 4096, 1, 1\)"
    ):
        convert("eps", checkpoint("eps", 80), PATH)


def test_counts_of_steps_may_be_missing() -> None:
    state = checkpoint("hsc")
    old = {key: tensor for key, tensor in state.items() if "num_batches" not in key}
    assert len(old) < len(state)
    converted = convert("hsc", old, PATH)
    assert set(converted) == set(convert("hsc", state, PATH))
    counts = [value for key, value in converted.items() if "num_batches" in key]
    assert all(torch.equal(count, torch.tensor(0)) for count in counts)


def test_every_fault_is_listed() -> None:
    state = checkpoint("seam")
    del state["f9.weight"], state["bn7.running_var"]
    state["fc9.weight"] = torch.zeros(1)
    state["module"] = {}
    state["b5.conv_branch1.weight"] = torch.zeros(2, 3)
    state["fc8.weight"] = [1, 2]
    before = dict(state)
    with pytest.raises(HscError) as caught:
        convert("seam", state, PATH)
    assert str(caught.value) == (
        "some.pth: not in the layout seam: missing bn7.running_var; missing f9.weight; "
        "unexpected fc9.weight; unexpected module; "
        "b5.conv_branch1.weight is (2, 3), not (1024, 512, 1, 1); "
        "fc8.weight is a list, not a tensor"
    )
    assert state == before


@pytest.mark.parametrize(("layout", "other"), [("seam", "hsc"), ("hsc", "seam"), ("eps", "seam")])
def test_the_checkpoint_of_another_method_is_refused(layout: str, other: str) -> None:
    with pytest.raises(HscError, match=f"some.pth: not in the layout {layout}: "):
        convert(layout, checkpoint(other), PATH)


def test_only_what_fits_is_exported() -> None:
    state = convert("seam", checkpoint("seam"), PATH)
    del state["head.weight"]
    with pytest.raises(ValueError, match=r"does not fit the layout seam: missing head\.weight"):
        to_published("seam", state)


@pytest.mark.parametrize("use", [expected_shapes, lambda name: convert(name, {}, PATH),
                                 lambda name: to_published(name, {}),
                                 lambda name: cam_spec(name, CLASSES)])  # fmt: skip
def test_an_unknown_layout_lists_those_there_are(use) -> None:
    with pytest.raises(HscError, match="layout: 'irn' is unknown; there are: eps, eps_cls, hsc,"):
        use("irn")
