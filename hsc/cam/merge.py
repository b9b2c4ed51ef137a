"""Merge the maps of several scales and flips of one image into its CAM.

Contract of both functions: `maps` are float tensors (C+1, h, w) of the same image, background
channel first, one for each scale and flip (h, w may differ); a map of the mirrored image comes
already mirrored back. `classes` are the K tagged class indices, 1..C. `size` is the image's (H, W).
They return float32 (K, H, W) in [0, 1], all zero for a class that is nowhere active; K = 0 gives
(0, H, W). They raise ValueError for no maps, maps of another shape or an index outside 1..C.
Maps are brought to (H, W) bilinearly with align_corners=False.

Letters: C foreground classes, K tagged classes, h w map cells, H W pixels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

_EPSILON = 1e-5  # as published; keeps a flat map from a division by zero


def merge_relu(
    maps: Sequence[torch.Tensor], classes: Sequence[int], size: tuple[int, int]
) -> torch.Tensor:
    """SEAM's merging: sum of the maps, ReLU, then min-max over the pixels of each class.

    The published code makes the pixels within 1e-5 of a class's minimum strongly negative and a
    class without activation -1; here both are 0.
    """
    _check(maps, classes)
    total = torch.relu(_sum_resized([m[list(classes)] for m in maps], size))
    low = total.amin(dim=(1, 2), keepdim=True)
    high = total.amax(dim=(1, 2), keepdim=True)
    return ((total - low - _EPSILON) / (high - low + _EPSILON)).clamp(0, 1)


def merge_softmax(
    maps: Sequence[torch.Tensor], classes: Sequence[int], size: tuple[int, int]
) -> torch.Tensor:
    """EPS's merging: softmax over the C+1 channels of each map, sum, divide by the class's max."""
    _check(maps, classes)
    total = _sum_resized([m.float().softmax(dim=0)[list(classes)] for m in maps], size)
    return total / (total.amax(dim=(1, 2), keepdim=True) + _EPSILON)


def _sum_resized(maps: Sequence[torch.Tensor], size: tuple[int, int]) -> torch.Tensor:
    """Sum of maps (K, h, w) brought to (K, H, W), float32."""
    if not len(maps[0]):
        return maps[0].new_zeros((0, *size), dtype=torch.float32)
    resized = [
        F.interpolate(m[None].float(), size, mode="bilinear", align_corners=False)[0] for m in maps
    ]
    return torch.stack(resized).sum(dim=0)


def _check(maps: Sequence[torch.Tensor], classes: Sequence[int]) -> None:
    if not maps or any(m.ndim != 3 or len(m) != len(maps[0]) for m in maps):
        shapes = [tuple(m.shape) for m in maps]
        raise ValueError(f"maps must be one or more tensors (C+1, h, w), got {shapes}")
    if not all(1 <= index < len(maps[0]) for index in classes):
        raise ValueError(f"classes must lie in 1..{len(maps[0]) - 1}, got {list(classes)}")
