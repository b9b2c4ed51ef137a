"""The generated data set `shapes`: pictures in which weak supervision meets its known problems.

Written in VOC layout (see `hsc.data.voc`), in seconds, the same bytes for the same configuration.
What is in a picture: `hsc.sources.shapes_drawing`; how hard it is: `hsc.sources.shapes_config`.
"""

from functools import partial
from pathlib import Path

import numpy as np

from hsc.base.pool import map_ordered
from hsc.base.progress import Progress, follow, unseen
from hsc.data import voc
from hsc.data.classes import SHAPES_CLASSES
from hsc.data.lists import write_index
from hsc.sources.shapes_config import ShapesConfig
from hsc.sources.shapes_drawing import Picture, draw

__all__ = ["ShapesConfig", "draw_number", "generate"]

_STREAMS = {"train": 0, "val": 1}


def draw_number(config: ShapesConfig, part: str, number: int) -> Picture:
    """Picture `number` of `part` ("train" or "val"): the same whatever the numbers of others."""
    return draw(np.random.default_rng((config.seed, _STREAMS[part], number)), config)


def generate(
    root: Path,
    config: ShapesConfig,
    progress: Progress = unseen,
    processes: int = 1,
) -> None:
    """Write the whole data set into `root`, a folder without one.

    `progress` is called with the number of pictures done and the number of all; `processes` as in
    `hsc.base.pool.map_ordered`, they change nothing but the time.
    """
    ids = {
        part: [f"{part}_{number:05d}" for number in range(count)]
        for part, count in (("train", config.train), ("val", config.val))
    }
    numbers = [(part, number) for part in ids for number in range(len(ids[part]))]
    tags: dict[str, list[str]] = {}
    write = partial(_write, root, config)
    drawn = map_ordered(write, numbers, processes)
    for image_id, names in follow(drawn, len(numbers), progress):
        tags[image_id] = names
    write_index(
        root,
        SHAPES_CLASSES,
        tags,
        {
            "train_aug": ids["train"],
            "train": ids["train"][: config.scored_train],
            "val": ids["val"],
        },
    )


def _write(root: Path, config: ShapesConfig, picture: tuple[str, int]) -> tuple[str, list[str]]:
    """Draw and write one picture; return its id and tags."""
    part, number = picture
    drawn = draw_number(config, part, number)
    image_id = f"{part}_{number:05d}"
    paths = voc.layout(root, image_id)
    voc.write_image(paths.image, drawn.image, config.jpeg_quality)
    voc.write_mask(paths.mask, drawn.mask)
    voc.write_grey(paths.saliency, drawn.saliency)
    return image_id, [SHAPES_CLASSES[index - 1] for index in drawn.classes]
