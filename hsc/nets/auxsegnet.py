"""AuxSegNet: a segmentation network with saliency and image tags as auxiliary tasks.

Xu et al., Leveraging Auxiliary Tasks with Affinity Learning for Weakly Supervised Semantic
Segmentation, ICCV 2021, sections 3.1 and 3.2, on any backbone. Where the paper and its published
code differ, docs/method.md says which of them is built.

Letters: N batch, C foreground classes, D channels of the backbone, E of a task's features, h w map
cells, L = h w of them in the order of the rows.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsc.nets.backbone import Backbone
from hsc.nets.backbones import backbone_from_spec
from hsc.nets.enrichment import Enrichment


class AuxMaps(NamedTuple):
    """What a training reads of a batch; maps are logits but for the affinity, not upsampled."""

    scores: Tensor  # (N, C), of the tags
    cam: Tensor  # (N, C, h, w), without dropout
    second_cam: Tensor | None  # (N, C, h, w), DSCNet's, where the network has one
    features: Tensor  # (N, D, h, w)
    segmentation: Tensor  # (N, C+1, h, w), background first
    refined_segmentation: Tensor  # the same, refined by the affinity
    saliency: Tensor  # (N, 1, h, w)
    refined_saliency: Tensor  # (N, 1, h, w)
    affinity: Tensor  # (N, L, L), the cross-task affinity; row i is what cell i gathers


class TaskBranch(nn.Module):
    """One task: two dilated layers, an affinity of its features, a third layer, the classifier.

    `channels`: D and E. `rates`: dilations of the three 3x3 layers.
    """

    def __init__(self, channels: tuple[int, int], outputs: int, rates: Sequence[int]) -> None:
        super().__init__()
        given, own = channels
        widths = (given, own, own)
        self.conv1, self.conv2, self.conv3 = (
            nn.Conv2d(width, own, 3, padding=rate, dilation=rate)
            for width, rate in zip(widths, rates, strict=True)
        )
        self.theta, self.phi, self.value, self.out = (nn.Conv2d(own, own, 1) for _ in range(4))
        self.classifier = nn.Conv2d(own, outputs, 1, bias=False)
        for layer in (self.conv1, self.conv2, self.conv3, self.classifier):
            nn.init.xavier_uniform_(layer.weight)

    def features(self, features: Tensor) -> Tensor:
        """(N, D, h, w) to (N, E, h, w), not negative."""
        return F.relu(self.conv2(F.relu(self.conv1(features))))

    def affinity(self, features: Tensor) -> Tensor:
        """Softmax over j of theta_i . phi_j: (N, E, h, w) to (N, L, L), whose rows sum to 1."""
        query, key = self.theta(features).flatten(2), self.phi(features).flatten(2)
        return (query.transpose(1, 2) @ key).softmax(dim=2)

    def classify(self, features: Tensor, affinity: Tensor) -> Tensor:
        """Logits (N, outputs, h, w) from the features and what the affinity gathers of them."""
        gathered = apply_affinity(affinity, self.value(features))
        return self.classifier(F.relu(self.conv3(features + self.out(gathered))))


class CrossTaskAffinity(nn.Module):
    """One affinity of two: for each pair of cells a weight of either task's.

    3x3 over the plane of pairs (a pair's neighbours are those of both cells in the order of the
    rows), ReLU, 1x1, softmax over the two. The rows of the result do not sum to 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.near = nn.Conv2d(2, 2, 3, padding=1, bias=False)
        self.mix = nn.Conv2d(2, 2, 1)

    def weight(self, segmentation: Tensor, saliency: Tensor) -> Tensor:
        """The segmentation affinity's weight (N, L, L); the saliency's is 1 minus it.

        A softmax of two is a sigmoid of their difference, and the 1x1 layer gives the difference
        itself: two of these large maps less, forwards and backwards.
        """
        hidden = F.relu(self.near(torch.stack([segmentation, saliency], dim=1)))
        difference = self.mix.weight[:1] - self.mix.weight[1:]
        return F.conv2d(hidden, difference, self.mix.bias[:1] - self.mix.bias[1:])[:, 0].sigmoid()

    def forward(self, segmentation: Tensor, saliency: Tensor) -> Tensor:
        """(N, L, L) of both tasks to (N, L, L)."""
        return saliency.lerp(segmentation, self.weight(segmentation, saliency))


class AuxSegNet(nn.Module):
    """A backbone, the classifier of the tags, a branch for segmentation and one for saliency.

    `head_dropout`: the share of the backbone's channels dropped before the tags' classifier.
    `enrichment`: the temperature of DSCNet's second CAM; None: there is none.
    """

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        channels: int = 128,
        rates: Sequence[int] = (6, 12, 18),
        head_dropout: float = 0.5,
        enrichment: float | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head_dropout = nn.Dropout2d(head_dropout)
        self.head = nn.Conv2d(backbone.channels, num_classes, 1, bias=False)
        nn.init.xavier_uniform_(self.head.weight)
        widths = (backbone.channels, channels)
        self.segmentation = TaskBranch(widths, num_classes + 1, rates)
        self.saliency = TaskBranch(widths, 1, rates)
        self.cross = CrossTaskAffinity()
        self.enrichment = None
        if enrichment is not None:
            self.enrichment = Enrichment(self.head, num_classes + 1, enrichment)

    def maps(self, image: Tensor) -> AuxMaps:
        """Normalised RGB (N, 3, H, W) to all that the network says."""
        features = self.backbone(image).final
        pooled = self.head_dropout(features).mean(dim=(2, 3), keepdim=True)
        scores, cam = self.head(pooled)[:, :, 0, 0], self.head(features)
        second = None if self.enrichment is None else self.enrichment(features)
        return AuxMaps(scores, cam, second, features, *self._tasks(features))

    def forward(self, image: Tensor) -> Tensor:
        """Normalised RGB (N, 3, H, W) to the refined logits (N, C+1, h, w), background first."""
        return self._tasks(self.backbone(image).final)[1]

    def _tasks(self, features: Tensor) -> tuple[Tensor, ...]:
        """Segmentation, the same refined, saliency, the same refined, and the affinity."""
        own = [task.features(features) for task in (self.segmentation, self.saliency)]
        with torch.autocast(features.device.type, enabled=False):  # bf16 is too coarse for a mean
            segmentation, saliency = map(_at_least_float32, own)
            affinities = self.segmentation.affinity(segmentation), self.saliency.affinity(saliency)
            labels = self.segmentation.classify(segmentation, affinities[0])
            salient = self.saliency.classify(saliency, affinities[1])
            cross = self.cross(*affinities)
            refined = apply_affinity(cross, labels), apply_affinity(cross, salient)
        return labels, refined[0], salient, refined[1], cross

    def role(self, name: str) -> str:
        """`pretrained` or `new`: the learning-rate group of a parameter by name."""
        return "pretrained" if name.startswith("backbone.") else "new"


def apply_affinity(affinity: Tensor, maps: Tensor) -> Tensor:
    """Let every cell gather: (N, L, L) and (N, K, h, w) to (N, K, h, w)."""
    return (maps.flatten(2) @ affinity.transpose(1, 2)).view_as(maps)


def auxsegnet_network(spec: dict[str, Any]) -> AuxSegNet:
    """Build an AuxSegNet.

    Keys: as the backbone's, `class_names`, `channels`, `rates`, `head_dropout`; optional:
    `enrichment`, None. Raises HscError for values that no backbone has.
    """
    return AuxSegNet(
        backbone_from_spec(spec, frozen_norm=True),
        len(spec["class_names"]),
        spec["channels"],
        spec["rates"],
        spec["head_dropout"],
        spec.get("enrichment"),
    )


def _at_least_float32(maps: Tensor) -> Tensor:
    return maps.to(torch.promote_types(maps.dtype, torch.float32))
