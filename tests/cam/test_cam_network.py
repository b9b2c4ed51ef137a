"""The CAM network: shapes, groups, and where gradients go."""

import pytest
import torch

from hsc.cam.network import CamNetwork, ContextProjector, Projector, upsample
from hsc.cam.pcm import PixelCorrelation
from hsc.nets.small_resnet import SmallResNet


@pytest.fixture
def network() -> CamNetwork:
    torch.manual_seed(0)
    backbone = SmallResNet((4, 6, 8, 10), frozen_norm=True)
    pcm = PixelCorrelation(4, 6, 3, 5, 7)
    return CamNetwork(backbone, 3, pcm, Projector(10, 9, blocks=2), Projector(10, 5, blocks=1))


def test_shapes(network: CamNetwork) -> None:
    cam, refined, features = network(torch.randn(2, 3, 17, 24))
    assert cam.shape == (2, 4, 5, 6)  # background and three classes
    assert refined.shape == (2, 4, 5, 6)
    assert features.shape == (2, 10, 5, 6)
    assert refined.min() >= 0
    assert refined.max() <= 1
    assert torch.equal(cam, network.head(features))


def test_without_pcm_there_are_no_refined_maps() -> None:
    network = CamNetwork(SmallResNet((4, 6, 8, 10)), 3)
    assert network(torch.randn(1, 3, 16, 16)).refined is None
    assert {network.role(name) for name, _ in network.named_parameters()} == {"pretrained", "new"}


def test_every_parameter_has_its_role(network: CamNetwork) -> None:
    roles: dict[str, set[str]] = {}
    for name, _ in network.named_parameters():
        roles.setdefault(network.role(name), set()).add(name.split(".")[0])
    assert roles == {
        "pretrained": {"backbone"},
        "new": {"head", "pcm"},
        "projector": {"projector_class", "projector_pixel"},
    }


def test_the_refined_map_does_not_train_backbone_and_head(network: CamNetwork) -> None:
    network(torch.randn(2, 3, 16, 16)).refined.pow(2).sum().backward()
    trained = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is not None}
    assert trained == {"pcm"}


def test_the_cam_trains_backbone_and_head(network: CamNetwork) -> None:
    network(torch.randn(2, 3, 16, 16)).cam.pow(2).sum().backward()
    trained = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is not None}
    assert trained == {"backbone", "head"}


def test_the_embedding_trains_the_backbone(network: CamNetwork) -> None:
    features = network(torch.randn(2, 3, 16, 16)).features
    network.projector_class(features).sum().backward()
    assert network.backbone.last.weight.grad is not None


def test_train_keeps_the_norms_frozen(network: CamNetwork) -> None:
    before = {k: v.clone() for k, v in network.state_dict().items()}
    network.train()(torch.randn(2, 3, 16, 16))
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


@pytest.mark.parametrize("blocks", [1, 2])
def test_projector(blocks: int) -> None:
    projector = Projector(10, 6, blocks)
    found = projector(torch.randn(2, 10, 3, 4))
    assert found.shape == (2, 6, 3, 4)
    assert found.min() >= 0
    convolutions = [part for part in projector.modules() if isinstance(part, torch.nn.Conv2d)]
    assert len(convolutions) == blocks


def test_projector_without_bias_maps_nothing_to_nothing() -> None:
    assert Projector(10, 6, 1, bias=False)(torch.zeros(1, 10, 3, 4)).eq(0).all()


def test_context_projector() -> None:
    torch.manual_seed(0)
    projector = ContextProjector(10, 6).train()
    features = torch.randn(2, 10, 3, 4)
    found = projector(features)
    assert found.shape == (2, 6, 3, 4)
    assert found.min() < 0  # no ReLU at the end
    found.sum().backward()
    assert all(p.grad is not None for p in projector.parameters())
    # an embedding does not depend on the rest of the batch, in training either
    assert projector.training
    torch.testing.assert_close(projector(features[:1]), found[:1])
    assert projector.layers[1].num_batches_tracked == 0
    # it sees its neighbours: a change in one cell reaches the next one
    features[0, :, 0, 0] += 1
    assert not torch.equal(projector(features)[0, :, 1, 1], found[0, :, 1, 1])


def test_dropout_before_the_head_in_training_only() -> None:
    torch.manual_seed(0)
    network = CamNetwork(SmallResNet((4, 6, 8, 10), frozen_norm=True), 3, head_dropout=0.5)
    image = torch.randn(2, 3, 16, 16)
    cam, _, features = network.train()(image)
    assert not torch.equal(cam, network.head(features))
    assert torch.equal(features, network(image).features)  # the projectors see all channels
    cam, _, features = network.eval()(image)
    assert torch.equal(cam, network.head(features))


def test_upsample_puts_corners_on_corners() -> None:
    maps = torch.tensor([[0.0, 1], [2, 3]]).view(1, 1, 2, 2)
    expected = torch.tensor([[0, 0.5, 1], [1, 1.5, 2], [2, 2.5, 3]]).view(1, 1, 3, 3)
    assert torch.allclose(upsample(maps, (3, 3)), expected)


def test_refining_is_left_out_on_request(network: CamNetwork) -> None:
    image = torch.randn(1, 3, 32, 32)
    maps = network(image, refine=False)
    assert maps.refined is None
    assert torch.equal(maps.cam, network(image).cam)
    assert network(image).refined is not None
