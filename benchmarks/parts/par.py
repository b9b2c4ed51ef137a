"""PAR on a batch's pseudo labels: every neighbour copied in every round, and none."""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.part import Disagreement, PartResult, side_by_side
from benchmarks.parts.training_crf import batch
from hsc.crf.par import DILATIONS, refine

ITERATIONS, MAPS = 10, 4


def measure(repeats: int) -> PartResult:
    """The weights counted in. Four pictures of the size of the papers' second view."""
    image = torch.from_numpy(batch()[0]).permute(0, 3, 1, 2).float().contiguous()
    n, _, h, w = image.shape
    maps = torch.rand(n, MAPS, h, w, generator=torch.Generator().manual_seed(0))
    difference = (plain(image, maps) - refine(image, maps, ITERATIONS)).abs().max().item()
    if not difference < 1e-5:
        raise Disagreement(f"the maps differ by {difference:.2g}")
    slow, fast = side_by_side(
        lambda: plain(image, maps), lambda: refine(image, maps, ITERATIONS), repeats
    )
    return PartResult(
        reference="neighbours of every pixel unfolded in every round",
        fast="shifted views of the padded map, added up",
        reference_seconds=slow,
        fast_seconds=fast,
        wanted=3,
        agreement=f"maps within {difference:.1g}; {n} pictures of {w} x {h}, {MAPS} maps each",
    )


def plain(image: Tensor, maps: Tensor) -> Tensor:
    """AFA's equations on tensors that hold every neighbour; weights that sum to 1."""
    colour, distance = neighbours(image), torch.tensor([1, 2**0.5])[[1, 0, 1, 0, 0, 1, 0, 1]]
    distance = torch.cat([d * distance for d in DILATIONS])
    spread = colour.std(dim=2, keepdim=True) + 1e-8
    unlike = ((colour - image[:, :, None]) / spread / 0.3).square().mean(dim=1)
    far = (distance / distance.std() / 0.3).square()
    weight = (-unlike).softmax(dim=1) + 0.01 * (-far).softmax(dim=0)[:, None, None]
    for _ in range(ITERATIONS):
        maps = (neighbours(maps) * weight[:, None] / 1.01).sum(dim=2)
    return maps


def neighbours(maps: Tensor) -> Tensor:
    """(N, C, H, W) to (N, C, J, H, W), eight of each distance."""
    n, c, h, w = maps.shape
    near = []
    for d in DILATIONS:
        padded = F.pad(maps, [d] * 4, mode="replicate")
        window = F.unfold(padded, 3, dilation=d).view(n, c, 9, h, w)
        near.append(window[:, :, [0, 1, 2, 3, 5, 6, 7, 8]])
    return torch.cat(near, dim=2)
