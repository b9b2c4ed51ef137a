"""DSCNet's second CAM, from features that know what a class looks like.

Lai, Vong and Chen, IEEE TII 2024, equations (10) and (11); a reading (docs/method.md).

Letters: N batch, D channels of the features, h w map cells, K rows of the plain CAM's head, R class
nodes, background first.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Enrichment(nn.Module):
    """Each cell attends to the nodes of all classes by Pearson's correlation.

    What it gathers is put beside its own features, and a 1x1 head gives the CAM. The head is
    linear, so that its part on what is gathered is a table of (R, K) numbers, and features twice as
    wide are never made. At the beginning it gives the plain CAM.
    """

    def __init__(self, head: nn.Conv2d, nodes: int, temperature: float) -> None:
        """head: the plain CAM's, 1x1 without a bias. nodes: R."""
        super().__init__()
        rows, channels = head.out_channels, head.in_channels
        self.temperature = temperature
        self.register_buffer("nodes", torch.zeros(nodes, channels))
        self.register_buffer("seen", torch.zeros(nodes, dtype=torch.bool))
        self.own = nn.Conv2d(channels, rows, 1, bias=False)
        self.gathered = nn.Linear(channels, rows, bias=False)
        self.begin(head)

    def begin(self, head: nn.Conv2d) -> None:
        """Give the plain CAM of this head, whatever the nodes are."""
        self.own.load_state_dict(head.state_dict())
        nn.init.zeros_(self.gathered.weight)

    def forward(self, features: Tensor) -> Tensor:
        """(N, D, h, w) to logits (N, K, h, w); no gradient reaches the nodes."""
        plain = self.own(features)
        with torch.autocast(features.device.type, enabled=False):  # bf16 is too coarse for a mean
            wide = torch.promote_types(features.dtype, torch.float32)
            cells = features.to(wide).flatten(2).transpose(1, 2)
            near = _directions(cells) @ _directions(self.nodes.to(wide)).T  # (N, hw, R)
            # the lowest finite number: before any node is seen, -inf would give NaN
            near = (near / self.temperature).masked_fill(~self.seen, torch.finfo(wide).min)
            table = self.gathered(self.nodes.to(wide)) * self.seen[:, None]
            shift = near.softmax(dim=2) @ table  # (N, hw, K)
        return plain + shift.transpose(1, 2).view(plain.shape)

    def take(self, nodes: Tensor, seen: Tensor) -> None:
        """Take over the class nodes (R, D) of a training and which of them there are."""
        self.nodes.copy_(nodes)
        self.seen.copy_(seen)


def _directions(vectors: Tensor) -> Tensor:
    """(..., D) around their own mean and of length 1: dot products are Pearson's correlations."""
    return F.normalize(vectors - vectors.mean(dim=-1, keepdim=True), dim=-1, eps=1e-6)
