"""Hierarchical Semantic Contrast (HSC, IJCAI 2023, equations 1-13) over two views.

The module holds the momentum prototypes of both views as buffers, so they are in every checkpoint.
`forward` reads them as they were before the batch; `commit`, after the optimiser's step, takes over
what the batch made of them.

Letters: N batch, C foreground classes, h w cells of view 2's map, D channels of an embedding.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsc.base.distributed import gather, own_share
from hsc.losses.class_level import class_contrast, class_representations
from hsc.losses.maps import background_activation, max_norm, pseudo_label, resize, unit
from hsc.losses.pixel import pixel_level, pixel_prototypes
from hsc.losses.prototypes import Prototypes, momentum_update
from hsc.losses.roi import roi_contrast

RefineLabels = Callable[[Tensor, Tensor], Tensor]
"""(N, 3, S, S) normalised pictures and (2, N, S, S) int64 labels, a labelling a view, to refined
labels."""


@dataclass(frozen=True)
class HscSettings:
    """Which levels and components are on, and their constants (names as in `params.yaml`)."""

    gamma: float
    temperature: float
    momentum: float
    roi: bool
    class_level: bool
    pixel: bool
    cross_supervision: bool
    momentum_prototypes: bool
    crf: str
    k_class: int
    k_pixel: int
    background_score: float
    crf_size: int


@dataclass(frozen=True)
class ContrastView:
    """One view, ready for the contrast: everything at view 2's map size."""

    u1: Tensor  # (N, D1, h, w), embedding of the ROI and class level
    u2: Tensor  # (N, D2, h, w), embedding of the pixel level, L2-normalised over channels
    cam: Tensor  # (N, C, h, w) in [0, 1], absent classes 0, no gradient
    label: Tensor  # (N, h, w) int64, the pseudo label
    crf_label: Tensor  # the same after the CRF (the same tensor where the CRF is off)


def driving_cam(cam: Tensor, tags: Tensor, size: tuple[int, int]) -> Tensor:
    """The CAM that drives the contrast: resized, ReLU'd, min-max normalised, absent classes 0.

    cam (N, C+1, *, *), background first, to (N, C, *size) in [0, 1]; carries no gradient.
    """
    foreground = max_norm(resize(cam.detach()[:, 1:], size))
    return foreground * tags[:, :, None, None]


class HscContrast(nn.Module):
    """Three levels of contrast on both views, cross supervision, momentum prototypes."""

    def __init__(
        self,
        settings: HscSettings,
        num_classes: int,
        channels: tuple[int, int],
        refine_labels: RefineLabels,
    ) -> None:
        super().__init__()
        self.settings = settings
        self._refine_labels = refine_labels
        self._pending: dict[str, Prototypes] = {}
        wide, narrow = channels
        for view in (1, 2):
            self._add_memory(f"class{view}", num_classes, wide)
            self._add_memory(f"pixel{view}", num_classes + 1, narrow)

    def _add_memory(self, name: str, rows: int, channels: int) -> None:
        self.register_buffer(f"{name}_vectors", torch.zeros(rows, channels))
        self.register_buffer(f"{name}_present", torch.zeros(rows, dtype=torch.bool))

    def memory(self, name: str) -> Prototypes:
        """The momentum prototypes `class1`, `class2`, `pixel1` or `pixel2`."""
        return Prototypes(getattr(self, f"{name}_vectors"), getattr(self, f"{name}_present"))

    def forward(
        self,
        maps: tuple[Tensor, Tensor],
        embeddings: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]],
        image: Tensor,
        tags: Tensor,
    ) -> dict[str, Tensor]:
        """The terms `roi`, `class` and `pixel` that are on, each the mean over the views.

        maps: the CAM that drives the contrast, (N, C+1, *, *) a view, refined by the PCM where the
        baseline has one. embeddings: (u1, u2) a view. image: view 2, (N, 3, S, S) normalised, for
        the CRF. tags: (N, C). All are whole batches: a distributed run gathers them first.
        """
        views = self._prepare(maps, embeddings, image, tags)
        terms: dict[str, Tensor] = {}
        self._pending = {}
        if self.settings.roi:
            terms["roi"] = self._both(views, self._roi)
        if self.settings.class_level:
            terms["class"] = self._class(views, tags)
        if self.settings.pixel:
            terms["pixel"] = self._pixel(views)
        return terms

    def commit(self) -> None:
        """Take over the prototypes of the last batch, equations (7) and (11)."""
        for name, prototypes in self._pending.items():
            getattr(self, f"{name}_vectors").copy_(prototypes.vectors)
            getattr(self, f"{name}_present").copy_(prototypes.present)
        self._pending = {}

    def _prepare(
        self,
        maps: tuple[Tensor, Tensor],
        embeddings: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]],
        image: Tensor,
        tags: Tensor,
    ) -> list[ContrastView]:
        size = tuple(maps[1].shape[2:])
        cams = [driving_cam(cam, tags, size) for cam in maps]
        labels = [pseudo_label(cam, self.settings.background_score) for cam in cams]
        crf_labels = labels
        if self.settings.crf != "none":
            crf_labels = self._crf(maps, image, tags, size)
        embedded = [tuple(resize(u, size) for u in pair) for pair in embeddings]
        return [
            ContrastView(u1, unit(u2), cam, label, crf_label)
            for (u1, u2), cam, label, crf_label in zip(
                embedded, cams, labels, crf_labels, strict=True
            )
        ]

    def _crf(
        self, maps: tuple[Tensor, Tensor], image: Tensor, tags: Tensor, size: tuple[int, int]
    ) -> list[Tensor]:
        """Labels refined on the picture, then down-sampled to the map (HSC, section 3.4).

        Each process refines its own share of the batch; the labels are gathered.
        """
        whole = (self.settings.crf_size, self.settings.crf_size)
        score = self.settings.background_score
        tags = own_share(tags)
        labels = torch.stack(
            [pseudo_label(driving_cam(own_share(cam), tags, whole), score) for cam in maps]
        )
        refined = self._refine_labels(resize(own_share(image), whole), labels)
        small = F.interpolate(refined.float(), size, mode="nearest").long()
        return list(gather(small.transpose(0, 1)).unbind(1))  # pictures in front for the gather

    @staticmethod
    def _both(
        views: list[ContrastView], term: Callable[[ContrastView, ContrastView], Tensor]
    ) -> Tensor:
        return (term(views[0], views[1]) + term(views[1], views[0])) / 2

    def _roi(self, view: ContrastView, other: ContrastView) -> Tensor:
        everywhere = self.settings.crf == "all"
        label, other_label = (v.crf_label if everywhere else v.label for v in (view, other))
        return roi_contrast(
            view.u1,
            label > 0,
            label == 0,
            other.u1,
            other_label == 0,
            cross=self.settings.cross_supervision,
        )

    def _class(self, views: list[ContrastView], tags: Tensor) -> Tensor:
        s = self.settings
        memories = [self.memory("class1"), self.memory("class2")]
        loss = torch.zeros((), device=tags.device)
        for i, view in enumerate(views):
            batch = class_representations(view.u1, view.cam, tags, s.k_class)
            other = memories[1 - i] if s.cross_supervision else None
            loss = loss + class_contrast(batch, memories[i], other, s.temperature)
            # Directions are averaged: with raw lengths, lambda would mean nothing beside them.
            directions = Prototypes(unit(batch.vectors), batch.present)
            self._pending[f"class{i + 1}"] = momentum_update(memories[i], directions, s.momentum)
        return loss / 2

    def _pixel(self, views: list[ContrastView]) -> Tensor:
        s = self.settings
        labels = [view.label if s.crf == "none" else view.crf_label for view in views]
        own = []
        for view, label in zip(views, labels, strict=True):
            activation = torch.cat([background_activation(view.cam), view.cam], dim=1)
            own.append(pixel_prototypes(view.u2, activation, label, s.k_pixel))
        loss = torch.zeros((), device=labels[0].device)
        for i, view in enumerate(views):
            memory = self.memory(f"pixel{i + 1}")
            loss = loss + pixel_level(
                view.u2,
                labels[i],
                own[i],
                s.temperature,
                other_prototypes=own[1 - i] if s.cross_supervision else None,
                other_labels=labels[1 - i] if s.cross_supervision else None,
                memory=memory if s.momentum_prototypes else None,
            )
            self._pending[f"pixel{i + 1}"] = momentum_update(memory, own[i], s.momentum)
        return loss / 2
