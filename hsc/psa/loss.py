"""PSA's affinity loss: pairs of one label should be close, pairs of different labels far.

Ahn and Kwak (CVPR 2018), section 3.2.2. Letters: N batch, O offsets, h w map cells.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from hsc.psa.pairs import PairLabels

_EPS = 1e-5  # inside the logarithms and beside the counts, as published


class PairSums(NamedTuple):
    """A batch's log-likelihood and number of pairs by kind, (3,) each.

    The kinds in order: background, foreground, different. Sums of several shares of a batch add
    up to those of the batch.
    """

    log_likelihood: Tensor
    pairs: Tensor


class AffinityLoss(NamedTuple):
    """The loss and its three parts, all scalars."""

    loss: Tensor
    background: Tensor
    foreground: Tensor
    different: Tensor


def pair_sums(affinity: Tensor, labels: PairLabels) -> PairSums:
    """Sum log A over the pairs of one label, log(1 - A) over those of different ones.

    affinity: float (N, O, h, w) in [0, 1], and so are the labels (bool). Raises ValueError for
    shapes that differ.
    """
    for kind, chosen in labels._asdict().items():
        if chosen.shape != affinity.shape:
            raise ValueError(
                f"labels.{kind} is {tuple(chosen.shape)}, affinity {tuple(affinity.shape)}"
            )
    close, far = torch.log(affinity + _EPS), torch.log(1 + _EPS - affinity)
    sums = [
        torch.where(labels.background, close, 0).sum(),
        torch.where(labels.foreground, close, 0).sum(),
        torch.where(labels.different, far, 0).sum(),
    ]
    pairs = [chosen.sum().to(affinity.dtype) for chosen in labels]
    return PairSums(torch.stack(sums), torch.stack(pairs))


def affinity_loss(sums: PairSums) -> AffinityLoss:
    """Background / 4 + foreground / 4 + different / 2, each the mean over its pairs.

    So the pairs of one label weigh as much as those of different ones. A kind without pairs
    contributes 0.
    """
    background, foreground, different = -sums.log_likelihood / (sums.pairs + _EPS)
    loss = background / 4 + foreground / 4 + different / 2
    return AffinityLoss(loss, background, foreground, different)
