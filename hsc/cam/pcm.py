"""SEAM's pixel correlation module: CAMs refined by the affinity of shallow features.

SEAM (Wang et al., CVPR 2020), section 3.3. Letters: N batch, C foreground classes, h w map cells,
E channels of the embedding.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsc.nets.backbone import Features

_EPS = 1e-5
_BLOCK = 1 << 26  # values of the affinity at a time: 256 MiB


def prepare_cam(cam: Tensor) -> Tensor:
    """The CAM that is propagated: SEAM keeps only the strongest class of each pixel.

    (N, C+1, h, w) logits, background first, to values in [0, 1]: ReLU, each class divided by its
    maximum, background set to one minus the strongest class, all other classes set to 0.
    Carries no gradient.
    """
    with torch.no_grad():
        cam = F.relu(cam)
        peak = cam.amax(dim=(2, 3), keepdim=True) + _EPS
        cam = F.relu(cam - _EPS) / peak
        foreground = cam[:, 1:]
        strongest = foreground.amax(dim=1, keepdim=True)
        foreground = torch.where(foreground < strongest, 0.0, foreground)
        return torch.cat([1 - strongest, foreground], dim=1)


def propagate(cam: Tensor, embedding: Tensor) -> Tensor:
    """Average the CAM over similar pixels (SEAM, equations 5-6).

    cam (N, C+1, *, *) is brought to the embedding's size; embedding (N, E, h, w). The affinity is
    the cosine, negative values cut off, each column divided by its sum. Returns (N, C+1, h, w).
    The affinity has (hw)^2 values, 29 GB for a picture of 1300 x 1100 at stride 4, so of a large
    map only some columns are there at a time.
    """
    n, _, h, w = embedding.shape
    columns = max(1, _BLOCK // (n * h * w))
    with torch.autocast(embedding.device.type, enabled=False):  # bf16 is too coarse for a mean
        wide = torch.promote_types(embedding.dtype, torch.float32)
        cam = cam.to(wide)
        cam = F.interpolate(cam, (h, w), mode="bilinear", align_corners=True).flatten(2)
        embedding = embedding.to(wide).flatten(2)  # (N, E, hw)
        embedding = embedding / (torch.linalg.norm(embedding, dim=1, keepdim=True) + _EPS)
        means = []
        for some in embedding.split(columns, dim=2):
            affinity = F.relu(embedding.transpose(1, 2) @ some)  # (N, hw, columns)
            # Dividing the product by the column sums, not the matrix, spares three passes over it.
            means.append((cam @ affinity) / (affinity.sum(dim=1, keepdim=True) + _EPS))
        return torch.cat(means, dim=2).view(n, -1, h, w)


class PixelCorrelation(nn.Module):
    """The learned part: low and mid features reduced, joined with the picture, embedded.

    The backbone's features are detached, so the module never trains the backbone through them.
    """

    def __init__(
        self, low_channels: int, mid_channels: int, low: int, mid: int, embedding: int
    ) -> None:
        super().__init__()
        self.reduce_low = nn.Conv2d(low_channels, low, 1, bias=False)
        self.reduce_mid = nn.Conv2d(mid_channels, mid, 1, bias=False)
        self.embed = nn.Conv2d(3 + low + mid, embedding, 1, bias=False)
        for layer in (self.reduce_low, self.reduce_mid):
            nn.init.kaiming_normal_(layer.weight)
        nn.init.xavier_uniform_(self.embed.weight, gain=4)

    def forward(self, cam: Tensor, image: Tensor, features: Features) -> Tensor:
        """cam (N, C+1, h, w) logits, image (N, 3, H, W); returns (N, C+1, h, w) in [0, 1]."""
        size = cam.shape[2:]
        parts = (
            image,
            F.relu(self.reduce_low(features.low.detach())),
            F.relu(self.reduce_mid(features.mid.detach())),
        )
        joined = torch.cat(
            [F.interpolate(part, size, mode="bilinear", align_corners=True) for part in parts], 1
        )
        return propagate(prepare_cam(cam), self.embed(joined))
