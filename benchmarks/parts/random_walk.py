"""PSA's random walk on the map of a VOC picture: the dense matrix squared, and the package's walk.

Letters: K classes, h w map cells.
"""

import torch
import torch.nn.functional as F

from benchmarks.part import Disagreement, PartResult, side_by_side
from benchmarks.reference_affinity import dense_affinity, dense_walk
from hsc.psa.network import pair_affinity
from hsc.psa.pairs import pair_offsets
from hsc.psa.random_walk import random_walk

HEIGHT, WIDTH, CLASSES = 47, 63, 4  # a picture of 375 x 500 at stride 8; background and three tags
BETA, DOUBLINGS = 8, 8
LEAST_SAME, MOST_OFF = 0.999, 1e-4  # share of cells with the same arg max; scores


def measure(repeats: int) -> PartResult:
    """2^8 steps in float32. The reference is given its dense matrix of affinities."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(1, 32, 8, 10, generator=generator)
    embedding = 0.6 * F.interpolate(coarse, (HEIGHT, WIDTH), mode="bicubic", align_corners=True)
    scores = torch.rand(CLASSES, HEIGHT, WIDTH, generator=generator)
    offsets = pair_offsets(5)
    affinity = pair_affinity(embedding, offsets)[0]
    matrix = dense_affinity(affinity, offsets)

    def dense() -> torch.Tensor:
        return dense_walk(scores, matrix, BETA, DOUBLINGS)

    def ours() -> torch.Tensor:
        return random_walk(scores, affinity, offsets, BETA, 2**DOUBLINGS)

    expected, found = dense(), ours()
    same = (expected.argmax(dim=0) == found.argmax(dim=0)).double().mean().item()
    off = (expected - found).abs().max().item()
    if same < LEAST_SAME or off > MOST_OFF:
        raise Disagreement(f"arg max of {same:.2%} of cells the same, scores within {off:.1e}")
    slow, fast = side_by_side(dense, ours, repeats)
    return PartResult(
        reference=f"dense T of {HEIGHT} x {WIDTH} cells squared {DOUBLINGS} times",
        fast="Chebyshev polynomial of the banded T, on one core",
        reference_seconds=slow,
        fast_seconds=fast,
        wanted=15,
        agreement=f"the same arg max in {100 * same:.2f} % of cells, scores within {off:.1e}",
    )
