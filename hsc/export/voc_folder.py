"""Label maps as a folder in VOC's form, with the colour list that annotation tools read."""

from collections.abc import Sequence
from pathlib import Path

from hsc.base.files import link_file
from hsc.data.classes import palette
from hsc.data.voc import write_mask
from hsc.export.labelled import Labelled

_LIST = "ImageSets/Segmentation/default.txt"
_COLOURS = "labelmap.txt"


def write_picture(one: Labelled, root: Path) -> None:
    """The picture into JPEGImages, its labels into SegmentationClass, 255 where it is unsure."""
    target = root / "JPEGImages" / one.picture.name
    target.parent.mkdir(exist_ok=True)
    link_file(one.picture, target)
    write_mask(root / "SegmentationClass" / f"{one.picture.stem}.png", one.labels)


def write_lists(stems: Sequence[str], names: Sequence[str], root: Path) -> None:
    """The list of all pictures, and the colour of every class as `name:r,g,b::`.

    names: of the foreground classes.
    """
    path = root / _LIST
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"{stem}\n" for stem in stems), encoding="utf-8")
    lines = ["# label:color_rgb:parts:actions"]
    for name, colour in zip(["background", *names], palette().tolist(), strict=False):
        lines.append(f"{name}:{','.join(map(str, colour))}::")
    (root / _COLOURS).write_text("\n".join(lines) + "\n", encoding="utf-8")
