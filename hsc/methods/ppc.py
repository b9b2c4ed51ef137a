"""Pixel-to-Prototype Contrast (PPC, Du et al., CVPR 2022) over two views.

It remembers nothing but the number of the step: prototypes are those of the batch.

Letters: N batch, C foreground classes, h w cells of view 2's map, D channels of the embedding.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hsc.losses.maps import background_activation, pseudo_label, resize, unit
from hsc.losses.pixel import pixel_contrast
from hsc.losses.ppc import batch_prototypes, intra_view_contrast
from hsc.losses.prototypes import Prototypes
from hsc.methods.hsc import driving_cam


@dataclass(frozen=True)
class PpcSettings:
    """Which terms are on, and their constants (names as in `params.yaml`)."""

    gamma: float
    temperature: float
    k: int
    background_score: float
    cross_prototype: bool
    cross_label: bool
    intra_view: bool
    hard_share: float
    kept_share: float


@dataclass(frozen=True)
class _View:
    """One view at view 2's map size."""

    v: Tensor  # (N, D, h, w), L2-normalised over channels
    label: Tensor  # (N, h, w) int64, the pseudo label
    prototypes: Prototypes  # (C+1, D)


class PpcContrast(nn.Module):
    """Cross-prototype, cross-pseudo-label and intra-view contrast.

    The random halves of the intra-view term are a function of the run's seed, the step and a
    pixel's place in the batch, as the order of the training data is. So a resumed run draws what
    the undisturbed one would have drawn (the step is a buffer), every process of a distributed run
    draws the same for the whole batch, and neither the device nor a dropout layer moves the draws;
    torch's global generator would give only the first.
    """

    def __init__(self, settings: PpcSettings, seed: int) -> None:
        super().__init__()
        self.settings = settings
        self._seed = seed
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(
        self,
        maps: tuple[Tensor, Tensor],
        embeddings: tuple[tuple[Tensor | None, Tensor], tuple[Tensor | None, Tensor]],
        image: Tensor,
        tags: Tensor,
    ) -> dict[str, Tensor]:
        """The terms `cross_prototype`, `cross_label` and `intra_view` that are on.

        Each is the mean over the views. Arguments as `HscContrast` has them: the CAM that drives
        the contrast, (N, C+1, *, *) a view; of the embeddings only the second, (N, D, *, *) a view;
        the picture is not used; tags (N, C). All are whole batches: a distributed run gathers them
        first.
        """
        s = self.settings
        size = tuple(maps[1].shape[2:])
        one, two = (
            self._prepare(cam, v, tags, size) for cam, (_, v) in zip(maps, embeddings, strict=True)
        )
        terms: dict[str, Tensor] = {}
        if s.cross_prototype:
            terms["cross_prototype"] = (
                pixel_contrast(one.v, one.label, two.prototypes, s.temperature)
                + pixel_contrast(two.v, two.label, one.prototypes, s.temperature)
            ) / 2
        if s.cross_label:
            terms["cross_label"] = (
                pixel_contrast(one.v, two.label, one.prototypes, s.temperature)
                + pixel_contrast(two.v, one.label, two.prototypes, s.temperature)
            ) / 2
        if s.intra_view:
            terms["intra_view"] = self._intra_view([one, two])
        return terms

    def commit(self) -> None:
        """Count the step."""
        self.step += 1

    def _prepare(self, cam: Tensor, v: Tensor, tags: Tensor, size: tuple[int, int]) -> _View:
        foreground = driving_cam(cam, tags, size)
        activation = torch.cat([background_activation(foreground), foreground], dim=1)
        v = resize(v, size)
        return _View(
            unit(v),
            pseudo_label(foreground, self.settings.background_score),
            batch_prototypes(v, activation, self.settings.k),
        )

    def _intra_view(self, views: list[_View]) -> Tensor:
        s = self.settings
        drawn = np.random.default_rng((self._seed, int(self.step)))
        terms = []
        for view in views:
            draw = torch.from_numpy(drawn.random(tuple(view.label.shape)))
            terms.append(
                intra_view_contrast(
                    view.v,
                    view.label,
                    view.prototypes,
                    draw.to(view.label.device),
                    s.temperature,
                    s.hard_share,
                    s.kept_share,
                )
            )
        return sum(terms) / len(terms)
