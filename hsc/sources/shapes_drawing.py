"""The pictures of the generated data set.

A picture has a background of two scenes split by a wavy horizon, clutter of no class, and one to
three objects. An object is a large body, whose colours are shared by the classes, and a small head
with the class's pattern in the class's hue. The head alone tells the class, so a CAM stops at the
head; three classes mostly come with a scene of theirs, so a CAM spills into it.

H W pixels, S side of the square picture. Colours and brightness are floats, 0..1.
"""

from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from hsc.data.classes import BACKGROUND, IGNORE, SHAPES_CLASSES
from hsc.sources.shapes_config import ShapesConfig

Plane = NDArray[np.floating]
Region = NDArray[np.bool_]

BODY_COLOURS = np.array(
    [
        (0.85, 0.15, 0.15), (0.95, 0.55, 0.10), (0.95, 0.85, 0.15), (0.55, 0.85, 0.10),
        (0.05, 0.65, 0.30), (0.05, 0.75, 0.75), (0.15, 0.35, 0.90), (0.50, 0.20, 0.85),
        (0.90, 0.20, 0.75), (0.55, 0.10, 0.30),
    ],
    dtype=np.float32,
)  # fmt: skip
"""Saturated, so that no scene has them."""


@dataclass(frozen=True)
class _Class:
    length: float  # half axes over the scale
    height: float
    power: float  # of the superellipse: 2 an ellipse, more a box, less a diamond
    legs: int
    hue: tuple[float, float, float]  # of the pattern
    colours: tuple[int, int]  # the body's, indices of BODY_COLOURS
    scene: str | None = None  # its companion


_CLASSES = {
    "zebra": _Class(1.00, 0.60, 2.6, 4, (0.05, 0.05, 0.08), (2, 4), "rails"),
    "checkered": _Class(0.95, 0.68, 4.0, 0, (0.97, 0.97, 0.97), (6, 9)),
    "ringed": _Class(1.05, 0.55, 2.0, 2, (0.10, 0.15, 0.65), (1, 3)),
    "crossed": _Class(1.10, 0.58, 2.4, 0, (1.00, 1.00, 0.45), (0, 7), "water"),
    "dotted": _Class(0.90, 0.70, 2.0, 4, (0.50, 0.00, 0.05), (2, 5)),
    "slashed": _Class(1.00, 0.62, 3.0, 2, (0.50, 1.00, 1.00), (8, 9)),
    "targeted": _Class(1.12, 0.55, 1.7, 0, (1.00, 0.60, 0.85), (4, 6), "sky"),
    "gridded": _Class(0.95, 0.65, 3.2, 3, (0.02, 0.30, 0.12), (0, 1)),
}
if tuple(_CLASSES) != SHAPES_CLASSES:
    raise AssertionError("the classes' drawings and names differ")

COMPANIONS = {
    index: drawing.scene for index, drawing in enumerate(_CLASSES.values(), 1) if drawing.scene
}
"""Class index → the scene that it mostly comes with."""


@dataclass(frozen=True)
class _Scene:
    dark: tuple[float, float, float]
    light: tuple[float, float, float]
    cells: tuple[int, int]  # down and across, of the coarsest octave: unequal ones make streaks
    waves: float = 0.0  # strength of a regular pattern on top
    period: float = 0.1  # of the waves, over the side; across if positive, else down


_SCENES = {
    "grass": _Scene((0.30, 0.40, 0.22), (0.46, 0.54, 0.32), (10, 16)),
    "sand": _Scene((0.66, 0.59, 0.46), (0.82, 0.75, 0.60), (8, 4)),
    "soil": _Scene((0.32, 0.26, 0.22), (0.48, 0.40, 0.34), (9, 9)),
    "snow": _Scene((0.80, 0.81, 0.84), (0.95, 0.95, 0.96), (5, 3)),
    "stone": _Scene((0.42, 0.41, 0.42), (0.66, 0.65, 0.64), (6, 6)),
    "forest": _Scene((0.14, 0.20, 0.16), (0.32, 0.38, 0.28), (5, 14)),
    "rails": _Scene((0.34, 0.30, 0.30), (0.52, 0.48, 0.46), (12, 5), 0.45, 0.11),
    "water": _Scene((0.28, 0.42, 0.50), (0.50, 0.62, 0.68), (14, 3), 0.30, -0.09),
    "sky": _Scene((0.60, 0.70, 0.82), (0.86, 0.89, 0.93), (3, 2)),
}
SCENES = tuple(_SCENES)
_COMMON_SCENES = tuple(name for name in SCENES if name not in COMPANIONS.values())


@dataclass(frozen=True)
class Picture:
    """One generated picture of side S."""

    image: NDArray[np.uint8]
    """(S, S, 3) RGB."""
    mask: NDArray[np.uint8]
    """(S, S) class indices, 255 on borders."""
    saliency: NDArray[np.uint8]
    """(S, S), 0..255, degraded."""
    classes: tuple[int, ...]
    """Indices of the classes in the mask, ascending."""
    scenes: tuple[str, str]
    """Above and below the horizon."""


def draw(rng: np.random.Generator, config: ShapesConfig) -> Picture:
    """Draw a picture; everything in it comes from `rng`."""
    canvas = _Canvas(rng, config.size)
    counts = (config.one_object, config.two_objects, config.three_objects)
    count = int(rng.choice(3, p=np.array(counts) / sum(counts))) + 1
    classes = rng.choice(len(_CLASSES), size=count, replace=False) + 1

    scenes = _choose_scenes(rng, classes, config)
    canvas.paint_background(scenes)
    number = int(rng.integers(config.clutter_min, config.clutter_max + 1))
    clutter = [canvas.paint_clutter() for _ in range(number)]
    objects = _place(rng, classes, canvas, config)
    mask = np.full((config.size, config.size), BACKGROUND, dtype=np.uint8)
    for item in objects:
        canvas.paint_object(item, config.shading)
        mask[item.region] = item.index

    image = canvas.finish(config)
    saliency = _saliency(canvas, [item.region for item in objects], clutter, config)
    # A window of border + 1 pixels that sees two labels lies on a border of that width.
    window = config.border + 1
    edge = ndimage.maximum_filter(mask, window) != ndimage.minimum_filter(mask, window)
    mask[edge] = IGNORE
    found = np.unique(mask)
    present = tuple(int(index) for index in found if index not in (BACKGROUND, IGNORE))
    return Picture(image, mask, saliency, present, scenes)


def _choose_scenes(
    rng: np.random.Generator, classes: NDArray[np.int64], config: ShapesConfig
) -> tuple[str, str]:
    """Two different scenes, above and below; companions of the present classes come first."""
    with_class, without_class = [], []
    for index, scene in COMPANIONS.items():
        present = index in classes
        if rng.random() < (config.with_scene if present else config.scene_alone):
            (with_class if present else without_class).append(scene)
    chosen = [str(name) for name in (*rng.permutation(with_class), *rng.permutation(without_class))]
    chosen += [str(name) for name in rng.permutation(_COMMON_SCENES)]
    first, second = rng.permutation(chosen[:2])
    return str(first), str(second)


@dataclass(frozen=True)
class _Object:
    index: int  # of its class
    region: Region  # body, legs and head
    head: Region
    head_x: Plane  # coordinates from the head's centre over its radius, turned with the object
    head_y: Plane
    head_centre: tuple[float, float]  # x, y in pixels
    radius: float  # of the head, in pixels
    colour: Plane  # (3,) of the body
    along: Plane  # -1..1 over the body, for the shading


def _place(
    rng: np.random.Generator, classes: NDArray[np.int64], canvas: "_Canvas", config: ShapesConfig
) -> list[_Object]:
    """Objects, back to front, of which each shows its head and most of its body.

    A tag whose object cannot be seen would be a wrong tag, so placements are drawn until all can be
    seen; every eighth failure makes the objects a little smaller, so an end is found.
    """
    failures = 0
    while True:
        shrink = 0.93 ** (failures // 8)
        objects = [_lay_out(rng, int(index), len(classes), shrink, canvas, config)
                   for index in classes]  # fmt: skip
        if all(_is_seen(objects, position, config.size) for position in range(len(objects))):
            return objects
        failures += 1


def _is_seen(objects: list[_Object], position: int, size: int) -> bool:
    """The head lies in the picture and is hidden by 10 % at most, the whole by half at most."""
    item = objects[position]
    margin = 0.8 * item.radius
    if not all(margin <= value <= size - 1 - margin for value in item.head_centre):
        return False
    hidden = np.zeros_like(item.region)
    for other in objects[position + 1 :]:
        hidden |= other.region
    return bool(
        (item.head & hidden).sum() <= 0.10 * item.head.sum()
        and (item.region & hidden).sum() <= 0.50 * item.region.sum()
    )


def _lay_out(
    rng: np.random.Generator,
    index: int,
    count: int,
    shrink: float,
    canvas: "_Canvas",
    config: ShapesConfig,
) -> _Object:
    """One object of class `index` somewhere in the picture, not painted yet."""
    kind = _CLASSES[SHAPES_CLASSES[index - 1]]
    scale = rng.uniform(config.scale_min, config.scale_max) * config.size * shrink
    scale *= config.alone_factor if count == 1 else config.crowd_factor
    stretch = rng.uniform(1 - config.axis_jitter, 1 + config.axis_jitter, size=2)
    length, height = scale * kind.length * stretch[0], scale * kind.height * stretch[1]
    radius = scale * config.head_ratio * rng.uniform(1 - config.head_jitter, 1 + config.head_jitter)
    turn = rng.normal(0, config.rotation_sd)
    flip = rng.choice((-1, 1))
    centre_x, centre_y = rng.uniform(0.2, 0.8, size=2) * config.size

    dx, dy = canvas.x - centre_x, canvas.y - centre_y
    x = (dx * cos(turn) + dy * sin(turn)) * flip
    y = dy * cos(turn) - dx * sin(turn)
    # Clipped, as high powers of far pixels say nothing but "outside".
    outline = (
        np.minimum(np.abs(x) / length, 2) ** kind.power
        + np.minimum(np.abs(y) / height, 2) ** kind.power
    )
    region = outline <= 1
    thickness = max(1.6, 0.13 * scale)
    for leg in range(kind.legs):
        foot = length * (-0.62 + 1.24 * leg / max(kind.legs - 1, 1))
        region |= (np.abs(x - foot) < thickness) & (y > 0) & (y < height + 0.38 * scale)

    # At the front end and a little up, more on the body than off it.
    front, up = length + 0.15 * radius, -0.45 * height
    head_x, head_y = (x - front) / radius, (y - up) / radius
    head = head_x**2 + head_y**2 <= 1
    head_centre = (
        centre_x + flip * front * cos(turn) - up * sin(turn),
        centre_y + flip * front * sin(turn) + up * cos(turn),
    )
    if rng.random() < config.own_colour:
        colour = BODY_COLOURS[rng.choice(kind.colours)]
    else:
        colour = _contrasting(rng, kind)
    return _Object(
        index, region | head, head, head_x, head_y, head_centre, float(radius), colour,
        (x / length).clip(-1, 1),
    )  # fmt: skip


def _contrasting(rng: np.random.Generator, kind: _Class) -> Plane:
    """Any body colour on which the class's pattern can be seen."""
    distance = np.abs(BODY_COLOURS - np.array(kind.hue, dtype=np.float32)).sum(axis=1)
    return BODY_COLOURS[rng.choice(np.flatnonzero(distance > 0.7))]


def _pattern(name: str, x: Plane, y: Plane) -> Region:
    """Where the class's hue lies on the head; x, y in head radii from its centre, (H, W)."""
    radius = np.hypot(x, y)
    match name:
        case "zebra":  # upright stripes
            return np.sin(x * 2 * pi / 0.62) > 0
        case "checkered":  # a board of four cells a side
            return (np.floor(x / 0.5) + np.floor(y / 0.5)) % 2 == 0
        case "ringed":  # two thin rings
            return (np.abs(radius - 0.42) < 0.16) | (radius > 0.80)
        case "crossed":  # one upright cross
            return (np.abs(x) < 0.30) | (np.abs(y) < 0.30)
        case "dotted":  # five dots
            dots = radius < 0.30
            for turn in range(4):
                angle = pi / 4 + turn * pi / 2
                dots |= np.hypot(x - 0.66 * cos(angle), y - 0.66 * sin(angle)) < 0.30
            return dots
        case "slashed":  # diagonal stripes
            return np.sin((x + y) * 2 * pi / 0.95) > 0
        case "targeted":  # a thick disc in a clear ring
            return radius < 0.58
        case "gridded":  # thin crossing lines
            return (np.abs(np.abs(x) - 0.42) < 0.15) | (np.abs(np.abs(y) - 0.42) < 0.15)
    raise ValueError(f"no pattern for class {name!r}")


class _Canvas:
    """A picture in the making."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self.rng = rng
        self.size = size
        self.y, self.x = np.mgrid[0:size, 0:size].astype(np.float32)
        self.pixels = np.zeros((size, size, 3), dtype=np.float32)

    def _smooth(self, cells: tuple[int, int]) -> Plane:
        """Smooth noise about -1..1 with so many cells down and across, (S, S)."""
        knots = self.rng.uniform(-1, 1, size=(cells[0] + 1, cells[1] + 1)).astype(np.float32)
        resized = Image.fromarray(knots).resize((self.size, self.size), Image.Resampling.BICUBIC)
        return np.asarray(resized)

    def _octaves(self, cells: tuple[int, int]) -> Plane:
        """Three octaves of smooth noise, about -1..1, (S, S)."""
        total = np.zeros((self.size, self.size), dtype=np.float32)
        for octave, weight in enumerate((0.5, 0.3, 0.2)):
            total += weight * self._smooth((cells[0] << octave, cells[1] << octave))
        return total

    def _slope(self) -> Plane:
        """A linear gradient in a random direction, -1..1, (S, S)."""
        angle = self.rng.uniform(0, 2 * pi)
        along = (self.x * cos(angle) + self.y * sin(angle)).astype(np.float32)
        low, high = along.min(), along.max()
        return (along - low) / (high - low) * 2 - 1

    def paint_background(self, scenes: tuple[str, str]) -> None:
        """Two scenes, the first above a wavy horizon."""
        horizon = self.size * (
            self.rng.uniform(0.35, 0.65)
            + self.rng.uniform(0.02, 0.07)
            * np.sin(self.x[0] / self.size * self.rng.uniform(4, 10) + self.rng.uniform(0, 2 * pi))
        )
        above, below = (self._scene(_SCENES[name]) for name in scenes)
        self.pixels = np.where((self.y < horizon)[:, :, None], above, below).astype(np.float32)

    def _scene(self, scene: _Scene) -> Plane:
        """One scene over the whole picture, (S, S, 3)."""
        level = 0.5 + 0.5 * self._octaves(scene.cells)
        if scene.waves:
            along, across = (self.x, self.y) if scene.period > 0 else (self.y, self.x)
            bend = 2.0 * np.sin(across / self.size * 5 + self.rng.uniform(0, 2 * pi))
            phase = (along + bend) / (abs(scene.period) * self.size) * 2 * pi
            level = level + scene.waves * np.sin(phase + self.rng.uniform(0, 2 * pi))
        dark, light = np.array(scene.dark), np.array(scene.light)
        return dark + level[:, :, None] * (light - dark)

    def paint_clutter(self) -> Region:
        """One rock, pole or bush; returns where it is, (S, S)."""
        x0, y0 = self.rng.uniform(0.05, 0.95, size=2) * self.size
        dx, dy = self.x - x0, self.y - y0
        kind = self.rng.integers(3)
        if kind == 0:  # a pole
            width, length = self.rng.uniform(0.012, 0.028) * self.size, 0.35 * self.size
            region = (np.abs(dx) < max(width, 1)) & (np.abs(dy) < length * self.rng.uniform(0.5, 1))
            colour, rough = (0.30, 0.24, 0.20), 0.05
        else:
            radius = self.rng.uniform(0.05, 0.11) * self.size
            bumps = int(self.rng.integers(3, 6) if kind == 1 else self.rng.integers(7, 11))
            angle = np.arctan2(dy, dx)
            ragged = 1 + 0.16 * np.sin(bumps * angle + self.rng.uniform(0, 2 * pi))
            region = np.hypot(dx, dy * 1.3) < radius * ragged
            colour, rough = ((0.50, 0.48, 0.47), 0.10) if kind == 1 else ((0.22, 0.36, 0.18), 0.20)
        tint = np.array(colour) * self.rng.uniform(0.8, 1.2)
        texture = 1 + rough * self._smooth((self.size // 4, self.size // 4))
        self.pixels[region] = (texture[:, :, None] * tint)[region]
        return region

    def paint_object(self, item: _Object, shading: float) -> None:
        """Body, then the head's pattern in the class's hue on the body's colour."""
        name = SHAPES_CLASSES[item.index - 1]
        texture = 1 + 0.06 * self._smooth((self.size // 5, self.size // 5))
        texture = texture + shading * self.rng.choice((-1, 1)) * item.along
        body = (texture[:, :, None] * item.colour)[item.region]
        self.pixels[item.region] = body
        drawn = item.head & _pattern(name, item.head_x, item.head_y)
        self.pixels[drawn] = _CLASSES[name].hue

    def finish(self, config: ShapesConfig) -> NDArray[np.uint8]:
        """Light, lens and sensor; (S, S, 3) RGB."""
        pixels = self.pixels * (1 + config.light * self._slope())[:, :, None]
        if config.blur:
            pixels = ndimage.gaussian_filter(pixels, (config.blur, config.blur, 0))
        noise = self.rng.standard_normal(pixels.shape, dtype=np.float32)
        return _to_bytes(pixels + config.noise * noise)

    def slow_gain(self, amount: float) -> Plane:
        """A slow change of strength, 1 ± amount, (S, S)."""
        return 1 + amount * self._smooth((2, 2))


def _saliency(
    canvas: _Canvas, objects: list[Region], clutter: list[Region], config: ShapesConfig
) -> NDArray[np.uint8]:
    """What a saliency detector might say: objects missed, clutter seen, vague outlines."""
    shown = np.zeros((config.size, config.size), dtype=np.float32)
    for region in clutter:
        if canvas.rng.random() < config.saliency_clutter:
            shown[region] = 1
    for region in objects:
        # Where a missed object covers clutter, the clutter is not seen either.
        shown[region] = canvas.rng.random() >= config.saliency_drop
    if config.saliency_blur:
        shown = ndimage.gaussian_filter(shown, config.saliency_blur)
    return _to_bytes(shown * canvas.slow_gain(config.saliency_gain))


def _to_bytes(values: Plane) -> NDArray[np.uint8]:
    return (values.clip(0, 1) * 255 + 0.5).astype(np.uint8)
