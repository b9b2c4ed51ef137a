"""DSCNet's contrast: between all pairs of cells of a batch, and between its groups of cells.

Table V of its paper has 1.84 s a step on SEAM for the first and 0.88 s for the second.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.part import Disagreement, PartResult, side_by_side
from hsc.losses.dscnet import group_contrast
from hsc.losses.groups import group_labels, group_means, group_shares, pixel_groups
from hsc.losses.maps import pseudo_label

BATCH, CHANNELS, SIDE = 2, 4096, 56  # crops of 448 at stride 8, ResNet-38's features
CLASSES, TEMPERATURE, SCORE = 20, 0.1, 0.1


def measure(repeats: int) -> PartResult:
    """Loss and gradient of the features, the groups' clustering counted in."""
    _check(*_batch(side=4, channels=16))
    features, cam, tags = _batch(SIDE, CHANNELS)

    def pairs() -> Tensor:
        return pairwise(features, pseudo_label(cam, SCORE))

    def ours() -> Tensor:
        return by_groups(features, cam, tags)

    kept = [_kept(loss) / 1e6 for loss in (pairs, ours)]
    plain, fast = side_by_side(lambda: pairs().backward(), lambda: ours().backward(), repeats)
    return PartResult(
        reference=f"{BATCH} maps of {SIDE} x {SIDE} x {CHANNELS}, every cell against every other",
        fast="k-means into groups, then group against group",
        reference_seconds=plain,
        fast_seconds=fast,
        wanted=4,
        agreement="the same loss where every cell is a group of its own; kept for the backward "
        f"pass: {kept[0]:.0f} MB and {kept[1]:.1f} MB besides the features",
    )


def pairwise(features: Tensor, labels: Tensor) -> Tensor:
    """Equation (3) for every cell of a class: its class's cells against those of other labels.

    features: (B, D, h, w). labels: (B, h, w), 0 background. By picture, then over the pictures.
    """
    cells = F.normalize(features.flatten(2).transpose(1, 2).flatten(0, 1), dim=1)
    flat = labels.flatten()
    similarity = (cells @ cells.T / TEMPERATURE).exp()
    alike = flat[:, None] == flat
    against = (similarity * ~alike).sum(dim=1, keepdim=True)
    positive = alike.fill_diagonal_(False)
    each = torch.where(positive, -(similarity / (similarity + against)).log(), 0.0).sum(dim=1)
    counts = (flat > 0) & positive.any(dim=1)
    loss = each / positive.sum(dim=1).clamp(min=1) * counts
    by_picture = loss.view(len(labels), -1).sum(dim=1)
    entries = counts.view(len(labels), -1).sum(dim=1)
    return (by_picture / entries.clamp(min=1)).sum() / (entries > 0).sum().clamp(min=1)


def by_groups(features: Tensor, cam: Tensor, tags: Tensor) -> Tensor:
    """What the pipeline computes of a view."""
    groups = pixel_groups(features, cam, tags)
    labels = group_labels(groups, group_shares(groups, pseudo_label(cam, SCORE), CLASSES + 1))
    return group_contrast(group_means(features, groups), labels, groups.present, TEMPERATURE)


def _batch(side: int, channels: int) -> tuple[Tensor, Tensor, Tensor]:
    """Two pictures, each with a class of its own and one that both have, as smooth blobs."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(BATCH, channels + 2, 4, 4, generator=generator)
    maps = F.interpolate(coarse, (side, side), mode="bilinear", align_corners=True)
    cam, tags = torch.zeros(BATCH, CLASSES, side, side), torch.zeros(BATCH, CLASSES)
    for i in range(BATCH):
        for place, of_class in enumerate((0, 1 + i)):
            strongest = maps[i, place]
            cam[i, of_class] = (2 * strongest / strongest.max() - 1).relu()
            tags[i, of_class] = 1
    return maps[:, 2:].clone().requires_grad_(), cam, tags


def _check(features: Tensor, cam: Tensor, tags: Tensor) -> None:
    labels = pseudo_label(cam, SCORE)
    cells = features.flatten(2).transpose(1, 2)
    alone = group_contrast(cells, labels.flatten(1), labels.flatten(1) >= 0, TEMPERATURE)
    if not torch.allclose(alone, pairwise(features, labels), rtol=1e-5):
        raise Disagreement("the loss between all cells differs where every cell is a group")
    if not by_groups(features, cam, tags) > 0:
        raise Disagreement("the groups of these pictures have nothing to say")


def _kept(loss: Callable[[], Tensor]) -> int:
    """Bytes of the tensors that a loss keeps for its backward pass, each storage once."""
    storages: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        held = loss()  # noqa: F841  while it lives, no storage has another's address
    return sum(storages.values())
