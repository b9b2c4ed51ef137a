"""Pixel-to-Prototype Contrast (PPC, Du et al., CVPR 2022): prototypes and intra-view contrast.

Its two cross-view terms are `hsc.losses.pixel.pixel_contrast`: F(v_i; y_i; P') with the other
view's prototypes (cross prototype) and F(v_i; y'_i; P) with the other view's pseudo labels (cross
pseudo label). What stands here is what HSC did not take over.

Legend: N batch, C foreground classes, R = C+1 prototype rows, background first, D feature channels,
h w map cells, P = N*h*w pixels of the batch.
"""

import torch
from torch import Tensor

from hsc.losses.pixel import pixels, strongest_mean
from hsc.losses.prototypes import Prototypes, info_nce


def batch_prototypes(v: Tensor, activation: Tensor, k: int) -> Prototypes:
    """Prototype estimation (section 3.3): mean of a class's most activated pixels of the batch.

    v: (N, D, h, w), as projected, NOT normalised: the published code normalises after the mean.
    activation: (N, C+1, h, w) >= 0, absent classes zeroed, the background's first
    (`maps.background_activation`). k: pixels a class (K = 32 in the paper), weighted by their
    activations, whatever their pseudo label: there HSC's equation (10) differs. Returns (C+1, D)
    L2-normalised, detached vectors and which classes have one.
    Raises ValueError on k < 1 or shapes that do not fit.
    """
    fits = v.dim() == 4 and activation.dim() == 4
    if not fits or (len(v), *v.shape[2:]) != (len(activation), *activation.shape[2:]):
        raise ValueError(
            "features (N, D, h, w) need activations (N, C+1, h, w), got "
            f"{tuple(v.shape)} and {tuple(activation.shape)}"
        )
    return strongest_mean(v, activation.detach().transpose(0, 1).flatten(1), k)


def intra_view_contrast(
    v: Tensor,
    labels: Tensor,
    prototypes: Prototypes,
    draw: Tensor,
    temperature: float,
    hard_share: float,
    kept_share: float,
) -> Tensor:
    """Intra-view contrast (section 3.5), with semi-hard prototypes and hard pixels.

    F(v_i; y_i; P) with the denominator of `semi_hard_contrast`. For each class the mean over its
    hard pixels and over as many random ones, each half of the weight; then the mean over the
    classes. Hard pixels are chosen like hard prototypes (`hard_window`), a pixel being the harder
    the less similar it is to its own prototype: the hardest ones of all are those whose pseudo
    label is wrong.

    v: (N, D, h, w), L2-normalised over the channels. labels: (N, h, w) int64. prototypes: (C+1, D),
    normalised; no gradient reaches them. draw: (N, h, w) in [0, 1), random numbers: the pixels with
    the lowest ones of a class are its random half. The caller draws them, so that the loss is a
    function of its arguments. temperature: 0.1 in the paper. hard_share, kept_share: see
    `hard_window`. A pixel whose label has no prototype is left out. Returns a scalar >= 0, a zero
    that has a graph where no pixel is left.
    Raises ValueError on shares that make no window, a `draw` of another shape, and as `info_nce`.
    """
    if draw.shape != labels.shape:
        raise ValueError(
            f"every pixel needs its draw, got {tuple(draw.shape)} for labels {tuple(labels.shape)}"
        )
    if v.dim() != 4 or (len(v), *v.shape[2:]) != tuple(labels.shape):
        raise ValueError(
            f"features (N, D, h, w) need labels (N, h, w), got {tuple(v.shape)} and "
            f"{tuple(labels.shape)}"
        )
    target = labels.flatten()
    rows = len(prototypes.present)
    similarity = pixels(v) @ prototypes.vectors.detach().T  # (P, R)
    loss = semi_hard_contrast(
        similarity, target, prototypes.present, temperature, hard_share, kept_share
    )
    # Pixels that do not count form a last group of their own, which is dropped.
    row = torch.where((target >= 0) & (target < rows), target, 0)
    is_member = (row == target) & prototypes.present[row]
    group = torch.where(is_member, row, rows)
    own = similarity.detach().gather(1, row[:, None]).squeeze(1)
    sizes = (group == torch.arange(rows, device=group.device)[:, None]).sum(dim=1)  # (R,)
    low, high = (bound[row] for bound in hard_window(sizes, hard_share, kept_share))
    by_hardness = _rank_in_group(own, group, rows + 1)
    by_chance = _rank_in_group(draw.flatten(), group, rows + 1)
    is_hard = (by_hardness >= low) & (by_hardness < high)
    is_random = by_chance < high - low
    times = is_hard.to(loss.dtype) + is_random.to(loss.dtype)  # a pixel may be both
    weight = torch.where(is_member, times / (2 * (high - low)), 0.0)
    return (weight * loss).sum() / (sizes > 0).sum().clamp(min=1)


def semi_hard_contrast(
    similarity: Tensor,
    target: Tensor,
    present: Tensor,
    temperature: float,
    hard_share: float,
    kept_share: float,
) -> Tensor:
    """Each pixel against its own prototype and its semi-hard negatives.

    similarity: (P, R) float. target: (P,) int64. present: (R,) bool. The negatives of a pixel are
    the present prototypes of other classes, most similar first; those of `hard_window` stand in
    the denominator beside the pixel's own prototype. The published code ranks all 21 prototypes,
    the pixel's own among them, and takes ranks 4 to 13: the same ten where the own prototype is
    among the first three, while elsewhere it counts twice or shifts the ranks. The choice carries
    no gradient. Returns (P,) >= 0, 0 for a pixel whose label has no prototype.
    Raises ValueError on shares that make no window, and as `info_nce` does.
    """
    if (*target.shape, *present.shape) != tuple(similarity.shape):
        raise ValueError(
            "similarity (P, R) needs target (P,) and present (R,), got "
            f"{tuple(similarity.shape)}, {tuple(target.shape)} and {tuple(present.shape)}"
        )
    rows = torch.arange(len(present), device=target.device)
    is_own = target[:, None] == rows  # (P, R)
    is_negative = present & ~is_own
    hardness = similarity.detach().masked_fill(~is_negative, -torch.inf)
    rank = hardness.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    low, high = hard_window(is_negative.sum(dim=1, keepdim=True), hard_share, kept_share)
    is_used = is_negative & (rank >= low) & (rank < high)
    kept = similarity.masked_fill(~(is_own | is_used), -torch.inf)
    return info_nce(kept, target, present, temperature, reduction="none")


def hard_window(amount: Tensor, hard_share: float, kept_share: float) -> tuple[Tensor, Tensor]:
    """Of the hardest `hard_share` of some things, the easier ones, `kept_share` of the whole.

    amount: any shape, int64 >= 0: how many things there are. The shares: 0.6 and 0.5 in PPC's code
    (of 20 negatives the twelve hardest without the two hardest of all), 1 and 1 for everything.
    Returns (low, high), the first rank and the one after the last, hardest first; at least one
    rank, also where there is nothing to rank.
    Raises ValueError unless 0 < kept_share <= hard_share <= 1.
    """
    if not 0 < kept_share <= hard_share <= 1:
        raise ValueError(
            "shares have to be 0 < kept_share <= hard_share <= 1, got "
            f"kept_share {kept_share} and hard_share {hard_share}"
        )
    kept = (amount.double() * kept_share).long().clamp(min=1)
    high = (amount.double() * hard_share).long().maximum(kept)
    return high - kept, high


def _rank_in_group(score: Tensor, group: Tensor, groups: int) -> Tensor:
    """Rank of each entry by ascending score among those of its group: (P,), (P,) -> (P,) int64."""
    by_score = score.argsort(stable=True)
    order = by_score[group[by_score].argsort(stable=True)]  # by group, then by score
    each = torch.arange(groups, device=group.device)
    start = (group < each[:, None]).sum(dim=1)  # entries in earlier groups
    return order.argsort() - start[group]
