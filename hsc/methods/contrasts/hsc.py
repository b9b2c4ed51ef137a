"""Hierarchical Semantic Contrast (HSC, IJCAI 2023, equations 1-13) over two views.

The module holds the momentum prototypes of both views as buffers, so they are in every checkpoint.
`forward` reads them as they were before the batch; `commit`, after the optimiser's step, takes over
what the batch made of them.

Letters: N batch, C foreground classes, h w cells of view 2's map, D channels of an embedding.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from hsc.base.distributed import gather, own_share
from hsc.crf.training_labels import LabelRefiner
from hsc.losses.class_level import class_contrast, class_representations
from hsc.losses.maps import at_cells, background_activation, pseudo_label, resize, unit
from hsc.losses.pixel import pixel_level, pixel_prototypes
from hsc.losses.prototypes import Prototypes, momentum_update
from hsc.losses.roi import roi_contrast
from hsc.methods.contrast import Contrast, ContrastParams, Setting, driving_cam
from hsc.params.base import Count, Positive, Probability

RefineLabels = Callable[[Tensor, Tensor], Tensor]
"""(N, 3, S, S) normalised pictures and (2, N, S, S) int64 labels, a labelling a view, to refined
labels."""


class HscParams(ContrastParams):
    """HSC (IJCAI 2023), equations 1-13; each row of its Table 4 is a handful of these.

    The values are the paper's, but `background_score` is that of HSC's published code. `refine`:
    PAR in the CRF's place.
    """

    temperature: Positive = 0.1
    momentum: Probability = 0.9
    roi: bool = True
    class_level: bool = Field(default=True, alias="class")
    pixel: bool = True
    cross_supervision: bool = True
    momentum_prototypes: bool = True
    crf: Literal["none", "pixel", "all"] = "all"
    refine: Literal["crf", "par"] = "crf"
    k_class: Count = 16
    k_pixel: Count = 32
    background_score: Probability = 0.10
    crf_iterations: Count = 10


@dataclass(frozen=True)
class ContrastView:
    """One view, ready for the contrast: everything at view 2's map size."""

    u1: Tensor  # (N, D1, h, w), embedding of the ROI and class level
    u2: Tensor  # (N, D2, h, w), embedding of the pixel level, L2-normalised over channels
    cam: Tensor  # (N, C, h, w) in [0, 1], absent classes 0, no gradient
    label: Tensor  # (N, h, w) int64, the pseudo label
    crf_label: Tensor  # the same after the CRF (the same tensor where the CRF is off)


class HscContrast(Contrast):
    """Three levels of contrast on both views, cross supervision, momentum prototypes."""

    Params = HscParams
    projectors = ("class", "pixel")
    says = (
        "HSC asks that objects differ from their backgrounds, and classes and their pixels from "
        "one another"
    )

    def __init__(
        self, params: HscParams, setting: Setting, refine_labels: RefineLabels | None = None
    ) -> None:
        """refine_labels: in place of the dense CRF."""
        super().__init__(params, setting)
        classes = setting.num_classes
        self._refine_labels = refine_labels or LabelRefiner(
            classes + 1,
            params.crf_iterations,
            "par" if params.refine == "par" else setting.crf_kernels,
        )
        self._pending: dict[str, Prototypes] = {}
        for view in (1, 2):
            self._add_memory(f"class{view}", classes, setting.class_channels)
            self._add_memory(f"pixel{view}", classes + 1, setting.pixel_channels)

    @staticmethod
    def check(params: HscParams) -> None:
        """A component that is on has to have something to act on."""
        if not (params.roi or params.class_level or params.pixel):
            raise ValueError(
                "contrast is hsc but hsc.roi, hsc.class and hsc.pixel are all false; "
                "use `contrast: none` for the baseline alone"
            )
        if params.momentum_prototypes and not params.pixel:
            raise ValueError(
                "hsc.momentum_prototypes is true, but they belong to the pixel level and hsc.pixel "
                "is false; set hsc.momentum_prototypes to false too"
            )
        if params.crf == "pixel" and not params.pixel:
            raise ValueError("hsc.crf is pixel, but hsc.pixel is false; use none or all")
        if params.refine == "par" and params.crf == "none":
            raise ValueError(
                "hsc.refine is par, which stands in for the CRF, but hsc.crf is none; name the "
                "levels in hsc.crf, pixel or all, or set hsc.refine to crf"
            )
        if params.crf == "all" and not (params.roi or params.pixel):
            raise ValueError(
                "hsc.crf is all, but the class level alone uses no labels to refine; use none"
            )

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
        """The terms `roi`, `class` and `pixel` that are on, each the mean over the views."""
        views = self._prepare(maps, embeddings, image, tags)
        terms: dict[str, Tensor] = {}
        self._pending = {}
        if self.params.roi:
            terms["roi"] = self._both(views, self._roi)
        if self.params.class_level:
            terms["class"] = self._class(views, tags)
        if self.params.pixel:
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
        scores = [self.background_score(cam, self.params.background_score) for cam in cams]
        labels = [pseudo_label(cam, score) for cam, score in zip(cams, scores, strict=True)]
        crf_labels = labels
        if self.params.crf != "none":
            crf_labels = self._crf(maps, scores, image, tags, size)
        embedded = [tuple(resize(u, size) for u in pair) for pair in embeddings]
        return [
            ContrastView(u1, unit(u2), cam, label, crf_label)
            for (u1, u2), cam, label, crf_label in zip(
                embedded, cams, labels, crf_labels, strict=True
            )
        ]

    def _crf(
        self,
        maps: tuple[Tensor, Tensor],
        scores: list[float | Tensor],
        image: Tensor,
        tags: Tensor,
        size: tuple[int, int],
    ) -> list[Tensor]:
        """Labels refined on the picture, then down-sampled to the map (HSC, section 3.4).

        Each process refines its own share of the batch; the labels are gathered.
        """
        whole = (self.setting.crf_size, self.setting.crf_size)
        tags = own_share(tags)
        cams = [driving_cam(own_share(cam), tags, whole) for cam in maps]
        labels = [pseudo_label(cam, score) for cam, score in zip(cams, scores, strict=True)]
        refined = self._refine_labels(resize(own_share(image), whole), torch.stack(labels))
        small = at_cells(refined, size)
        return list(gather(small.transpose(0, 1)).unbind(1))  # pictures in front for the gather

    @staticmethod
    def _both(
        views: list[ContrastView], term: Callable[[ContrastView, ContrastView], Tensor]
    ) -> Tensor:
        return (term(views[0], views[1]) + term(views[1], views[0])) / 2

    def _roi(self, view: ContrastView, other: ContrastView) -> Tensor:
        everywhere = self.params.crf == "all"
        label, other_label = (v.crf_label if everywhere else v.label for v in (view, other))
        return roi_contrast(
            view.u1,
            label > 0,
            label == 0,
            other.u1,
            other_label == 0,
            cross=self.params.cross_supervision,
        )

    def _class(self, views: list[ContrastView], tags: Tensor) -> Tensor:
        p = self.params
        memories = [self.memory("class1"), self.memory("class2")]
        loss = torch.zeros((), device=tags.device)
        for i, view in enumerate(views):
            batch = class_representations(view.u1, view.cam, tags, p.k_class)
            other = memories[1 - i] if p.cross_supervision else None
            loss = loss + class_contrast(batch, memories[i], other, p.temperature)
            # Directions are averaged: with raw lengths, lambda would mean nothing beside them.
            directions = Prototypes(unit(batch.vectors), batch.present)
            self._pending[f"class{i + 1}"] = momentum_update(memories[i], directions, p.momentum)
        return loss / 2

    def _pixel(self, views: list[ContrastView]) -> Tensor:
        p = self.params
        labels = [view.label if p.crf == "none" else view.crf_label for view in views]
        own = []
        for view, label in zip(views, labels, strict=True):
            activation = torch.cat([background_activation(view.cam), view.cam], dim=1)
            own.append(pixel_prototypes(view.u2, activation, label, p.k_pixel))
        loss = torch.zeros((), device=labels[0].device)
        for i, view in enumerate(views):
            memory = self.memory(f"pixel{i + 1}")
            loss = loss + pixel_level(
                view.u2,
                labels[i],
                own[i],
                p.temperature,
                other_prototypes=own[1 - i] if p.cross_supervision else None,
                other_labels=labels[1 - i] if p.cross_supervision else None,
                memory=memory if p.momentum_prototypes else None,
            )
            self._pending[f"pixel{i + 1}"] = momentum_update(memory, own[i], p.momentum)
        return loss / 2


CONTRAST = HscContrast
