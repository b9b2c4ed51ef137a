"""AffinityNet: the pair affinities and their gradient, every backbone, weights there and back.

The published numbers are compared in tests/golden_affinity.py.
"""

import math
from pathlib import Path

import pytest
import torch
from torch.autograd import gradcheck

from benchmarks.reference_affinity import dense_affinity
from hsc.base.errors import HscError
from hsc.nets.backbones import backbone_names
from hsc.nets.weights import save_weights
from hsc.psa.network import (
    AffinityNetwork,
    affinity_network,
    load_affinity_network,
    pair_affinity,
)
from hsc.psa.pairs import pair_offsets
from hsc.weights.published import affinity_spec

SMALL = {
    "backbone": "small",
    "widths": [4, 4, 8, 8],
    "output_stride": 4,
    "affinity_widths": [3, 4, 5],
    "radius": 3,
}


@pytest.fixture
def network() -> AffinityNetwork:
    torch.manual_seed(0)
    return affinity_network(SMALL).eval()


def test_affinity_by_hand() -> None:
    embedding = torch.tensor([[[[0.0, 1.0]], [[0.0, -3.0]]]])  # two channels, two cells
    affinity = pair_affinity(embedding, pair_offsets(2))
    assert affinity.shape == (1, 4, 1, 2)
    assert affinity[0, 0, 0].tolist() == pytest.approx([math.exp(-2), 0])
    assert not affinity[0, 1:].any(), "below there is nothing"


def test_affinity_is_symmetric_and_within_0_and_1() -> None:
    torch.manual_seed(0)
    embedding, offsets = torch.randn(1, 6, 7, 5), pair_offsets(4)
    dense = dense_affinity(pair_affinity(embedding, offsets)[0], offsets)
    assert dense.min() >= 0
    assert dense.max() == 1
    flat = embedding[0].flatten(1)
    distance = (flat[:, :, None] - flat[:, None]).abs().mean(0)
    linked = dense > 0
    torch.testing.assert_close(dense[linked], torch.exp(-distance)[linked])
    turned = pair_affinity(embedding.flip(2, 3), offsets)[0]
    torch.testing.assert_close(dense_affinity(turned, offsets), dense.flip(0, 1))


@pytest.mark.parametrize("size", [(5, 6), (2, 3), (1, 1)])
def test_gradient_of_the_affinities(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    embedding = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda values: pair_affinity(values, pair_offsets(3)), embedding)


def test_equal_cells_have_no_gradient_that_is_not_finite() -> None:
    embedding = torch.zeros(1, 2, 3, 3, requires_grad=True)
    pair_affinity(embedding, pair_offsets(3)).log1p().sum().backward()
    assert not embedding.grad.any()


@pytest.mark.parametrize("name", backbone_names())
def test_every_backbone_has_affinities(name: str) -> None:
    """On meta: shapes only, the large ones have 100 million weights."""
    small = name == "small"
    spec = SMALL if small else affinity_spec() | {"backbone": name}
    with torch.device("meta"):
        built = affinity_network(spec).train()
        embedding = built.affinity(built.backbone(torch.empty(2, 3, 40, 50)))
        affinity = pair_affinity(embedding, built.offsets)
    stride = spec["output_stride"]
    cells = (math.ceil(40 / stride), math.ceil(50 / stride))
    assert affinity.shape == (2, len(pair_offsets(spec["radius"])), *cells)
    norms = [m for m in built.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)


@pytest.mark.parametrize(("height", "width"), [(40, 40), (37, 22), (5, 9)])
def test_any_size_of_picture(network: AffinityNetwork, height: int, width: int) -> None:
    affinity = network(torch.randn(1, 3, height, width))
    assert affinity.shape == (1, 12, -(-height // 4), -(-width // 4))
    assert affinity.dtype == torch.float32
    assert torch.isfinite(affinity).all()


def test_everything_trains(network: AffinityNetwork) -> None:
    network.train()(torch.randn(2, 3, 24, 24)).sum().backward()
    missing = [name for name, p in network.named_parameters() if p.grad is None]
    assert missing == []


def test_low_precision_ends_at_the_affinities(network: AffinityNetwork) -> None:
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        fine = network(image)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            coarse = network(image)
    assert not torch.equal(coarse, fine)
    assert coarse.dtype == torch.float32
    torch.testing.assert_close(coarse, fine, atol=0.05, rtol=0)


def test_roles(network: AffinityNetwork) -> None:
    roles: dict[str, set[str]] = {}
    for name, _ in network.named_parameters():
        roles.setdefault(network.role(name), set()).add(name.split(".")[0])
    assert roles == {"pretrained": {"backbone"}, "new": {"affinity"}}


def test_weights_there_and_back(network: AffinityNetwork, tmp_path: Path) -> None:
    path = tmp_path / "affinity.pt"
    save_weights(path, "affinity", SMALL, network.state_dict())
    loaded, spec = load_affinity_network(path)
    assert spec == SMALL
    assert not loaded.training
    image = torch.randn(1, 3, 32, 32)
    assert torch.equal(loaded(image), network(image))


def test_weights_of_another_kind_are_an_error(network: AffinityNetwork, tmp_path: Path) -> None:
    path = tmp_path / "cam.pt"
    save_weights(path, "cam", SMALL, network.state_dict())
    with pytest.raises(HscError, match=r"cam\.pt: expected affinity weights"):
        load_affinity_network(path)
    path.write_text("psa.enabled is false")
    with pytest.raises(HscError, match=r"cam\.pt: no readable weights file"):
        load_affinity_network(path)
