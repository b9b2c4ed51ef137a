"""`recipes/<data>.yaml`: how it is run on one data set."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import Discriminator, Field, Tag

from hsc.params.base import (
    AugmentationSection,
    BackboneChoice,
    Count,
    CrfConfig,
    FetchParams,
    Frozen,
    NonNegative,
    Positive,
    Probability,
    Seed,
    TrainingParams,
    complete,
)
from hsc.params.segmentation import (
    SegmentationNetworkParams,
    SegmentationPredictions,
    SegmentationTrainings,
)

_BACKBONE = ("backbone", "widths")


class NetworkParams(BackboneChoice):
    """The CAM network: its backbone, and the widths of what stands on it.

    `projector`: `paper` is two Conv-ReLU blocks for the ROI and class level, `published` what
    HSC's weights have.
    """

    pcm_low: Count
    pcm_mid: Count
    pcm_out: Count
    projector: Literal["paper", "published"] = "paper"
    projector_class: Count
    projector_pixel: Count


class WarmupParams(Frozen):
    """Classification of the tags: what stands in for ImageNet weights.

    The output stride may be coarser than the CAM network's: cheaper, as with ImageNet networks.
    """

    output_stride: Literal[4, 8]
    seed: Seed
    pool: Annotated[float, Field(gt=0, le=1)]
    epochs: Count
    batch_size: Count
    sizes: tuple[Count, ...] = Field(min_length=1)
    lr: Positive
    weight_decay: NonNegative
    augmentation: AugmentationSection


def _kind_of_backbone(values: Any) -> str:
    """Which of the two a recipe's `prepare_backbone` is meant to be."""
    if isinstance(values, dict):
        return "(import)" if FetchParams.model_fields.keys() & values.keys() else "(warm-up)"
    return "(import)" if isinstance(values, FetchParams) else "(warm-up)"


BackboneParams = Annotated[
    Annotated[WarmupParams, Tag("(warm-up)")] | Annotated[FetchParams, Tag("(import)")],
    Discriminator(_kind_of_backbone),
]


class TrainCamParams(TrainingParams):
    """CAM training: a second, smaller view and the projectors' rate besides.

    `head_dropout`: share of the head's input channels dropped in training (SEAM: 0.5).
    `crf_size`: side in pixels at which HSC's CRF sees the pseudo labels; view 2's in the paper.
    `crf_kernels`: exact, with all pairs of pixels, or on a lattice (pydensecrf's approximation) for
    sizes whose pairs do not fit into memory.
    `background_score`: of the contrasts' pseudo labels: the constant in the method's section, as
    published for ResNet-38, or `auto`, from the maps of the batch (`hsc.losses.maps`).
    `clip_norm`: a longer gradient is cut to this length; null for none, as published. HSC's class
    level has a gradient that is small in most batches and many times the baseline's in some.
    """

    clip_norm: Positive | None
    view2_size: Count
    head_dropout: Annotated[float, Field(ge=0, lt=1)]
    crf_size: Count
    crf_kernels: Literal["exact", "lattice"]
    background_score: Literal["method", "auto"]
    loss_resolution: Literal["pixels", "map"]
    lr_projector: Positive


class InferCamParams(Frozen):
    """Multi-scale, flipped inference: which map, how the scales are merged."""

    scales: tuple[Positive, ...] = Field(min_length=1)
    flip: bool
    maps: Literal["raw", "refined"]
    merge: Literal["relu", "softmax"]


@dataclass(frozen=True, kw_only=True)
class CrfParams(CrfConfig):
    """The dense CRF on the seeds: from hard labels or from CAM scores."""

    unary: Literal["labels", "alpha"]
    label_confidence: Annotated[float, Field(gt=0, lt=1)]
    alpha: Positive


class LabelAffinityParams(Frozen):
    """PSA's labels: what two CRFs agree about.

    `alpha_low`, `alpha_high`: the exponents of their background scores, (1 - max) ** alpha.
    """

    alpha_low: Positive
    alpha_high: Positive

    @pydantic.model_validator(mode="after")
    def _check_alphas(self) -> Self:
        if self.alpha_low >= self.alpha_high:
            raise ValueError(
                "alpha_low has to be below alpha_high: the lower, the more background, and only "
                "what is foreground even then is labelled so"
            )
        return self


class TrainAffinityParams(TrainingParams):
    """AffinityNet training: which pairs, and the widths that the backbone's maps are reduced to."""

    radius: Annotated[int, Field(ge=2, strict=True)]
    widths: tuple[Count, Count, Count]


class WalkParams(Frozen):
    """PSA's random walk on the CAMs, whose length goes with the size of the maps.

    `beta`: affinities to this power. `steps`: any number. `background`: what competes with the
    classes, `power` ((1 - max) ** `background_alpha`) or `constant` (`background_score`). `crf`:
    refine the masks once more, as `refine_crf` does.
    """

    beta: Positive
    steps: Count
    background: Literal["power", "constant"]
    background_alpha: Positive
    background_score: Probability
    crf: bool


class PanelParams(Frozen):
    """How many pictures of `train` the panels show."""

    pictures: Count


class Recipe(Frozen):
    """`recipes/<data>.yaml`: how it is run on one data set; `train_cam`, `infer_cams` and
    `refine_crf` by baseline, what is about the segmentation network by network."""

    prepare_data: dict[str, Any]
    network: NetworkParams
    prepare_backbone: BackboneParams
    train_cam: dict[str, TrainCamParams]
    infer_cams: dict[str, InferCamParams]
    refine_crf: dict[str, Annotated[CrfParams, complete(CrfParams)]]
    label_affinity: LabelAffinityParams
    train_affinity: TrainAffinityParams
    refine_masks: WalkParams
    segmentation_network: SegmentationNetworkParams
    train_segmentation: SegmentationTrainings
    predict_segmentation: SegmentationPredictions
    draw_panels: PanelParams

    @pydantic.model_validator(mode="after")
    def _check_segmentation(self) -> Self:
        """Found when the recipe is read, not when the first stages have run."""
        network, training = self.segmentation_network, self.train_segmentation.deeplab
        same = all(getattr(network, key) == getattr(self.network, key) for key in _BACKBONE)
        if training.initial_weights == "prepare_backbone" and not same:
            raise ValueError(
                "train_segmentation.deeplab.initial_weights is prepare_backbone, but backbone or "
                "widths of segmentation_network are not those of network; make them equal, or use "
                "none or published weights"
            )
        if training.batch_size == 1 and getattr(network.head, "pooled_norm", False):
            raise ValueError(
                "segmentation_network.head.pooled_norm needs two pictures a batch, but "
                "train_segmentation.deeplab.batch_size is 1; change one of them"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _check_affinity(self) -> Self:
        """A crop smaller than the radius never shows the longer pairs to the network."""
        stride, how = self.network.output_stride, self.train_affinity
        cells = -(-how.augmentation.crop_size // stride)
        if cells < how.radius:
            raise ValueError(
                f"train_affinity.augmentation.crop_size: {how.augmentation.crop_size} pixels are "
                f"{cells} cells, fewer than train_affinity.radius, {how.radius}; take crops of "
                f"{how.radius * stride} pixels or more, or a smaller radius"
            )
        return self
