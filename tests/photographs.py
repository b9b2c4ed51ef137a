"""Twelve photographs that scikit-image ships, with tags written by hand."""

import shutil
from pathlib import Path

import skimage.data

TAGS = {
    "astronaut.png": "person;rocket",
    "brick.png": "",
    "camera.png": "person",
    "chelsea.png": "cat",
    "clock_motion.png": "clock",
    "coffee.png": "cup",
    "coins.png": "coin",
    "hubble_deep_field.jpg": "space",
    "moon.png": "space",
    "motorcycle_left.png": "motorcycle",
    "retina.jpg": "eye",
    "rocket.jpg": "rocket",
}


def write_photographs(folder: Path) -> Path:
    """Copy them into `folder`, with tags.csv beside them; returns the folder."""
    folder.mkdir(parents=True)
    for name in TAGS:
        shutil.copyfile(Path(skimage.data.__file__).parent / name, folder / name)
    lines = [f"{name},{tags}\n" for name, tags in TAGS.items()]
    (folder / "tags.csv").write_text("id,tags\n" + "".join(lines))
    return folder
