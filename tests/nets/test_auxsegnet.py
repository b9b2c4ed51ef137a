"""AuxSegNet's network: its affinities, what is refined by which, and its weights file."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hsc.nets.auxsegnet import (
    AuxSegNet,
    CrossTaskAffinity,
    TaskBranch,
    apply_affinity,
    auxsegnet_network,
)
from hsc.nets.segmentation import load_segmentation
from hsc.nets.weights import save_weights

SPEC = {
    "backbone": "small",
    "widths": [4, 6, 8, 10],
    "output_stride": 4,
    "class_names": ["cat", "dog", "cow"],
    "channels": 5,
    "rates": [1, 2, 3],
    "head_dropout": 0.5,
}


@pytest.fixture
def network() -> AuxSegNet:
    torch.manual_seed(0)
    return auxsegnet_network(SPEC).eval()


@torch.no_grad()
def test_maps_have_the_sizes_that_they_say(network: AuxSegNet) -> None:
    image = torch.randn(2, 3, 33, 20)
    assert network.maps(image).second_cam is None
    maps = auxsegnet_network({**SPEC, "enrichment": 0.1}).maps(image)
    assert {name: tuple(value.shape) for name, value in maps._asdict().items()} == {
        "scores": (2, 3),
        "cam": (2, 3, 9, 5),
        "second_cam": (2, 3, 9, 5),
        "features": (2, network.backbone.channels, 9, 5),
        "segmentation": (2, 4, 9, 5),
        "refined_segmentation": (2, 4, 9, 5),
        "saliency": (2, 1, 9, 5),
        "refined_saliency": (2, 1, 9, 5),
        "affinity": (2, 45, 45),
    }


@torch.no_grad()
def test_scores_are_the_means_of_the_cam_and_the_prediction_is_refined(network: AuxSegNet) -> None:
    image = torch.randn(2, 3, 20, 24)
    maps = network.maps(image)
    torch.testing.assert_close(maps.scores, maps.cam.mean(dim=(2, 3)))
    assert torch.equal(network(image), maps.refined_segmentation)
    refined = apply_affinity(maps.affinity, maps.segmentation)
    torch.testing.assert_close(maps.refined_segmentation, refined)
    refined = apply_affinity(maps.affinity, maps.saliency)
    torch.testing.assert_close(maps.refined_saliency, refined)


def test_dropout_is_before_the_tags_only(network: AuxSegNet) -> None:
    network.train()
    image = torch.randn(1, 3, 16, 16)
    one, other = network.maps(image), network.maps(image)
    assert not torch.equal(one.scores, other.scores)
    assert torch.equal(one.cam, other.cam)
    assert torch.equal(one.refined_segmentation, other.refined_segmentation)


def test_a_cell_gathers_by_its_row() -> None:
    """Row i of the affinity is what cell i gathers, and cells are in the order of the rows."""
    affinity = torch.zeros(1, 6, 6)
    affinity[0, 1, 5] = 2.0  # cell (0, 1) gathers twice cell (1, 2)
    maps = torch.arange(6.0).view(1, 1, 2, 3)
    assert apply_affinity(affinity, maps).flatten().tolist() == [0, 10, 0, 0, 0, 0]


@torch.no_grad()
def test_rows_of_a_task_s_affinity_sum_to_1() -> None:
    task = TaskBranch((4, 5), 2, (1, 1, 1))
    affinity = task.affinity(torch.randn(2, 5, 3, 4))
    torch.testing.assert_close(affinity.sum(dim=2), torch.ones(2, 12))


def written_out(cross: CrossTaskAffinity, segmentation: Tensor, saliency: Tensor) -> Tensor:
    """The joint affinity as the paper has it: a softmax over the two tasks."""
    both = torch.stack([segmentation, saliency], dim=1)
    weights = cross.mix(F.relu(cross.near(both))).softmax(dim=1)
    return (weights * both).sum(dim=1)


@given(st.integers(0, 1000), st.integers(1, 3), st.integers(2, 9))
def test_the_joint_affinity_is_a_softmax_over_the_tasks(seed: int, count: int, cells: int) -> None:
    torch.manual_seed(seed)
    cross = CrossTaskAffinity().double()
    given = torch.randn(2, count, cells, cells, dtype=torch.float64).softmax(dim=3)
    torch.testing.assert_close(cross(*given), written_out(cross, *given))


def test_gradients_of_the_joint_affinity() -> None:
    torch.manual_seed(1)
    cross = CrossTaskAffinity().double()
    given = [torch.rand(1, 4, 4, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    weights = [parameter.detach().requires_grad_() for parameter in cross.parameters()]

    def joint(*values: Tensor) -> Tensor:
        names = [name for name, _ in cross.named_parameters()]
        state = dict(zip(names, values[2:], strict=True))
        return torch.func.functional_call(cross, state, values[:2])

    assert torch.autograd.gradcheck(joint, (*given, *weights))


def test_both_refined_maps_train_everything() -> None:
    """Nothing is detached: a loss on a refined map reaches affinities, features and backbone."""
    network = auxsegnet_network(SPEC).train()
    network.maps(torch.randn(1, 3, 24, 24)).refined_saliency.square().sum().backward()
    for name in ("cross.near", "segmentation.theta", "saliency.conv3", "backbone"):
        parameters = [p for p in network.get_submodule(name).parameters() if p.requires_grad]
        assert any(p.grad is not None and p.grad.any() for p in parameters), name


def test_every_new_layer_is_in_the_group_of_new_layers(network: AuxSegNet) -> None:
    """The published code leaves the joint affinity at the pretrained layers' rate."""
    roles = {name.split(".")[0]: network.role(name) for name, _ in network.named_parameters()}
    assert roles == {
        "backbone": "pretrained",
        "head": "new",
        "segmentation": "new",
        "saliency": "new",
        "cross": "new",
    }


@torch.no_grad()
def test_affinities_stay_float32_under_autocast(network: AuxSegNet) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps = network.maps(torch.randn(1, 3, 24, 24))
    assert maps.affinity.dtype == maps.refined_segmentation.dtype == torch.float32


def test_an_auxsegnet_comes_back(tmp_path: Path, network: AuxSegNet) -> None:
    path = tmp_path / "segmentation.pt"
    save_weights(path, "auxsegnet", SPEC, network.state_dict())
    loaded, spec = load_segmentation(path)
    assert spec == SPEC
    assert not loaded.training
    image = torch.randn(1, 3, 16, 16)
    assert torch.equal(network(image), loaded(image))
