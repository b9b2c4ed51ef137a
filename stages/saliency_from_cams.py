"""Saliency of the pictures that train, from a run's CAMs, for EPS in a second round; no stage.

python -m stages.saliency_from_cams --out data/photos/Saliency
"""

from pathlib import Path

import click

from hsc.base.cli import PATH, bars, command, parameter_options, path_option
from hsc.base.made import made_folder
from hsc.base.pool import process_count
from hsc.base.progress import follow
from hsc.data.voc import VocFolder
from hsc.params.reading import load
from hsc.sources.saliency import write_sharpened
from hsc.store import CamReader


@command
@parameter_options
@path_option("--data", "outputs/data", "Folder of the data sets.")
@path_option("--cams", "outputs/cams.h5", "The CAM file.")
@click.option("--out", type=PATH, required=True, help="Folder of the maps, <id>.png each.")
def main(params: Path, recipes: Path, data: Path, cams: Path, out: Path) -> str:
    """Write where the CAMs of all tagged classes lie, sharpened on the picture."""
    run, _ = load(params, recipes)
    folder = VocFolder(data / run.data)
    ids = folder.ids("train_aug")
    with CamReader(cams) as reader, made_folder(out) as partial:
        reader.check_classes(folder.class_names, folder.root)
        reader.check(ids)
        rough = ((i, reader.read(i, folder.size(i))[0].max(axis=0, initial=0)) for i in ids)
        written = write_sharpened(folder, rough, partial, process_count())
        for _ in follow(written, len(ids), bars("saliency", "image")):
            """Written where it is made."""
    return f"{out}: {len(ids)} maps"


if __name__ == "__main__":
    main()
