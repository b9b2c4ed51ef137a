"""A training step of SEAM + HSC and EPS + HSC as one writes it first, equation after equation.

As the published loops do it: a view after the other, the PCM's affinity normalised as a matrix,
pictures, pairs and classes one by one, pydensecrf for a picture and view after the other. The
network, its weights and the contrast's constants are those of a `Method`.

Letters: N batch, C foreground classes, D channels of an embedding, S side of view 2.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsc.cam.pcm import PixelCorrelation, prepare_cam
from hsc.crf.dense import refine_labels
from hsc.crf.training_labels import to_pixels
from hsc.losses.prototypes import Prototypes, strongest
from hsc.methods.method import Method
from hsc.nets.backbone import Features

MARGIN = 1e-5


class View(NamedTuple):
    """A view as the network sees it: logits, the PCM's map, both embeddings."""

    cam: Tensor
    refined: Tensor
    u1: Tensor
    u2: Tensor


class PlainStep(nn.Module):
    """The loss of a step. crf_side: at which the CRF sees pictures, 16 as published; 0: none."""

    def __init__(self, method: Method, view2: int, crf_side: int) -> None:
        super().__init__()
        self.network, self.contrast = method.network, method.contrast
        self.baseline = method.baseline
        self._view2, self._crf_side = view2, crf_side
        self._pending: dict[str, Prototypes] = {}

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """`loss` alone."""
        image, tags = batch["image"], batch["tags"]
        side = self._view2
        images = [image, F.interpolate(image, (side, side), mode="bilinear", align_corners=True)]
        views = [self._view(image) for image in images]
        if self.baseline.needs_saliency:
            baseline = self._eps(views, images, tags, batch["saliency"])
        else:
            baseline = seam(views, images, tags)
        contrast = self._contrast(views, images[1], tags)
        return {"loss": baseline + self.contrast.params.gamma * contrast}

    def commit(self) -> None:
        """The momentum prototypes, equations (7) and (11), class by class."""
        momentum = self.contrast.params.momentum
        for name, new in self._pending.items():
            old = self.contrast.memory(name)
            for row in range(len(new.present)):
                if new.present[row]:
                    mixed = new.vectors[row]
                    if old.present[row]:
                        mixed = momentum * mixed + (1 - momentum) * old.vectors[row]
                    old.vectors[row] = F.normalize(mixed, dim=0)
                    old.present[row] = True

    def _view(self, image: Tensor) -> View:
        network = self.network
        features = network.backbone(image)
        cam = network.head(network.head_dropout(features.final))
        embedded = network.projector_class(features.final), network.projector_pixel(features.final)
        return View(cam, refined_map(network.pcm, cam, image, features), *embedded)

    def _eps(
        self, views: list[View], images: list[Tensor], tags: Tensor, saliency: Tensor
    ) -> Tensor:
        p = self.baseline.params
        each = [tag_loss(view.cam, tags) for view in views]
        salient = [saliency_loss(view.cam, saliency, tags, p.tau, p.mix) for view in views]
        return sum(each) / 2 + sum(salient) / 2 + equivariances(views, images, tags)

    def _contrast(self, views: list[View], image: Tensor, tags: Tensor) -> Tensor:
        p, size = self.contrast.params, tuple(views[1].cam.shape[2:])
        driving = [view.refined if not self.baseline.needs_saliency else softmax(view.cam, tags)
                   for view in views]  # fmt: skip
        driving = [cam.detach()[:, 1:] for cam in driving]
        cams = [normalised(at(cam, size)) * tags[:, :, None, None] for cam in driving]
        labels = [hard(cam, p.background_score) for cam in cams]
        if self._crf_side:
            labels = [self._crf(cam, image, tags, size) for cam in driving]
        u1, u2 = ([at(u, size) for u in both] for both in zip(*(v[2:] for v in views), strict=True))
        u2 = [F.normalize(u, dim=1) for u in u2]
        own = [pixel_prototypes(u2[i], cams[i], labels[i], p.k_pixel) for i in (0, 1)]
        total, classes = 0.0, torch.arange(tags.shape[1], device=tags.device)
        for i in (0, 1):
            j = 1 - i
            total = total + roi(u1[i], u1[i], labels[i], labels[i])
            total = total + roi(u1[i], u1[j], labels[i], labels[j])
            rows = class_rows(u1[i], cams[i], tags, p.k_class)
            for name in (f"class{i + 1}", f"class{j + 1}"):
                total = total + against(
                    rows.vectors, torch.where(rows.present, classes, -1),
                    self.contrast.memory(name), p.temperature,
                )  # fmt: skip
            self._pending[f"class{i + 1}"] = Prototypes(rows.vectors.detach(), rows.present)
            cells = u2[i].permute(0, 2, 3, 1).flatten(0, 2)
            for label, prototypes in (
                (labels[i], own[i]), (labels[i], own[j]), (labels[j], own[i]),
                (labels[i], self.contrast.memory(f"pixel{i + 1}")),
            ):  # fmt: skip
                total = total + against(cells, label.flatten(), prototypes, p.temperature)
            self._pending[f"pixel{i + 1}"] = own[i]
        return total / 2

    def _crf(self, cam: Tensor, image: Tensor, tags: Tensor, size: tuple[int, int]) -> Tensor:
        """Labels refined on small pictures, one after the other, and brought to the map."""
        side = (self._crf_side, self._crf_side)
        label = hard(normalised(at(cam, side)) * tags[:, :, None, None],
                     self.contrast.params.background_score)  # fmt: skip
        pictures = to_pixels(at(image, side)).cpu().numpy()
        pairs = zip(pictures, label.cpu().numpy(), strict=True)
        refined = np.stack([refine_labels(*pair, tags.shape[1] + 1) for pair in pairs])
        whole = torch.from_numpy(refined)[:, None].float().to(image.device)
        return F.interpolate(whole, size, mode="nearest")[:, 0].long()


def refined_map(pcm: PixelCorrelation, cam: Tensor, image: Tensor, features: Features) -> Tensor:
    """The PCM's map with its affinity as a normalised matrix."""
    size = cam.shape[2:]
    parts = (
        image,
        pcm.reduce_low(features.low.detach()).relu(),
        pcm.reduce_mid(features.mid.detach()).relu(),
    )
    cells = pcm.embed(torch.cat([at(part, size) for part in parts], 1)).flatten(2)
    cells = cells / (cells.norm(dim=1, keepdim=True) + MARGIN)
    affinity = torch.matmul(cells.transpose(1, 2), cells).relu()
    affinity = affinity / (affinity.sum(dim=1, keepdim=True) + MARGIN)
    return torch.matmul(prepare_cam(cam).flatten(2), affinity).view_as(cam)


def seam(views: list[View], images: list[Tensor], tags: Tensor) -> Tensor:
    """Tags, adaptive minimum and both equivariances, on the pixels of the views."""
    gate = gated(tags)
    total = 0.0
    for view, image in zip(views, images, strict=True):
        size = image.shape[2:]
        total = total + tag_loss(at(view.cam, size), tags) / 2
        strongest_class = (at(view.refined, size) * gate)[:, 1:].amax(dim=1).flatten(1)
        lowest = strongest_class.topk(strongest_class.shape[1] // 4, largest=False)[0]
        total = total + lowest.relu().mean() / 2
    return total + equivariances(views, images, tags)


def equivariances(views: list[View], images: list[Tensor], tags: Tensor) -> Tensor:
    """SEAM's ER and ECR."""
    gate, size = gated(tags), tuple(images[1].shape[2:])
    shown = zip(views, images, strict=True)
    cams, refined = [], []
    for view, image in shown:
        cams.append(at(normalised(at(view.cam, image.shape[2:])), size) * gate)
        refined.append(at(normalised(at(view.refined, image.shape[2:])), size) * gate)
    total = (cams[0] - cams[1])[:, 1:].abs().mean()
    for i in (0, 1):
        foreground = cams[i].detach()[:, 1:]
        peak = foreground.amax(dim=1, keepdim=True)
        target = torch.cat([1 - peak, foreground * (foreground == peak)], dim=1)
        difference = (target - refined[1 - i]).abs().flatten(1)
        total = total + difference.topk(int(difference.shape[1] * 0.2))[0].mean()
    return total


def saliency_loss(cam: Tensor, saliency: Tensor, tags: Tensor, tau: float, mix: float) -> Tensor:
    """EPS's, picture by picture and class by class."""
    saliency = F.interpolate(saliency, cam.shape[2:], mode="nearest")[:, 0]
    losses = []
    for scores, salient, tagged in zip(cam.softmax(dim=1), saliency, tags, strict=True):
        foreground, background = torch.zeros_like(salient), scores[0]
        for index in tagged.nonzero()[:, 0].tolist():
            score = scores[index + 1]
            cells = score.detach().round()
            overlap = (cells * salient.round()).sum() / (cells + 1e-4).sum()
            if overlap > tau:
                foreground = foreground + score
            else:
                background = background + score
        predicted = mix * foreground + (1 - mix) * (1 - background)
        losses.append(F.mse_loss(predicted, salient))
    return torch.stack(losses).mean()


def roi(u: Tensor, other: Tensor, label: Tensor, other_label: Tensor) -> Tensor:
    """Every object against every background, pair by pair."""
    losses = []
    for i in range(len(u)):
        for j in range(len(u)):
            inside, outside = label[i] > 0, other_label[j] == 0
            if inside.any() and outside.any():
                objects, ground = u[i][:, inside].mean(dim=1), other[j][:, outside].mean(dim=1)
                alike = F.cosine_similarity(objects, ground, dim=0).clamp(5e-4, 0.9995)
                losses.append(-torch.log(1 - alike))
    return torch.stack(losses).mean() if losses else u.sum() * 0


def class_rows(u1: Tensor, cam: Tensor, tags: Tensor, k: int) -> Prototypes:
    """The representation of each class, equation (6), picture by picture."""
    rows, present = [], torch.zeros_like(tags[0], dtype=torch.bool)
    for c in range(tags.shape[1]):
        found = []
        for i in tags[:, c].nonzero()[:, 0].tolist():
            weight = strongest(cam[i, c].flatten(), k)
            if weight.sum() > 0:
                found.append((u1[i].flatten(1) * weight).sum(dim=1) / weight.sum())
        present[c] = bool(found)
        rows.append(torch.stack(found).mean(dim=0) if found else u1.new_zeros(u1.shape[1]))
    return Prototypes(F.normalize(torch.stack(rows), dim=1), present)


def pixel_prototypes(u2: Tensor, cam: Tensor, label: Tensor, k: int) -> Prototypes:
    """Equation (10), class by class."""
    cells = u2.detach().permute(0, 2, 3, 1).flatten(0, 2)
    rows, present = [], torch.zeros(cam.shape[1] + 1, dtype=torch.bool, device=cam.device)
    for c in range(cam.shape[1] + 1):
        score = 1 - cam.amax(dim=1) if c == 0 else cam[:, c - 1]
        weight = strongest((score * (label == c)).flatten(), k)
        present[c] = bool(weight.sum() > 0)
        rows.append(F.normalize((cells * weight[:, None]).sum(dim=0), dim=0))
    return Prototypes(torch.stack(rows), present)


def against(vectors: Tensor, label: Tensor, prototypes: Prototypes, temperature: float) -> Tensor:
    """Entries against the prototypes that there are, those of a known label; mean of them."""
    known = prototypes.present.nonzero()[:, 0]
    counts = torch.isin(label, known)
    if not counts.any():
        return vectors.sum() * 0
    similarity = vectors[counts] @ prototypes.vectors[known].T / temperature
    return F.cross_entropy(similarity, torch.searchsorted(known, label[counts]))


def tag_loss(cam: Tensor, tags: Tensor) -> Tensor:
    scores = F.adaptive_avg_pool2d(cam, 1)[:, 1:, 0, 0]
    return F.multilabel_soft_margin_loss(scores, tags)


def normalised(cam: Tensor) -> Tensor:
    """ReLU, then each channel from its lowest to its highest value."""
    cam = cam.relu()
    low, high = cam.amin((2, 3), keepdim=True), cam.amax((2, 3), keepdim=True)
    return (cam - low - MARGIN).relu() / (high - low + MARGIN)


def softmax(cam: Tensor, tags: Tensor) -> Tensor:
    """Over the background and the tagged classes."""
    return cam.masked_fill(gated(tags) == 0, -torch.inf).softmax(dim=1)


def hard(cam: Tensor, background: float) -> Tensor:
    ground = torch.full_like(cam[:, :1], background)
    return torch.cat([ground, cam], dim=1).argmax(dim=1)


def gated(tags: Tensor) -> Tensor:
    return F.pad(tags, (1, 0), value=1.0)[:, :, None, None]


def at(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps, tuple(size), mode="bilinear", align_corners=True)
