"""DeepLab: sizes, groups and training with a batch of one."""

import pytest
import torch

from hsc.nets.backbones import SmallResNet
from hsc.nets.deeplab import Aspp, DeepLab


@pytest.fixture
def network() -> DeepLab:
    torch.manual_seed(0)
    return DeepLab(SmallResNet((4, 6, 8, 10)), 3, 5, (1, 2, 3, 4), dropout=0.5)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 23), (8, 5)])
def test_logits_have_the_picture_s_size(network: DeepLab, height: int, width: int) -> None:
    assert network.eval()(torch.randn(2, 3, height, width)).shape == (2, 4, height, width)


def test_a_batch_of_one_trains(network: DeepLab) -> None:
    network.train()
    logits = network(torch.randn(1, 3, 16, 16))
    torch.nn.functional.cross_entropy(logits, torch.zeros(1, 16, 16).long()).backward()
    missing = [name for name, p in network.named_parameters() if p.grad is None]
    assert missing == []
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


def test_its_norms_move_in_training(network: DeepLab) -> None:
    network.train()(torch.randn(1, 3, 16, 16))
    assert network.backbone.norm3.num_batches_tracked == 1


def test_dropout_in_training_only(network: DeepLab) -> None:
    image = torch.randn(1, 3, 16, 16)
    network.eval()
    assert torch.equal(network(image), network(image))
    network.dropout.train()
    assert not torch.equal(network(image), network(image))


def test_roles(network: DeepLab) -> None:
    roles: dict[str, set[str]] = {}
    for name, _ in network.named_parameters():
        roles.setdefault(network.role(name), set()).add(name.split(".")[0])
    assert roles == {"pretrained": {"backbone"}, "new": {"aspp", "classifier"}}


@pytest.mark.parametrize("rates", [(1,), (2, 4, 6, 8), (24, 48)])
def test_aspp_keeps_the_map_s_size_at_any_rate(rates: tuple[int, ...]) -> None:
    aspp = Aspp(6, 5, rates).eval()
    assert len(aspp.branches) == len(rates)
    assert [branch[0].dilation for branch in aspp.branches] == [(rate, rate) for rate in rates]
    assert aspp(torch.randn(2, 6, 7, 9)).shape == (2, 5, 7, 9)


def test_the_pooled_branch_sees_the_whole_picture() -> None:
    torch.manual_seed(0)
    aspp = Aspp(2, 4, (1,)).eval()
    torch.nn.init.ones_(aspp.pooled[0].weight)
    features = torch.rand(1, 2, 9, 9)
    changed = features.clone()
    changed[..., 0, 0] += 5  # far from the other corner, which a 3x3 branch cannot see
    assert not torch.equal(aspp(features)[..., 8, 8], aspp(changed)[..., 8, 8])
