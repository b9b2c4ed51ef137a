"""Take labels back from an annotation tool, as the PNG files of the pipeline; no stage.

    python -m stages.import_labels corrections/annotations.json --out data/corrected

How they become the pseudo labels is explained in docs/annotation.md.
"""

from pathlib import Path

import click

from hsc.base.cli import PATH, command, parameter_options, path_option
from hsc.base.files import new_folder
from hsc.data.voc import VocFolder, write_mask
from hsc.export.coco import read_coco
from hsc.export.labelme import read_labelme
from hsc.params.reading import load


@command
@click.argument("corrected", type=PATH)
@parameter_options
@path_option("--data", "outputs/data", "Folder of the data sets, whose classes they are.")
@click.option("--out", type=PATH, required=True, help="Folder of the label maps (PNG).")
def main(corrected: Path, params: Path, recipes: Path, data: Path, out: Path) -> str:
    """Read COCO's annotations (a file) or LabelMe's (a folder) and write label maps."""
    run, _ = load(params, recipes)
    names = VocFolder(data / run.data).class_names
    read = read_labelme if corrected.is_dir() else read_coco
    count = 0
    with new_folder(out) as partial:
        for stem, labels in read(corrected, names):
            write_mask(partial / f"{stem}.png", labels)
            count += 1
    return f"{out}: {count} pictures' labels"


if __name__ == "__main__":
    main()
