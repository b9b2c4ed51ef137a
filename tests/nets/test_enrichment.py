"""DSCNet's second CAM: what is gathered, where it begins, what it depends on."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from hsc.cam.network import cam_network
from hsc.losses.groups import centred
from hsc.nets.enrichment import Enrichment

D, R = 6, 4
SPEC = {
    "backbone": "small",
    "widths": [4, 4, 8, 8],
    "output_stride": 4,
    "class_names": ["a", "b", "c"],
    "pcm": [3, 3, 4],
    "projectors": None,
    "enrichment": 0.1,
}


def made(seed: int = 0, seen: tuple[int, ...] = (1, 1, 1, 1)) -> Enrichment:
    """With nodes and weights of their own, in float64."""
    torch.manual_seed(seed)
    enrichment = Enrichment(nn.Conv2d(D, R, 1, bias=False), R, 0.1).double()
    nn.init.normal_(enrichment.gathered.weight)
    enrichment.take(torch.randn(R, D), torch.tensor(seen).bool())
    return enrichment


def written_out(enrichment: Enrichment, features: Tensor) -> Tensor:
    """(10) and (11) as they stand: gather, put beside the features, a head on twice the width."""
    seen = enrichment.seen
    nodes = centred(enrichment.nodes[seen].T[None, :, :, None])[0]
    near = centred(features) @ nodes.T / enrichment.temperature
    gathered = near.softmax(dim=2) @ enrichment.nodes[seen]
    wide = torch.cat([gathered, features.flatten(2).transpose(1, 2)], dim=2)
    weight = torch.cat([enrichment.gathered.weight, enrichment.own.weight[:, :, 0, 0]], dim=1)
    return (wide @ weight.T).transpose(1, 2).view(len(features), R, *features.shape[2:])


@given(st.integers(0, 500))
def test_it_is_a_head_on_both_beside_each_other(seed: int) -> None:
    enrichment = made(seed)
    features = torch.randn(2, D, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(enrichment(features), written_out(enrichment, features))


def test_a_node_that_nobody_has_seen_is_not_attended_to() -> None:
    enrichment = made(seen=(1, 0, 1, 1))
    features = torch.randn(2, D, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(enrichment(features), written_out(enrichment, features))


def test_without_a_node_it_is_the_plain_head() -> None:
    enrichment = made(seen=(0, 0, 0, 0))
    features = torch.randn(1, D, 3, 4, dtype=torch.float64)
    assert torch.equal(enrichment(features), enrichment.own(features))


def test_it_begins_as_the_plain_cam() -> None:
    network = cam_network(SPEC).eval()
    network.enrichment.take(torch.randn(R, 8), torch.ones(R).bool())
    image = torch.randn(1, 3, 32, 32)
    second, plain = network(image), network(image, enrich=False)
    assert torch.equal(second.cam, plain.cam)
    assert torch.equal(second.refined, plain.refined)


def test_the_network_gives_the_second_cam_and_its_pcm_refines_that() -> None:
    network = cam_network(SPEC).eval()
    nn.init.normal_(network.enrichment.gathered.weight)
    network.enrichment.take(torch.randn(R, 8), torch.ones(R).bool())
    image = torch.randn(1, 3, 32, 32)
    second, plain = network(image), network(image, enrich=False)
    assert torch.equal(second.cam, network.enrichment(plain.features))
    assert not torch.allclose(second.cam, plain.cam)
    assert not torch.allclose(second.refined, plain.refined)


def test_gradients_reach_features_and_heads_and_not_the_nodes() -> None:
    enrichment = made()
    features = torch.randn(1, D, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(enrichment, features)
    enrichment(features).square().sum().backward()
    assert all(parameter.grad.any() for parameter in enrichment.parameters())
    assert not enrichment.nodes.requires_grad


@pytest.mark.parametrize("key", ["enrichment.nodes", "enrichment.seen", "enrichment.own.weight"])
def test_it_is_in_the_checkpoint_and_in_the_group_of_new_layers(key: str) -> None:
    network = cam_network(SPEC)
    assert key in network.state_dict()
    assert network.role(key) == "new"
    without = cam_network({name: value for name, value in SPEC.items() if name != "enrichment"})
    assert not [name for name in without.state_dict() if name.startswith("enrichment")]
