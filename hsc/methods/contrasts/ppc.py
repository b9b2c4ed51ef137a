"""Pixel-to-Prototype Contrast (PPC, Du et al., CVPR 2022) over two views.

It remembers nothing but the number of the step: prototypes are those of the batch.

Letters: N batch, C foreground classes, h w cells of view 2's map, D channels of the embedding.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pydantic
import torch
from torch import Tensor

from hsc.losses.maps import background_activation, pseudo_label, resize, unit
from hsc.losses.pixel import pixel_contrast
from hsc.losses.ppc import batch_prototypes, intra_view_contrast
from hsc.losses.prototypes import Prototypes
from hsc.methods.contrast import Contrast, ContrastParams, Setting, driving_cam
from hsc.params.base import Count, Positive, Probability, Share


class PpcParams(ContrastParams):
    """PPC (CVPR 2022): its three terms, and which negatives and pixels the last one takes.

    Of the hardest `hard_share` of the negatives, and of the pixels of a class, the easier ones are
    kept, `kept_share` of all. The values are the paper's, the two shares its published code's.
    """

    temperature: Positive = 0.1
    k: Count = 32
    background_score: Probability = 0.20
    cross_prototype: bool = True
    cross_label: bool = True
    intra_view: bool = True
    hard_share: Share = 0.6
    kept_share: Share = 0.5

    @pydantic.model_validator(mode="after")
    def _check(self) -> Self:
        if self.kept_share > self.hard_share:
            raise ValueError("kept_share: no more can be kept than are hard (hard_share)")
        return self


@dataclass(frozen=True)
class _View:
    """One view at view 2's map size."""

    v: Tensor  # (N, D, h, w), L2-normalised over channels
    label: Tensor  # (N, h, w) int64, the pseudo label
    prototypes: Prototypes  # (C+1, D)


class PpcContrast(Contrast):
    """Cross-prototype, cross-pseudo-label and intra-view contrast.

    The random halves of the intra-view term are a function of the run's seed, the step and a
    pixel's place in the batch, as the order of the training data is. So a resumed run draws what
    the undisturbed one would have drawn (the step is in the checkpoint), every process of a
    distributed run draws the same for the whole batch, and neither the device nor a dropout layer
    moves the draws; torch's global generator would give only the first.
    """

    Params = PpcParams
    says = "PPC asks that pixels of a class resemble the class's prototype and no other"

    def __init__(self, params: PpcParams, setting: Setting) -> None:
        super().__init__(params, setting)
        self._step = 0  # no buffer: to read that back would halt a GPU

    def get_extra_state(self) -> dict[str, int]:
        """Of steps committed, for the checkpoint."""
        return {"step": self._step}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Go on from a checkpoint."""
        self._step = state["step"]

    @staticmethod
    def check(params: PpcParams) -> None:
        if not (params.cross_prototype or params.cross_label or params.intra_view):
            raise ValueError(
                "contrast is ppc but ppc.cross_prototype, ppc.cross_label and ppc.intra_view are "
                "all false; use `contrast: none` for the baseline alone"
            )

    def forward(
        self,
        maps: tuple[Tensor, Tensor],
        embeddings: tuple[tuple[Tensor | None, Tensor], tuple[Tensor | None, Tensor]],
        image: Tensor,
        tags: Tensor,
    ) -> dict[str, Tensor]:
        """The terms `cross_prototype`, `cross_label` and `intra_view` that are on.

        Each is the mean over the views. The picture is not used.
        """
        p = self.params
        size = tuple(maps[1].shape[2:])
        one, two = (
            self._prepare(cam, v, tags, size) for cam, (_, v) in zip(maps, embeddings, strict=True)
        )
        terms: dict[str, Tensor] = {}
        if p.cross_prototype:
            terms["cross_prototype"] = (
                pixel_contrast(one.v, one.label, two.prototypes, p.temperature)
                + pixel_contrast(two.v, two.label, one.prototypes, p.temperature)
            ) / 2
        if p.cross_label:
            terms["cross_label"] = (
                pixel_contrast(one.v, two.label, one.prototypes, p.temperature)
                + pixel_contrast(two.v, one.label, two.prototypes, p.temperature)
            ) / 2
        if p.intra_view:
            terms["intra_view"] = self._intra_view([one, two])
        return terms

    def commit(self) -> None:
        """Count the step."""
        self._step += 1

    def _prepare(self, cam: Tensor, v: Tensor, tags: Tensor, size: tuple[int, int]) -> _View:
        foreground = driving_cam(cam, tags, size)
        activation = torch.cat([background_activation(foreground), foreground], dim=1)
        v = resize(v, size)
        score = self.background_score(foreground, self.params.background_score)
        return _View(
            unit(v),
            pseudo_label(foreground, score),
            batch_prototypes(v, activation, self.params.k),
        )

    def _intra_view(self, views: list[_View]) -> Tensor:
        p = self.params
        drawn = np.random.default_rng((self.setting.seed, self._step))
        terms = []
        for view in views:
            draw = torch.from_numpy(drawn.random(tuple(view.label.shape)))
            terms.append(
                intra_view_contrast(
                    view.v,
                    view.label,
                    view.prototypes,
                    draw.to(view.label.device),
                    p.temperature,
                    p.hard_share,
                    p.kept_share,
                )
            )
        return sum(terms) / len(terms)


CONTRAST = PpcContrast
