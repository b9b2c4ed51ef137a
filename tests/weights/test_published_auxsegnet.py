"""AuxSegNet's published checkpoint; its keys are compared in tests/golden_auxsegnet.py."""

from pathlib import Path

import pytest
import torch

from hsc.base.errors import HscError
from hsc.data.classes import VOC_CLASSES
from hsc.nets.auxsegnet import auxsegnet_network
from hsc.nets.segmentation import load_segmentation
from hsc.weights.imported import import_weights
from hsc.weights.published_auxsegnet import auxsegnet_spec, convert, expected_shapes

PATH = Path("AuxSegNet_final.pth")


def published() -> dict[str, torch.Tensor]:
    """A checkpoint without values."""
    return {
        key: torch.empty(shape, device="meta", dtype=torch.float32)
        for key, shape in expected_shapes().items()
    }


def test_all_of_our_keys_come_from_the_checkpoint() -> None:
    with torch.device("meta"):
        network = auxsegnet_network(auxsegnet_spec(VOC_CLASSES))
    converted = convert(published(), PATH)
    assert converted.keys() == network.state_dict().keys()
    for key, value in network.state_dict().items():
        assert converted[key].shape == value.shape, key


def test_twelve_parameters_that_nothing_uses_are_dropped() -> None:
    state = published()
    kept = {id(value) for value in convert(state, PATH).values()}
    unused = {key for key, value in state.items() if id(value) not in kept}
    parameters = {key for key in unused if "running" not in key and "num_batches" not in key}
    assert parameters == {
        f"{task}_att.{key}"
        for task in ("seg", "sal")
        for key in (
            "g.weight",
            "g.bias",
            "W_z.0.weight",
            "W_z.0.bias",
            "W_z.1.weight",
            "W_z.1.bias",
        )
    }


@pytest.mark.parametrize("key", ["seg_att.g.weight", "cross_att.2.bias", "fc8.weight"])
def test_a_key_that_is_missing_is_an_error(key: str) -> None:
    state = published()
    del state[key]
    with pytest.raises(HscError, match=rf"not in the layout auxsegnet: missing {key}"):
        convert(state, PATH)


def test_the_import_writes_a_segmentation_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = {key: torch.randn(shape) * 0.01 for key, shape in expected_shapes().items()}
    torch.save(state, tmp_path / "published.pth")
    output = tmp_path / "segmentation.pt"
    said = import_weights(str(tmp_path / "published.pth"), "auxsegnet", output)
    assert said["supervision"] == "tags and saliency"
    network, spec = load_segmentation(output)
    assert spec == auxsegnet_spec(VOC_CLASSES)
    assert torch.equal(network.saliency.out.weight, state["sal_W.weight"])
    assert torch.equal(network.cross.near.weight, state["cross_att.0.weight"])
