"""Optimiser, its parameter groups and the polynomial schedule.

The published recipes of PSA, SEAM, EPS, PPC and HSC use four groups: pretrained weights at the
base rate, their biases at twice, new weights at ten times, new biases at twenty times, biases
without weight decay. (Their optimiser class hands the weight decay to SGD as its momentum, so they
train with momentum 5e-4; it is a parameter here.)
"""

from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import nn

Role = Literal["pretrained", "new", "projector"]


def parameter_groups(
    parameters: Iterable[tuple[str, nn.Parameter]],
    role: Callable[[str], str],
    factors: dict[str, float],
    bias_factor: float,
    weight_decay: float,
) -> list[dict[str, Any]]:
    """Split trainable parameters by role and by weight or bias.

    `factors` maps a role to its multiple of the base rate. One-dimensional parameters (biases,
    norm scales) count as biases: rate times `bias_factor`, no decay. Each group carries `factor`,
    by which `set_rate` multiplies the base rate; the order is that of first appearance.
    """
    groups: dict[tuple[str, bool], dict[str, Any]] = {}
    for name, parameter in parameters:
        if not parameter.requires_grad:
            continue
        is_bias = parameter.ndim == 1
        key = (role(name), is_bias)
        if key not in groups:
            factor = factors[key[0]] * (bias_factor if is_bias else 1.0)
            decay = 0.0 if is_bias else weight_decay
            groups[key] = {"params": [], "factor": factor, "weight_decay": decay}
        groups[key]["params"].append(parameter)
    return list(groups.values())


def build_optimiser(
    name: Literal["sgd", "adamw"], groups: list[dict[str, Any]], lr: float, momentum: float
) -> torch.optim.Optimizer:
    """SGD or AdamW over groups made by `parameter_groups`. Raises ValueError for another name."""
    if name == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, fused=True)
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=lr, fused=True)
    raise ValueError(f"optimiser must be sgd or adamw, got {name!r}")


def poly_rate(lr: float, step: int, steps: int, power: float, warmup: int = 0) -> float:
    """lr * (1 - step / steps) ** power for step in 0..steps-1; later steps keep the last rate.

    Of the first `warmup` steps the s-th, counted from 1, has s / warmup of it.
    """
    begun = min(1.0, (step + 1) / warmup) if warmup else 1.0
    return begun * lr * (1 - min(step, steps - 1) / steps) ** power


def set_rate(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Give every group `lr` times its factor."""
    for group in optimiser.param_groups:
        group["lr"] = lr * group["factor"]
