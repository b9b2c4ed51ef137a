"""The typed parameters and the only reader of `params.yaml` and `recipes/`.

`params.yaml` says what is run (data set, baseline, contrast, their constants); the recipe
`recipes/<data>.yaml` says how, for that data set (sizes, schedules, rates), by baseline where they
differ. The two have no key in common and nothing is merged. Everything is parsed once into frozen
objects; an unknown key, a wrong type or a wrong combination is an `HscError` that names file and
key.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import pydantic
import yaml
from pydantic import Discriminator, Field, Tag

from hsc.base.errors import ExperimentError
from hsc.params.base import (
    AugmentationParams,
    BackboneChoice,
    Count,
    CrfKernelParams,
    FetchParams,
    Frozen,
    NonNegative,
    Positive,
    Probability,
    Seed,
    TrainingParams,
)
from hsc.params.run import EpsParams as EpsParams  # the sections are to be had here too
from hsc.params.run import HscParams as HscParams
from hsc.params.run import PpcParams as PpcParams
from hsc.params.run import PsaParams as PsaParams
from hsc.params.run import RunParams as RunParams
from hsc.params.run import SeedParams as SeedParams
from hsc.params.segmentation import (
    PredictParams,
    SegmentationNetworkParams,
    TrainSegmentationParams,
)

_Section = TypeVar("_Section")
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
    augmentation: AugmentationParams


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
    `crf_kernels`: exact on the device, or on a lattice (an approximation) on the CPU for sizes
    whose pairs of pixels do not fit into memory.
    `clip_norm`: a longer gradient is cut to this length; null for none, as published. HSC's class
    level has a gradient that is small in most batches and many times the baseline's in some.
    """

    clip_norm: Positive | None
    view2_size: Count
    head_dropout: Annotated[float, Field(ge=0, lt=1)]
    crf_size: Count
    crf_kernels: Literal["exact", "lattice"]
    loss_resolution: Literal["pixels", "map"]
    lr_projector: Positive


class InferCamParams(Frozen):
    """Multi-scale, flipped inference: which map, how the scales are merged."""

    scales: tuple[Positive, ...] = Field(min_length=1)
    flip: bool
    maps: Literal["raw", "refined"]
    merge: Literal["relu", "softmax"]


class CrfParams(CrfKernelParams):
    """The dense CRF on the seeds: from hard labels or from CAM scores."""

    unary: Literal["labels", "alpha"]
    label_confidence: Annotated[float, Field(gt=0, lt=1)]
    alpha: Positive


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


class ByBaseline(Frozen):
    """The CAM schedules."""

    cam: TrainCamParams
    seam: TrainCamParams
    eps: TrainCamParams


class InferByBaseline(Frozen):
    """The CAM inference, as each baseline publishes."""

    cam: InferCamParams
    seam: InferCamParams
    eps: InferCamParams


class CrfByBaseline(Frozen):
    """The dense CRF on the seeds, as each baseline publishes."""

    cam: CrfParams
    seam: CrfParams
    eps: CrfParams


class Recipe(Frozen):
    """`recipes/<data>.yaml`: how it is run on one data set."""

    prepare_data: dict[str, Any]
    network: NetworkParams
    prepare_backbone: BackboneParams
    train_cam: ByBaseline
    infer_cams: InferByBaseline
    refine_crf: CrfByBaseline
    train_affinity: TrainAffinityParams
    refine_masks: WalkParams
    segmentation_network: SegmentationNetworkParams
    train_segmentation: TrainSegmentationParams
    predict_segmentation: PredictParams
    draw_panels: PanelParams

    @pydantic.model_validator(mode="after")
    def _check_segmentation(self) -> Self:
        """Found when the recipe is read, not when the first stages have run."""
        network, training = self.segmentation_network, self.train_segmentation
        same = all(getattr(network, key) == getattr(self.network, key) for key in _BACKBONE)
        if training.initial_weights == "prepare_backbone" and not same:
            raise ValueError(
                "train_segmentation.initial_weights is prepare_backbone, but backbone or widths of "
                "segmentation_network are not those of network; make them equal, or use none or "
                "published weights"
            )
        if training.batch_size == 1 and getattr(network.head, "pooled_norm", False):
            raise ValueError(
                "segmentation_network.head.pooled_norm needs two pictures a batch, but "
                "train_segmentation.batch_size is 1; change one of them"
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


def load(params: Path, recipes: Path) -> tuple[RunParams, Recipe]:
    """Read `params.yaml` and the recipe that it names.

    Raises HscError: a missing or unreadable file, an unknown key, a value of the wrong type or
    range, a wrong combination; the text names the file and the key.
    """
    run = _parse(params, RunParams)
    recipe = recipes / f"{run.data}.yaml"
    if not recipe.is_file():
        known = ", ".join(sorted(path.stem for path in recipes.glob("*.yaml"))) or "none"
        raise ExperimentError(
            f"{params}: data: {run.data!r} has no recipe {recipe}; there are: {known}"
        )
    return run, _parse(recipe, Recipe)


def parse_section(source: Path, values: dict[str, Any], kind: type[_Section]) -> _Section:
    """Check the part of a recipe that depends on the data set (`prepare_data`).

    `kind` is a model or a dataclass with the keys as fields, `source` names the place in errors.
    Raises HscError as `load` does.
    """
    return _validate(source, values, kind)


def _parse(path: Path, model: type[_Section]) -> _Section:
    return _validate(path, _read_yaml(path), model)


def _validate(path: Path, values: Any, kind: type[_Section]) -> _Section:
    if not issubclass(kind, pydantic.BaseModel):
        kind = pydantic.with_config(extra="forbid")(kind)  # the same class, marked
    try:
        return pydantic.TypeAdapter(kind).validate_python(values)
    except pydantic.ValidationError as error:
        lines = []
        for problem in error.errors():
            # Parts in brackets are no keys but the alternatives of a union.
            parts = [str(part) for part in problem["loc"] if not str(part).startswith("(")]
            key = ".".join(parts) or "(file)"
            lines.append(f"{path}: {key}: {problem['msg']} (got {_shorten(problem['input'])})")
        raise ExperimentError("\n".join(lines)) from None


class _NoDuplicates(yaml.SafeLoader):
    """The safe loader, but a key that stands twice is an error: the first value would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _NoDuplicates)
    except OSError as error:
        raise ExperimentError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise ExperimentError(
            f"{path}: cannot be read as text ({error}); write it as UTF-8"
        ) from None
    except yaml.YAMLError as error:
        raise ExperimentError(f"{path}: not valid YAML: {error}") from None


def _shorten(value: Any, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[:limit] + "…"
