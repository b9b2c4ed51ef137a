"""What a contrast is, for those that come with this package and for those of others.

A module that holds a contrast says so by `CONTRAST = TheClass`; its name is what `contrast` in
`params.yaml` says (`hsc.params.method`).

Letters: N batch, C foreground classes, S side of view 2 in pixels, D channels of an embedding.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

from hsc.losses.maps import max_norm, otsu_threshold, resize
from hsc.params.base import Frozen, NonNegative

Maps = tuple[Tensor, ...]
"""A map a view."""
Embeddings = tuple[Tensor | None, Tensor | None]
"""A view's embeddings (N, D, *, *) of the class and of the pixel projector; None where the contrast
needs no such projector. For a contrast of `features` the backbone's own, (N, D, h, w), and None."""


class ContrastParams(Frozen):
    """The section of `params.yaml` with the contrast's name. `gamma` weighs its terms."""

    gamma: NonNegative = 0.1


@dataclass(frozen=True)
class Setting:
    """What a contrast is told of the network and the run that it is in.

    num_classes: C. class_channels, pixel_channels: D of the two projectors. feature_channels: D of
    the backbone's features. seed: of the run.
    crf_size: side in pixels at which a CRF sees pseudo labels. crf_kernels: with all pairs of
    pixels, or on pydensecrf's lattice, for sizes whose pairs do not fit into memory.
    background_score: what competes with the classes in a pseudo label: the constant that the
    contrast publishes, what the maps of the batch say themselves, or a number. views: of a picture;
    CAM training has two.
    """

    num_classes: int
    class_channels: int
    pixel_channels: int
    seed: int = 0
    crf_size: int = 128
    crf_kernels: Literal["exact", "lattice"] = "exact"
    background_score: Literal["method", "auto"] | float = "method"
    feature_channels: int = 0
    views: int = 2


class Contrast(nn.Module):
    """Loss terms on two views of a batch. What it remembers are buffers: they are in checkpoints.

    `Params`: its section. `projectors`: which of the CAM network's it needs, `class` (u1) and
    `pixel` (u2), or `features` alone for what they project. `says`: what it asks of the network,
    for the report, a clause without a full stop. `shows`: the title of a column in the panels that
    `label_map` draws; empty: it draws none.
    """

    Params: ClassVar[type[ContrastParams]] = ContrastParams
    projectors: ClassVar[tuple[str, ...]] = ("pixel",)
    says: ClassVar[str] = ""
    shows: ClassVar[str] = ""

    def __init__(self, params: ContrastParams, setting: Setting) -> None:
        super().__init__()
        self.params, self.setting = params, setting

    def background_score(self, cam: Tensor, constant: float) -> float | Tensor:
        """What competes with the classes of the driving CAM (N, C, h, w) of the whole batch.

        It is `constant`, the published score, or Otsu's threshold of the cells' strongest
        activations, or a number, as the setting says.
        """
        chosen = self.setting.background_score
        if chosen == "auto":
            return otsu_threshold(cam.amax(dim=1).flatten())
        return constant if chosen == "method" else chosen

    @staticmethod
    def enrichment(params: ContrastParams) -> float | None:
        """The temperature of the network's second CAM (`hsc.nets.enrichment`); None: there is none.

        A contrast that asks for one has the class nodes as buffers, `nodes` and `seen`.
        """
        return None

    @staticmethod
    def check(params: ContrastParams) -> None:
        """Raise ValueError when `params` switch off what this contrast needs."""

    def forward(
        self, maps: Maps, embeddings: tuple[Embeddings, ...], image: Tensor, tags: Tensor
    ) -> dict[str, Tensor]:
        """The terms by name, scalars; the method weighs their sum by `gamma`.

        maps: the CAM that drives the contrast, (N, C+1, *, *) a view, background first, refined by
        the PCM where the baseline has one; it carries the network's gradient. image: view 2,
        (N, 3, S, S) normalised. tags: (N, C), 0 and 1. All are whole batches: a distributed run
        gathers them first.
        """
        raise NotImplementedError

    def label_map(self, cam: Tensor, embeddings: Embeddings, tags: Tensor) -> Tensor:
        """What the contrast made of one view, (N, h, w) int64 in 0..C, for people to look at.

        As in `forward`: the CAM that drives the contrast, embeddings, tags.
        """
        raise NotImplementedError

    def commit(self) -> None:
        """Take over what the last batch made; called after the optimiser's step."""


def driving_cam(cam: Tensor, tags: Tensor, size: tuple[int, int]) -> Tensor:
    """The CAM that drives the contrast: resized, ReLU'd, min-max normalised, absent classes 0.

    cam (N, C+1, *, *), background first, to (N, C, *size) in [0, 1]; carries no gradient.
    """
    foreground = max_norm(resize(cam.detach()[:, 1:], size))
    return foreground * tags[:, :, None, None]
