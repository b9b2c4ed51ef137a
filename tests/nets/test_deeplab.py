"""DeepLab: its heads, sizes, groups, dropout, and training with small batches."""

import pytest
import torch
from torch import nn

from hsc.nets.deeplab import Aspp, DeepLab, LargeFov
from hsc.nets.small_resnet import SmallResNet


def make(kind: str = "aspp", **options: object) -> DeepLab:
    torch.manual_seed(0)
    backbone = SmallResNet((4, 6, 8, 10))
    head = {
        "aspp": lambda: Aspp(10, 5, (1, 2, 3, 4), pooled_norm=False),
        "published": lambda: Aspp(10, 5, (1, 2, 3, 4)),
        "largefov": lambda: LargeFov(10, 5, 3),
    }[kind]()
    return DeepLab(backbone, 3, head, dropout=0.5, **options)


@pytest.fixture(params=["aspp", "published", "largefov"])
def network(request: pytest.FixtureRequest) -> DeepLab:
    return make(request.param)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 23), (8, 5)])
def test_logits_have_the_picture_s_size(network: DeepLab, height: int, width: int) -> None:
    assert network.eval()(torch.randn(2, 3, height, width)).shape == (2, 4, height, width)


def check_training(network: DeepLab, pictures: int) -> None:
    network.train()
    logits = network(torch.randn(pictures, 3, 16, 16))
    truth = torch.zeros(pictures, 16, 16).long()
    torch.nn.functional.cross_entropy(logits, truth).backward()
    missing = [name for name, p in network.named_parameters() if p.grad is None]
    assert missing == []
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


def test_it_trains(network: DeepLab) -> None:
    check_training(network, pictures=2)


@pytest.mark.parametrize("kind", ["aspp", "largefov"])
def test_a_batch_of_one_trains_without_a_pooled_norm(kind: str) -> None:
    check_training(make(kind), pictures=1)


def test_its_norms_move_in_training(network: DeepLab) -> None:
    network.train()(torch.randn(2, 3, 16, 16))
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {int(norm.num_batches_tracked) for norm in norms} == {1}


def test_the_momentum_is_that_of_the_head_s_norms() -> None:
    for head in (Aspp(10, 5, (1, 2), norm_momentum=0.3), LargeFov(10, 5, norm_momentum=0.3)):
        norms = [module for module in head.modules() if isinstance(module, nn.BatchNorm2d)]
        assert norms
        assert {norm.momentum for norm in norms} == {0.3}


def test_dropout_in_training_only(network: DeepLab) -> None:
    image = torch.randn(1, 3, 16, 16)
    network.eval()
    assert torch.equal(network(image), network(image))
    network.dropout.train()
    assert not torch.equal(network(image), network(image))


@pytest.mark.parametrize("dropout_of", ["channels", "values"])
def test_what_is_dropped(dropout_of: str) -> None:
    dropout = make(dropout_of=dropout_of).dropout.train()
    dropped = dropout(torch.ones(8, 5, 4, 4)) == 0
    whole = dropped.flatten(2).all(dim=2) | ~dropped.flatten(2).any(dim=2)
    assert 0 < dropped.float().mean() < 1
    assert bool(whole.all()) == (dropout_of == "channels")


def test_roles(network: DeepLab) -> None:
    roles: dict[str, set[str]] = {}
    for name, _ in network.named_parameters():
        roles.setdefault(network.role(name), set()).add(name.split(".")[0])
    assert roles == {"pretrained": {"backbone"}, "new": {"head", "classifier"}}


@pytest.mark.parametrize("rates", [(1,), (2, 4, 6, 8), (24, 48)])
def test_aspp_keeps_the_map_s_size_at_any_rate(rates: tuple[int, ...]) -> None:
    aspp = Aspp(6, 5, rates).eval()
    assert len(aspp.branches) == len(rates)
    assert [branch[0].dilation for branch in aspp.branches] == [(rate, rate) for rate in rates]
    assert aspp(torch.randn(2, 6, 7, 9)).shape == (2, 5, 7, 9)


@pytest.mark.parametrize("pooled_norm", [False, True])
def test_the_pooled_branch_sees_the_whole_picture(pooled_norm: bool) -> None:
    torch.manual_seed(0)
    aspp = Aspp(2, 4, (1,), pooled_norm).eval()
    torch.nn.init.ones_(aspp.pooled[0].weight)
    features = torch.rand(1, 2, 9, 9)
    changed = features.clone()
    changed[..., 0, 0] += 5  # far from the other corner, which a 3x3 branch cannot see
    assert not torch.equal(aspp(features)[..., 8, 8], aspp(changed)[..., 8, 8])


def test_the_large_field_of_view_is_its_dilation() -> None:
    torch.manual_seed(0)
    head = LargeFov(2, 4, dilation=3).eval()
    features = torch.rand(1, 2, 9, 9)
    before = head(features)
    assert before.shape == (1, 4, 9, 9)
    for (row, column), seen in {(4, 4): True, (1, 4): True, (7, 7): True, (3, 4): False}.items():
        changed = features.clone()
        changed[..., row, column] += 50
        same = torch.equal(before[..., 4, 4], head(changed)[..., 4, 4])
        assert same is not seen, (row, column)
