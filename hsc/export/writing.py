"""Writes label maps in the form that an annotation tool reads."""

from collections.abc import Sequence
from pathlib import Path

from hsc.base.files import link_file, write_json
from hsc.base.progress import Progress, follow
from hsc.export.coco import coco_document
from hsc.export.labelled import read_labelled
from hsc.export.labelme import labelme_document
from hsc.export.voc_folder import write_lists, write_picture

FORMATS = ("coco", "coco-rle", "labelme", "voc")
"""COCO's polygons or run lengths, LabelMe's polygons, VOC's folders."""
ANNOTATIONS = "annotations.json"


def write_labels(
    form: str,
    labels: Path,
    pictures: Sequence[Path],
    names: Sequence[str],
    tolerance: float,
    output: Path,
    progress: Progress,
) -> None:
    """Write the labels of the pictures into the folder `output`, which is there.

    form: one of FORMATS. names: of the foreground classes. tolerance: as of
    `hsc.export.outlines.outlines`. Raises HscError for a damaged file or an index of no class.
    """
    found = read_labelled(labels, pictures, len(names))
    shown = follow(found, len(pictures), progress)
    if form.startswith("coco"):
        exact = form == "coco-rle"
        write_json(output / ANNOTATIONS, coco_document(shown, names, None if exact else tolerance))
        return
    for one in shown:
        if form == "voc":
            write_picture(one, output)
        else:
            link_file(one.picture, output / one.picture.name)
            document = labelme_document(one, names, tolerance)
            write_json(output / f"{one.picture.stem}.json", document)
    if form == "voc":
        write_lists([picture.stem for picture in pictures], names, output)
