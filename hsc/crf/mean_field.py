"""Mean-field inference of the dense CRF for a batch of pictures and several labellings of each.

pydensecrf takes one labelling of one picture at a time, on one CPU core; here all of them are
filtered together, on any device, with the kernels of all pairs of pixels (exact, for small
pictures) or on pydensecrf's permutohedral lattice, whose cost grows with the number of pixels.

Letters: V labellings of each picture (views), N batch, H W pixels, P = H*W, L labels of the data
set, K labels that occur in a picture.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import torch
from torch import Tensor

from hsc.crf.lattice import Lattice
from hsc.crf.slots import label_slots, take_largest
from hsc.params.base import CrfConfig

Message = Callable[[Tensor], Tensor]
"""Both kernels with their weights on probabilities (N, C, P), the same shape."""

_LOWEST_EXPONENT = -60.0  # exp is many times slower where its result underflows
_PAIRS_AT_ONCE = 1 << 26  # entries of the pair matrices of one chunk: 256 MiB


def refine_labels(
    image: Tensor,
    labels: Tensor,
    num_labels: int,
    config: CrfConfig,
    gt_prob: float = 0.7,
    kernels: Literal["exact", "lattice"] = "exact",
) -> Tensor:
    """`hsc.crf.dense.refine_labels` for V labellings of each of N pictures.

    image: (N, H, W, 3), RGB in 0..255. labels: int64 (V, N, H, W) in 0..L-1. num_labels: L >= 2,
    the background included. gt_prob: in (0, 1), the probability that a pixel keeps its label; the
    rest is spread over the other labels. kernels: `lattice` gives the labels of pydensecrf, which
    approximates the `exact` ones; these take 4 (H*W)^2 bytes a picture. Returns int64 (V, N, H, W).
    Source: Krähenbühl & Koltun 2011, algorithm 1, kernels normalised symmetrically. Raises
    ValueError for shapes or probabilities outside these.
    """
    v, n, h, w = labels.shape
    if image.shape != (n, h, w, 3):
        raise ValueError(f"image must be {(n, h, w, 3)}, got {tuple(image.shape)}")
    if not 0 < gt_prob < 1 or num_labels < 2:
        raise ValueError(f"gt_prob {gt_prob} must lie in (0, 1), num_labels {num_labels} above 1")
    if kernels == "lattice":
        parts: Iterable[tuple[Message, Tensor]] = [(_on_lattice(image, config), labels)]
    else:
        parts = _exactly(image, labels, config)
    refined = [
        _refine(message, drawn.flatten(2), num_labels, config.iterations, gt_prob)
        for message, drawn in parts
    ]
    return torch.cat(refined, dim=1).view(v, n, h, w)


def infer(image: Tensor, unary: Tensor, config: CrfConfig, weights: Tensor | None = None) -> Tensor:
    """`hsc.crf.dense.mean_field` on the lattice, for N pictures of one size, on any device.

    image: (N, H, W, 3), RGB in 0..255. unary: energies (N, L, H, W). weights: a factor of the
    Potts terms for each label, (L,); all 1 when left out. Returns float32 probabilities
    (N, L, H, W), summing to 1 over L. Raises ValueError for shapes outside these.
    """
    n, labels, h, w = unary.shape
    if image.shape != (n, h, w, 3):
        raise ValueError(f"image must be {(n, h, w, 3)}, got {tuple(image.shape)}")
    score = -unary.float().view(n, 1, labels, h * w)
    factor = score.new_ones(labels) if weights is None else weights.to(score)
    message = _on_lattice(image.float(), config)
    q = _iterate(message, score, factor.view(1, 1, labels, 1), config.iterations)
    return q.view(unary.shape)


def _exactly(image: Tensor, labels: Tensor, config: CrfConfig) -> Iterator[tuple[Message, Tensor]]:
    """By parts of the batch whose matrices fit: both kernels and the labels (V, N, H, W)."""
    h, w = image.shape[1:3]
    position = _positions(h, w, image.device)
    near = config.gaussian_compat * _normalised_kernel(position[None] / config.gaussian_sxy)
    chunk = max(1, _PAIRS_AT_ONCE // (h * w) ** 2)
    for pictures, drawn in zip(image.split(chunk), labels.split(chunk, dim=1), strict=True):
        colour = pictures.reshape(-1, h * w, 3) / config.bilateral_srgb
        place = (position / config.bilateral_sxy).expand(len(pictures), -1, -1)
        alike = _normalised_kernel(torch.cat([place, colour], dim=2))
        kernel = alike.mul_(config.bilateral_compat).add_(near)
        yield lambda q, kernel=kernel: torch.bmm(q, kernel), drawn


def _on_lattice(image: Tensor, config: CrfConfig) -> Message:
    """Both kernels of the whole batch; all pictures have one lattice of positions."""
    n, h, w, _ = image.shape
    position = _positions(h, w, image.device).flip(1)  # pydensecrf has the column first
    near = Lattice(position[None] / config.gaussian_sxy)
    place = (position / config.bilateral_sxy).expand(n, -1, -1)
    colour = image.reshape(n, h * w, 3) / config.bilateral_srgb
    alike = Lattice(torch.cat([place, colour], dim=2))

    def message(q: Tensor) -> Tensor:
        flat = q.reshape(1, -1, h * w).mT.contiguous()  # (1, P, N C): the pictures side by side
        around = near.filter(flat).mT.view(q.shape)
        across = alike.filter(q.mT.contiguous()).mT
        return config.gaussian_compat * around + config.bilateral_compat * across

    return message


def _positions(h: int, w: int, device: torch.device) -> Tensor:
    """(P, 2) pixel coordinates, row and column."""
    rows = torch.arange(h, device=device, dtype=torch.float32)
    columns = torch.arange(w, device=device, dtype=torch.float32)
    return torch.cartesian_prod(rows, columns)


def _normalised_kernel(features: Tensor) -> Tensor:
    """(N, P, F) to (N, P, P): exp(-|f_i - f_j|^2 / 2), each entry divided by the roots of its row's
    and its column's sum."""
    features = features - features.mean(dim=1, keepdim=True)  # smaller squares, fewer digits lost
    half_square = features.square().sum(dim=2, keepdim=True) / 2
    one = torch.ones_like(half_square)
    left = torch.cat([features, -half_square, one], dim=2)
    right = torch.cat([features, one, -half_square], dim=2)
    kernel = torch.bmm(left, right.mT).clamp_(_LOWEST_EXPONENT, 0).exp_()
    scale = kernel.sum(dim=2).rsqrt_()
    return kernel.mul_(scale[:, :, None]).mul_(scale[:, None])


def _refine(
    message_of: Message, labels: Tensor, num_labels: int, iterations: int, gt: float
) -> Tensor:
    """Labels (V, N, P) to refined labels (V, N, P).

    The labels that are in no view of a picture all behave alike, so one stands for all of them, as
    in `hsc.crf.dense.refine_labels`: its unary is lower by log m and its Potts weight is divided
    by m.
    """
    v, n, p = labels.shape
    classes, used = label_slots(labels, num_labels)
    k = classes.shape[1]
    absent = num_labels - used.sum(dim=1, keepdim=True)  # (N, 1)
    # Energies are -log of probabilities; infinity where a slot stands for no label.
    log_other = math.log((1 - gt) / (num_labels - 1))
    drawn = labels[:, :, None] == classes[:, :, None]  # (V, N, K, P)
    score = torch.where(drawn, math.log(gt), log_other)
    score = score.masked_fill(~used[:, :, None], -math.inf)
    rest = (log_other + absent.float().log()).view(1, n, 1, 1).expand(v, n, 1, p)
    score = torch.cat([score, rest], dim=2).transpose(0, 1).contiguous()  # (N, V, K+1, P)
    weight = torch.ones(n, 1, k + 1, 1, device=labels.device)
    weight[:, :, -1] = (1 / absent.clamp(min=1)).view(n, 1, 1)
    q = _iterate(message_of, score, weight, iterations)
    return take_largest(q[:, :, :k], classes)


def _iterate(message_of: Message, score: Tensor, weight: Tensor, iterations: int) -> Tensor:
    """Algorithm 1: negative energies (N, V, L, P) to probabilities; weight broadcasts to them."""
    n, _, _, p = score.shape
    q = score.softmax(dim=2)
    for _ in range(iterations):
        message = message_of(q.view(n, -1, p)).view_as(q)
        q = torch.addcmul(score, message, weight).softmax(dim=2)
    return q
