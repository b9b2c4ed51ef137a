"""The parameters of the segmentation network: its head, its training, its inference."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from hsc.params.base import (
    SECTION,
    BackboneChoice,
    Count,
    CrfConfig,
    Frozen,
    ImportParams,
    Positive,
    Probability,
    Share,
    TrainingParams,
    Whole,
    complete,
)


class _HeadParams(Frozen):
    """What both heads have.

    `channels`: width of every layer. `dropout`: the share that is dropped before the classifier,
    `dropout_of` whole channels or single values (as published). `norm_momentum`: how much of its
    running statistics a norm takes from a batch.
    """

    channels: Count
    dropout: Annotated[float, Field(ge=0, lt=1)]
    dropout_of: Literal["channels", "values"]
    norm_momentum: Share = 0.1


class AsppParams(_HeadParams):
    """DeepLab-ASPP: parallel 3x3 branches with these dilations, and image pooling.

    `pooled_norm`: a batch norm in the pooled branch, as published. It has one value a picture and
    channel, so it needs batches of two pictures and is worth little in small ones.
    """

    kind: Literal["aspp"]
    rates: tuple[Count, ...] = Field(min_length=1)
    pooled_norm: bool


class LargeFovParams(_HeadParams):
    """DeepLab v1's large field of view: a dilated 3x3 layer and a 1x1 layer."""

    kind: Literal["largefov"]
    dilation: Count


def _kind_of_head(values: Any) -> str:
    """Which head a recipe means; in brackets, which keep it out of the key in errors."""
    kind = values.get("kind") if isinstance(values, dict) else getattr(values, "kind", None)
    return "(largefov)" if kind == "largefov" else "(aspp)"


HeadParams = Annotated[
    Annotated[AsppParams, Tag("(aspp)")] | Annotated[LargeFovParams, Tag("(largefov)")],
    Discriminator(_kind_of_head),
]


class SegmentationNetworkParams(BackboneChoice):
    """The segmentation network, which may stand on another backbone than the CAM network."""

    head: HeadParams


def _kind_of_weights(values: Any) -> str:
    return "(import)" if isinstance(values, (dict, ImportParams)) else "(words)"


InitialWeights = Annotated[
    Annotated[Literal["prepare_backbone", "none"], Tag("(words)")]
    | Annotated[ImportParams, Tag("(import)")],
    Discriminator(_kind_of_weights),
]


class TrainSegmentationParams(TrainingParams):
    """DeepLab training, and what its backbone starts from.

    `initial_weights`: `prepare_backbone`, the weights that the CAM network starts from too;
    `none`; or published weights, as `prepare_backbone` imports them.
    """

    initial_weights: InitialWeights


class PredictParams(Frozen):
    """Inference: mean of the logits over scales and flips; a CRF on their softmax."""

    scales: tuple[Positive, ...] = Field(min_length=1)
    flip: bool
    crf: Annotated[CrfConfig, complete(CrfConfig)] | None


SALIENCY_CRF = CrfConfig(
    iterations=1, gaussian_sxy=3, gaussian_compat=3,
    bilateral_sxy=60, bilateral_srgb=5, bilateral_compat=5,
)  # fmt: skip
"""On AuxSegNet's saliency, as published."""


@dataclass(frozen=True)
class AuxLabelParams:
    """AuxSegNet's label rule and the CRF on its saliency; the defaults are the published values.

    A pixel is of a class where the refined CAM is above `cam_threshold`, salient where the saliency
    is above `saliency_threshold`.
    """

    __pydantic_config__ = SECTION

    cam_threshold: Probability = 0.2
    saliency_threshold: Probability = 0.06
    crf: Annotated[CrfConfig, complete(CrfConfig)] = SALIENCY_CRF


class TrainAuxSegNetParams(TrainingParams):
    """AuxSegNet's training: `rounds` of `steps` each, the labels made anew between them.

    `channels`, `rates`: width of the tasks' layers, dilations of their 3x3 ones. `head_dropout`:
    before the tags' classifier. `padding`: what lies around a picture is `ignored`, or
    `background` and not salient, as published. `warmup`: steps of each round in which the rate
    rises to its full height, since a round begins with a new optimiser; published: none.
    """

    rounds: Count
    warmup: Whole = 0
    channels: Count
    rates: tuple[Count, Count, Count]
    head_dropout: Annotated[float, Field(ge=0, lt=1)]
    padding: Literal["ignored", "background"]
    labels: Annotated[AuxLabelParams, complete(AuxLabelParams)]


class SegmentationTrainings(Frozen):
    """How each of the segmentation networks is trained."""

    deeplab: TrainSegmentationParams
    auxsegnet: TrainAuxSegNetParams


class SegmentationPredictions(Frozen):
    """How each of them predicts."""

    deeplab: PredictParams
    auxsegnet: PredictParams

    def of(self, network: str) -> PredictParams:
        """network: as `segmentation` in params.yaml."""
        return getattr(self, network)
