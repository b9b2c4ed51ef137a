"""What a baseline is: the loss terms that contrasts are added to.

A module that holds a baseline says so by `BASELINE = TheClass`; its name is what `baseline` in
`params.yaml` says (`hsc.params.method`).

Letters: N batch, C foreground classes, H W pixels, h w map cells.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from hsc.cam.network import CamMaps
from hsc.losses.classification import multilabel_soft_margin
from hsc.params.base import Frozen

Terms = dict[str, Tensor]
Size = tuple[int, int]


class NoConstants(Frozen):
    """The section of a baseline that has none."""


@dataclass(frozen=True)
class Views:
    """One or two views of the whole batch, as a baseline sees them.

    sizes: one a view, where losses on pixels are computed; as published these are the views'
    pixels. saliency: (N, 1, H, W) in [0, 1] of view 1, for a baseline that needs it.
    """

    maps: list[CamMaps]
    sizes: list[Size]
    tags: Tensor  # (N, C), 0 and 1
    saliency: Tensor | None


class Baseline:
    """Loss terms on one or two views. It has no parameters of its own and no state.

    `Params`: its section. `needs_saliency`: it cannot train without saliency maps. `needs_pcm`: the
    network has SEAM's pixel correlation module and the terms need two views. `says`: what it asks
    of the network, for the report, a clause without a full stop.
    """

    Params: ClassVar[type[Frozen]] = NoConstants
    needs_saliency: ClassVar[bool] = False
    needs_pcm: bool = False
    says: str = ""

    def __init__(self, params: Frozen, has_contrast: bool) -> None:
        """Raises ValueError for parameters that contradict each other or the contrast."""
        self.params = params

    def terms(self, views: Views) -> Terms:
        """The terms by name, scalars that are summed."""
        raise NotImplementedError

    def second_terms(self, cams: list[Tensor], views: Views) -> Terms:
        """What is asked of a second CAM of the network, (N, C+1, h, w) logits a view: the tags."""
        terms = [multilabel_soft_margin(cam, views.tags) for cam in cams]
        return {"second_classification": sum(terms) / len(terms)}

    def contrast_map(self, view: CamMaps, tags: Tensor) -> Tensor:
        """The map (N, C+1, h, w) that drives a contrast, background first: the logits."""
        return view.cam.detach()
