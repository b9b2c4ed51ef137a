"""CAM inference of a picture with ResNet-38: in SEAM's way, and with its flip as a batch of two."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.part import Disagreement, PartResult, seconds, side_by_side
from benchmarks.reference_step import refined_map
from hsc.cam.inference import infer_cam, scale_picture
from hsc.cam.network import CamNetwork, cam_network, upsample
from hsc.engine.runtime import detect_runtime

SIZE, SCALES = (375, 500), (0.5, 1.0, 1.5, 2.0)
ALL, TAGGED = list(range(1, 21)), [1, 7]


def measure(repeats: int) -> PartResult:
    """SEAM's scales on a picture of VOC's size, refined maps, one picture after the other."""
    torch.manual_seed(0)
    network = resnet38()
    batches = scale_picture(picture(SIZE), SCALES, flip=True)
    fast_network = detect_runtime().ready(resnet38(network))

    def slow(classes: list[int] = TAGGED) -> Tensor:
        return plain(network, batches, classes, SIZE)

    def fast(classes: list[int] = TAGGED, precision: str = "fp32") -> Tensor:
        with detect_runtime({"HSC_PRECISION": precision}).autocast():
            return infer_cam(fast_network, batches, classes, SIZE, "refined", "relu")

    expected = slow(ALL)  # fresh weights leave most maps empty
    difference = (expected - fast(ALL)).abs().max().item()
    if not difference < 1e-3:
        raise Disagreement(f"the maps differ by {difference:.2g}")
    coarser = (expected - fast(ALL, "bf16")).abs().max().item()
    slow_seconds, fast_seconds = side_by_side(slow, fast, repeats)
    bf16_seconds = seconds(lambda: fast(precision="bf16"))
    return PartResult(
        reference="each scale and flip by itself, as SEAM does it; the affinity normalised",
        fast="small pictures with their flip, channels last; the affinity by columns",
        reference_seconds=slow_seconds,
        fast_seconds=fast_seconds,
        wanted=1.0,
        agreement=(
            f"maps within {difference:.1g}; {SIZE[1]} x {SIZE[0]} at {len(SCALES)} scales; with "
            f"HSC_PRECISION=bf16 {bf16_seconds:.1f} s, within {coarser:.1g}"
        ),
    )


def resnet38(like: CamNetwork | None = None) -> CamNetwork:
    """SEAM's network for VOC, in eval mode, with the weights of another one or fresh ones."""
    spec = {
        "backbone": "resnet38", "widths": None, "output_stride": 8, "projectors": None,
        "class_names": [str(number) for number in ALL], "pcm": (64, 128, 192),
    }  # fmt: skip
    network = cam_network(spec)
    if like is not None:
        network.load_state_dict(like.state_dict())
    return network.eval()


def picture(size: tuple[int, int]) -> np.ndarray:
    """Smooth colours, uint8 (H, W, 3)."""
    coarse = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    smooth = F.interpolate(coarse, size, mode="bicubic", align_corners=False)[0]
    return (smooth.clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()


@torch.no_grad()
def plain(
    network: CamNetwork, batches: list[Tensor], classes: list[int], size: tuple[int, int]
) -> Tensor:
    """SEAM's equations one after the other: (K, H, W) in [0, 1]."""
    total = torch.zeros(len(classes), *size)
    for batch in batches:
        for flipped, image in enumerate(batch.split(1)):
            features = network.backbone(image)
            maps = refined_map(network.pcm, network.head(features.final), image, features)
            maps = upsample(maps, tuple(batch.shape[2:]))
            maps = F.interpolate(maps, size, mode="bilinear", align_corners=False)[0, classes]
            total += maps.flip(2) if flipped else maps
    total = total.relu()
    low, high = total.amin((1, 2), keepdim=True), total.amax((1, 2), keepdim=True)
    return ((total - low - 1e-5) / (high - low + 1e-5)).clamp(0, 1)
