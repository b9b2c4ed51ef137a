"""What the parameters of several stages are made of: kinds of numbers, and shared sections."""

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

import pydantic
from pydantic import BeforeValidator, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1, strict=True)]
Whole = Annotated[int, Field(ge=0, strict=True)]
Seed = Whole


SECTION = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)
"""What every section is, also where it is a dataclass that other code makes by itself."""


class Frozen(pydantic.BaseModel):
    """A section: it does not change, and an unknown key is an error."""

    model_config = SECTION


def complete(kind: type, *optional: str) -> BeforeValidator:
    """A section that is a dataclass has all of its keys: the defaults are for Python code."""

    def check(values: Any) -> Any:
        if isinstance(values, dict):
            missing = [field.name for field in fields(kind) if field.name not in values]
            if missing := [name for name in missing if name not in optional]:
                raise ValueError(f"missing: {', '.join(missing)}")
        return values

    return BeforeValidator(check)


class BackboneChoice(Frozen):
    """A backbone by name. Which widths and output strides it has is checked where it is built
    (`hsc.nets.backbones`): only there are the backbones known."""

    backbone: str
    widths: tuple[Count, Count, Count, Count] | None = None
    output_stride: Literal[4, 8, 14, 16, 32]

    @property
    def backbone_spec(self) -> dict[str, Any]:
        """`backbone`, `widths` and `output_stride` as plain values (`hsc.nets.backbones`)."""
        return {
            "backbone": self.backbone,
            "widths": None if self.widths is None else list(self.widths),
            "output_stride": self.output_stride,
        }


class ImportParams(Frozen):
    """Published weights in place of the warm-up: what they are and where.

    `weights`: a path (absolute, or relative to where the stage runs), or for the layout
    `torchvision` a name such as IMAGENET1K_V2, for `timm` `package:NAME` or `hub`. `sha256`: the
    SHA-256 in hex that the file must have. DVC watches this recipe and not the file, which may lie
    anywhere: with `sha256` a changed file is an error until the recipe says so too, and then DVC
    runs the import again. Without it a change is seen when the stage runs the next time (`dvc
    repro --force prepare_backbone`), in metrics/backbone.json. `supervision: masks` admits weights
    that were trained on segmentation masks, which is more than image tags; the metrics then say
    so.
    """

    weights: Annotated[str, Field(min_length=1)]
    layout: Literal[
        "mxnet", "torchvision", "resnet101s", "deeplabv2", "auxsegnet", "timm",
        "own",
        "resnet38d", "seam", "eps", "eps_cls", "ppc", "hsc", "psa",
    ]  # fmt: skip
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    supervision: Literal["masks"] | None = None


class FetchParams(ImportParams):
    """The same, and where to fetch them.

    With `sources`, `weights` is the name of a file that is to be had there (http(s) and file URLs,
    a path of the file, or of a folder that has it under its name), and is kept with the other
    downloads.
    """

    sources: tuple[Annotated[str, Field(min_length=1)], ...] | None = None


@dataclass(frozen=True)
class Augmentation:
    """Random resize, flip, colour jitter, crop with zero padding (`hsc.data.transforms.augment`).

    crop_size: side of the square crop, pixels. resize_longest: range of the longest edge, pixels,
    or None where `scale` is given: the range of a factor of the picture's own size (DeepLab).
    flip: probability of a horizontal flip. brightness, contrast, saturation: factors are uniform in
    [1 - x, 1 + x]. hue: shift uniform in [-x, x] turns. hsv: DeepLab's jitter: hue, saturation and
    value are shifted by whole numbers uniform in [-x, x], the hue in steps of 2 degrees, the others
    in grey levels of 255. Raises ValueError unless one range is given, from low to high.
    """

    __pydantic_config__ = SECTION

    crop_size: Count
    resize_longest: tuple[Count, Count] | None = None
    flip: Probability = 0.5
    brightness: NonNegative = 0.0
    contrast: NonNegative = 0.0
    saturation: NonNegative = 0.0
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    scale: tuple[Positive, Positive] | None = None
    hsv: Annotated[int, Field(ge=0, le=90, strict=True)] = 0

    def __post_init__(self) -> None:
        if (self.resize_longest is None) == (self.scale is None):
            raise ValueError("give one of resize_longest and scale")
        for name in ("resize_longest", "scale"):
            bounds = getattr(self, name)
            if bounds is not None and bounds[0] > bounds[1]:
                raise ValueError(f"{name}: the first value must not exceed the second")


AugmentationSection = Annotated[
    Augmentation, complete(Augmentation, "resize_longest", "scale", "hsv")
]


class TrainingParams(Frozen):
    """One training: length, optimiser with its parameter groups, augmentation.

    The rates of the groups are `lr` times: 1 for pretrained weights, `lr_bias` for their biases,
    `lr_new` and `lr_new * lr_bias` for new layers, `lr_projector` in place of `lr_new` for the
    projectors. Biases and one-dimensional weights have no weight decay.
    """

    steps: Count
    batch_size: Count
    optimiser: Literal["sgd", "adamw"]
    lr: Positive
    lr_bias: Positive
    lr_new: Positive
    weight_decay: NonNegative
    momentum: Annotated[float, Field(ge=0, lt=1)]
    power: NonNegative
    checkpoint_every: Count
    augmentation: AugmentationSection


@dataclass(frozen=True)
class CrfConfig:
    """The kernels of a dense CRF; the defaults are those that PSA, SEAM, EPS and HSC use on CAMs.

    iterations: mean-field steps. *_sxy: standard deviation in pixels. bilateral_srgb: standard
    deviation in grey levels (0..255). *_compat: weight of the Potts term, 0 turns it off.
    Raises ValueError for a negative weight or another value that is not positive.
    """

    __pydantic_config__ = SECTION

    iterations: Count = 10
    gaussian_sxy: Positive = 3
    gaussian_compat: NonNegative = 3
    bilateral_sxy: Positive = 80
    bilateral_srgb: Positive = 13
    bilateral_compat: NonNegative = 10

    def __post_init__(self) -> None:
        for field in fields(CrfConfig):
            value = getattr(self, field.name)
            if not (value > 0 or (value == 0 and field.name.endswith("_compat"))):
                raise ValueError(f"{field.name} must be positive, got {value}")
