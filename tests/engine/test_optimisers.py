"""Parameter groups, optimisers and the polynomial rate."""

import pytest
import torch
from torch import nn

from hsc.engine.optimisers import build_optimiser, parameter_groups, poly_rate, set_rate

FACTORS = {"pretrained": 1.0, "new": 10.0, "projector": 0.5}


def role(name: str) -> str:
    return name.split(".")[0]


def network() -> nn.ModuleDict:
    return nn.ModuleDict(
        {
            "pretrained": nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)),
            "new": nn.Conv2d(2, 4, 1),
            "projector": nn.Linear(2, 2, bias=False),
        }
    )


def groups_of(module: nn.Module) -> list[dict]:
    return parameter_groups(
        module.named_parameters(), role, FACTORS, bias_factor=2.0, weight_decay=5e-4
    )


def test_the_published_groups() -> None:
    groups = groups_of(network())
    found = [(group["factor"], group["weight_decay"], len(group["params"])) for group in groups]
    assert found == [
        (1.0, 5e-4, 1),  # pretrained weights
        (2.0, 0.0, 3),  # their biases, and the norm's scale and shift
        (10.0, 5e-4, 1),
        (20.0, 0.0, 1),
        (0.5, 5e-4, 1),
    ]


def test_every_parameter_is_in_one_group() -> None:
    module = network()
    listed = [id(p) for group in groups_of(module) for p in group["params"]]
    assert sorted(listed) == sorted(id(p) for p in module.parameters())


def test_frozen_parameters_are_left_out() -> None:
    module = network()
    module["pretrained"].requires_grad_(False)
    assert [group["factor"] for group in groups_of(module)] == [10.0, 20.0, 0.5]


def test_a_role_without_factor_is_an_error() -> None:
    with pytest.raises(KeyError, match="new"):
        parameter_groups(network().named_parameters(), role, {"pretrained": 1.0}, 2.0, 0.0)


def test_set_rate_multiplies_by_the_factor() -> None:
    optimiser = build_optimiser("sgd", groups_of(network()), lr=1.0, momentum=0.0)
    set_rate(optimiser, 0.01)
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx(
        [0.01, 0.02, 0.1, 0.2, 0.005]
    )
    set_rate(optimiser, 0.001)
    assert optimiser.param_groups[2]["lr"] == pytest.approx(0.01)


def test_sgd_by_hand() -> None:
    weight = nn.Parameter(torch.tensor([[2.0]]))
    groups = parameter_groups([("new.weight", weight)], role, FACTORS, 2.0, weight_decay=0.1)
    optimiser = build_optimiser("sgd", groups, lr=1.0, momentum=0.5)
    set_rate(optimiser, 0.01)  # 0.1 for new weights
    weight.grad = torch.tensor([[1.0]])
    optimiser.step()  # 1 + 0.1 * 2 = 1.2
    assert weight.item() == pytest.approx(2 - 0.1 * 1.2)
    optimiser.step()  # 0.5 * 1.2 + 1 + 0.1 * 1.88
    assert weight.item() == pytest.approx(1.88 - 0.1 * (0.6 + 1.188))


def test_adamw_decays_weights_only() -> None:
    module = nn.Linear(1, 1)
    nn.init.ones_(module.weight)
    nn.init.ones_(module.bias)
    groups = parameter_groups(module.named_parameters(), lambda _: "new", {"new": 1.0}, 1.0, 0.5)
    optimiser = build_optimiser("adamw", groups, lr=0.1, momentum=0.9)
    assert isinstance(optimiser, torch.optim.AdamW)
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    assert module.weight.item() == pytest.approx(1 - 0.1 * 0.5)
    assert module.bias.item() == 1.0


def test_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match="optimiser must be sgd or adamw, got 'lion'"):
        build_optimiser("lion", groups_of(network()), 0.1, 0.0)


def test_poly_rate() -> None:
    assert poly_rate(0.1, 0, 10, 0.9) == 0.1
    assert poly_rate(0.1, 5, 10, 1.0) == pytest.approx(0.05)
    assert poly_rate(0.1, 9, 10, 0.9) == pytest.approx(0.1 * 0.1**0.9)
    assert poly_rate(0.1, 10, 10, 0.9) == poly_rate(0.1, 9, 10, 0.9) > 0
    assert poly_rate(0.1, 3, 10, 0.0) == 0.1
    assert poly_rate(0.1, 0, 1, 0.9) == 0.1
    rates = [poly_rate(0.1, step, 10, 0.9) for step in range(10)]
    assert rates == sorted(rates, reverse=True)


def test_poly_rate_rises_in_its_warmup() -> None:
    full = [poly_rate(0.1, step, 10, 0.9) for step in range(10)]
    risen = [poly_rate(0.1, step, 10, 0.9, warmup=4) for step in range(10)]
    assert risen[:4] == pytest.approx([full[0] / 4, full[1] / 2, full[2] * 3 / 4, full[3]])
    assert risen[3:] == full[3:]
    assert 0 < poly_rate(0.1, 9, 10, 0.9, warmup=100) < full[9]
