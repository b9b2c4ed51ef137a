"""How hard the generated data set is: every knob of `hsc.sources.shapes`, with its reason."""

from dataclasses import dataclass, fields
from math import isclose


@dataclass(frozen=True)
class ShapesConfig:
    """The knobs of the generated data set. Lengths are fractions of the picture's side unless said
    otherwise, probabilities and brightness changes are fractions of 1. The defaults were chosen by
    experiment such that a plain CAM under-activates (small heads on large shared bodies) and
    over-activates (scenes that come with a class).

    Raises ValueError for a value that makes no picture.
    """

    seed: int = 0
    """Seed of the pictures; each picture depends on it, its split and its number only."""
    size: int = 80
    """Side in pixels: the smallest at which the patterns on the heads can be told apart well."""
    train: int = 480
    """Pictures in `train_aug`."""
    val: int = 160
    """Pictures in `val`."""
    scored_train: int = 320
    """How many of `train_aug` are in `train`, where seeds and masks are scored."""

    one_object: float = 0.50
    two_objects: float = 0.38
    three_objects: float = 0.12
    """Probabilities of 1, 2, 3 objects (of different classes): 1.6 tags a picture, VOC has 1.5."""
    scale_min: float = 0.20
    scale_max: float = 0.34
    """Half the length of a body."""
    alone_factor: float = 1.15
    crowd_factor: float = 0.85
    """The scale is multiplied by the one for single objects, by the other for several."""
    axis_jitter: float = 0.15
    """Relative change of a body's axes."""
    rotation_sd: float = 0.18
    """Standard deviation of the rotation in radians."""
    head_ratio: float = 0.56
    """Radius of the head over the scale. Larger heads make the under-activation milder."""
    head_jitter: float = 0.15
    """Relative change of the head's radius."""
    own_colour: float = 0.70
    """Probability that a body has one of its class's two colours (which other classes have too),
    otherwise any of the ten. At 0 bodies tell nothing about the class."""
    shading: float = 0.16
    """Brightness gradient over an object."""

    with_scene: float = 0.80
    """Probability that a class which has a companion scene appears with it."""
    scene_alone: float = 0.12
    """Probability that a companion scene appears without its class. Equal to `with_scene`: no
    co-occurrence."""
    clutter_min: int = 1
    clutter_max: int = 3
    """Number of rocks, poles and bushes, which belong to no class."""
    light: float = 0.18
    """Brightness gradient over the picture."""
    blur: float = 0.45
    """Sigma of the picture's blur in pixels."""
    noise: float = 0.035
    """Standard deviation of the picture's noise, of a range of 0..1."""
    jpeg_quality: int = 92
    border: int = 1
    """Width in pixels of the ignored border (255) in the masks; VOC has 5 at 500 pixels."""

    saliency_drop: float = 0.12
    """Probability that the saliency misses an object."""
    saliency_clutter: float = 0.30
    """Probability that it shows a piece of clutter."""
    saliency_blur: float = 2.0
    """Sigma of its blur in pixels."""
    saliency_gain: float = 0.25
    """Slow change of its strength over the picture."""

    def __post_init__(self) -> None:
        fractions = (
            "one_object", "two_objects", "three_objects", "own_colour", "with_scene", "scene_alone",
            "saliency_drop", "saliency_clutter",
        )  # fmt: skip
        changes = ("axis_jitter", "head_jitter", "shading", "light", "saliency_gain")
        positive = ("scale_min", "scale_max", "alone_factor", "crowd_factor", "head_ratio")
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if name in fractions and not 0 <= value <= 1:
                raise ValueError(f"{name}: {value} is no probability, give one in 0..1")
            if name in changes and not 0 <= value < 1:
                raise ValueError(f"{name}: {value} is no relative change, give one in [0, 1)")
            if name in positive and not value > 0:
                raise ValueError(f"{name}: {value} must be greater than 0")
            if not value >= 0:  # NaN too
                raise ValueError(f"{name}: {value} must not be negative")
        if not isclose(self.one_object + self.two_objects + self.three_objects, 1, abs_tol=1e-6):
            raise ValueError("one_object + two_objects + three_objects must be 1")
        if self.size < 32:
            raise ValueError(f"size: {self.size} is too small to show a pattern, give 32 or more")
        if not self.scale_min <= self.scale_max <= 0.5:
            raise ValueError(
                f"scale_min {self.scale_min}, scale_max {self.scale_max}: must be "
                "scale_min <= scale_max <= 0.5 (a body of 0.5 is as long as the picture)"
            )
        if self.clutter_min > self.clutter_max:
            raise ValueError(f"clutter_min {self.clutter_min} > clutter_max {self.clutter_max}")
        if self.train < 1 or self.val < 1:
            raise ValueError(f"train {self.train}, val {self.val}: both need a picture")
        if not 1 <= self.scored_train <= self.train:
            raise ValueError(f"scored_train: {self.scored_train} is not in 1..train={self.train}")
        if not 1 <= self.jpeg_quality <= 100:
            raise ValueError(f"jpeg_quality: {self.jpeg_quality} is not in 1..100")
        if not 1 <= self.border <= 2:
            raise ValueError(f"border: {self.border} is not 1 or 2 (wider ones hide thin legs)")
