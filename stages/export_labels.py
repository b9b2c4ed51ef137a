"""Hand masks or predictions on to an annotation tool, to be corrected there; no stage.

    python -m stages.export_labels --format coco --out corrections

What is written, and the way back, is explained in docs/annotation.md.
"""

from pathlib import Path

import click

from hsc.base.cli import PATH, bars, command, parameter_options, path_option
from hsc.base.files import new_folder
from hsc.data.voc import VocFolder
from hsc.export.labelled import LEGEND, labelled_pictures, read_legend
from hsc.export.writing import FORMATS, write_labels
from hsc.params.reading import load


@command
@parameter_options
@path_option("--data", "outputs/data", "Folder of the data sets.")
@path_option("--labels", "outputs/masks", "Folder of the label maps (PNG).")
@click.option("--pictures", type=PATH, help="Folder of their pictures; else the data set's.")
@click.option("--format", "form", type=click.Choice(FORMATS), required=True, help="Of the files.")
@click.option(
    "--tolerance", type=click.FloatRange(min=0), default=1.0,
    help="Pixels that a polygon may lie beside the edge.",
)  # fmt: skip
@click.option("--out", type=PATH, required=True, help="Folder of the files.")
def main(
    params: Path, recipes: Path, data: Path, labels: Path, pictures: Path | None, form: str,
    tolerance: float, out: Path,
) -> str:  # fmt: skip
    """Write label maps as COCO's, LabelMe's or VOC's annotations."""
    run, _ = load(params, recipes)
    root = data / run.data
    legend = labels / LEGEND
    names = read_legend(legend) if legend.is_file() else VocFolder(root).class_names
    paths = labelled_pictures(labels, pictures or root / "JPEGImages")
    with new_folder(out) as partial:
        write_labels(form, labels, paths, names, tolerance, partial, bars("labels", "image"))
    return f"{out}: {len(paths)} pictures' labels, {form}"


if __name__ == "__main__":
    main()
