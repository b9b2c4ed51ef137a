"""Saliency of the pictures that train, from a run's CAMs, for EPS in a second round; no stage.

python -m stages.saliency_from_cams --out data/photos/Saliency
"""

from pathlib import Path

import click

from hsc.base.cli import PATH, bars, parameter_options, path_option, picture_command
from hsc.base.made import made_folder
from hsc.base.pool import process_count
from hsc.data.voc import VocFolder
from hsc.params.reading import load
from hsc.sources.saliency_from_cams import write_sharpened


@picture_command
@parameter_options
@path_option("--data", "outputs/data", "Folder of the data sets.")
@path_option("--cams", "outputs/cams.h5", "The CAM file.")
@click.option("--out", type=PATH, required=True, help="Folder of the maps, <id>.png each.")
def main(params: Path, recipes: Path, data: Path, cams: Path, out: Path) -> str:
    """Write where the CAMs of all tagged classes lie, sharpened on the picture."""
    run, _ = load(params, recipes)
    folder = VocFolder(data / run.data)
    with made_folder(out) as partial:
        shown = bars("saliency", "image")
        count = write_sharpened(folder, cams, partial, process_count(), shown)
    return f"{out}: {count} maps"


if __name__ == "__main__":
    main()
