"""ROI-level semantic contrast of HSC, equations (3)-(5): regions of interest against background.

Legend: N batch, D feature channels, h w map cells.
"""

from typing import Literal

import torch
from torch import Tensor

from hsc.losses.maps import unit

SIMILARITY_RANGE = (5e-4, 0.9995)
"""HSC's published code. The upper end keeps the log finite; below the lower one there is nothing
left to push apart, so no gradient."""


def pool_region(u: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Equation (3): mean of the features inside a region of each image.

    u: (N, D, h, w) float. mask: (N, h, w) bool. Returns r (N, D) and valid (N,) bool; an empty
    region gives zeros and False. Raises ValueError on shapes or a mask type that do not fit.
    """
    if u.dim() != 4 or mask.shape != (u.shape[0], *u.shape[2:]) or mask.dtype != torch.bool:
        raise ValueError(
            "features (N, D, h, w) need a bool mask (N, h, w), "
            f"got features {tuple(u.shape)} and mask {tuple(mask.shape)} {mask.dtype}"
        )
    cells = mask.flatten(1).to(u.dtype)  # (N, h*w)
    area = cells.sum(dim=1)
    total = torch.bmm(u.flatten(2), cells[:, :, None]).squeeze(2)  # (N, D)
    return total / area.clamp(min=1)[:, None], area > 0


def clamped_similarity(r_o: Tensor, r_b: Tensor) -> Tensor:
    """Cosine similarity of every pair, clamped to [5e-4, 0.9995]: (N, D), (M, D) -> (N, M)."""
    return (unit(r_o) @ unit(r_b).T).clamp(*SIMILARITY_RANGE)


def push_apart(
    r_o: Tensor,
    r_b: Tensor,
    valid_o: Tensor,
    valid_b: Tensor,
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """Equation (4): -log(1 - sim) over every valid pair of a region and a background.

    r_o: (N, D). r_b: (M, D). valid_o: (N,) bool. valid_b: (M,) bool. Returns a scalar >= 0, the
    mean (N^2 of the paper is the number of valid pairs) or the sum; without a valid pair a zero
    that has a graph. It only pushes: a similarity outside the clamp's range gets no gradient.
    Raises ValueError on an unknown reduction or shapes that do not fit.
    """
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction has to be 'mean' or 'sum', got {reduction!r}")
    if valid_o.shape != r_o.shape[:1] or valid_b.shape != r_b.shape[:1]:
        raise ValueError(
            "each representation needs one validity, "
            f"got {tuple(r_o.shape)} with {tuple(valid_o.shape)} "
            f"and {tuple(r_b.shape)} with {tuple(valid_b.shape)}"
        )
    pairs = valid_o[:, None] & valid_b[None, :]  # (N, M)
    penalty = -torch.log1p(-clamped_similarity(r_o, r_b))
    total = torch.where(pairs, penalty, 0.0).sum()
    return total if reduction == "sum" else total / pairs.sum().clamp(min=1)


def roi_contrast(
    u: Tensor,
    mask_roi: Tensor,
    mask_bg: Tensor,
    u_other: Tensor,
    mask_bg_other: Tensor,
    cross: bool = True,
) -> Tensor:
    """Equation (5) for one view: F(r_o, r_b) + F(r_o, r_b of the other view).

    u, u_other: (N, D, h, w) features of this and of the other view. The masks: (N, h, w) bool.
    cross: whether the second term counts (cross supervision). Gradients flow into both views.
    The other view's regions are pushed when the views are exchanged. Returns a scalar >= 0.
    Raises ValueError on shapes that do not fit.
    """
    r_o, valid_o = pool_region(u, mask_roi)
    r_b, valid_b = pool_region(u, mask_bg)
    loss = push_apart(r_o, r_b, valid_o, valid_b)
    if cross:
        r_b_other, valid_b_other = pool_region(u_other, mask_bg_other)
        loss = loss + push_apart(r_o, r_b_other, valid_o, valid_b_other)
    return loss
