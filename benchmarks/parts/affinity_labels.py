"""Labels of pairs of map cells for a batch: pair by pair, and the package's tensor operations."""

import numpy as np
import torch

from benchmarks.part import Disagreement, PartResult, side_by_side
from benchmarks.reference_affinity import pair_kinds
from hsc.psa.pairs import pair_labels, pair_offsets

BATCH, SIDE = 8, 56  # crops of 448 at stride 8


def measure(repeats: int) -> PartResult:
    """All pairs within radius 5 of a batch of label maps with three classes and 255."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, 5, (BATCH, SIDE // 4, SIDE // 4), generator=generator)
    labels = coarse.repeat_interleave(4, 1).repeat_interleave(4, 2)
    labels[labels == 4] = 255
    maps, offsets = labels.numpy().astype(np.uint8), pair_offsets(5)

    def loops() -> np.ndarray:
        return np.stack([pair_kinds(label, offsets) for label in maps])

    def ours() -> torch.Tensor:
        return torch.stack(pair_labels(labels, offsets), dim=1)

    if not np.array_equal(loops(), ours().numpy()):
        raise Disagreement("the kinds of some pairs differ")
    slow, fast = side_by_side(loops, ours, repeats)
    return PartResult(
        reference=f"{BATCH} maps of {SIDE} x {SIDE}, pair by pair",
        fast="shifted comparisons of the whole batch",
        reference_seconds=slow,
        fast_seconds=fast,
        wanted=15,
        agreement="all pairs equal",
    )
