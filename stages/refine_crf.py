"""Refine the seeds with a dense CRF, picture by picture in several processes."""

from pathlib import Path

from hsc.base.cli import bars, parameter_options, path_option, stage
from hsc.base.made import made_folder
from hsc.crf.device import crf_processes
from hsc.crf.stage import refine_all
from hsc.data.voc import VocFolder
from hsc.params.reading import load


@stage
@parameter_options
@path_option("--data", "outputs/data", "Folder of the data sets.")
@path_option("--cams", "outputs/cams.h5", "The CAM file.")
@path_option("--seeds", "outputs/seeds", "Folder of the seeds.")
@path_option("--out", "outputs/crf", "Folder of the refined labels (palette PNGs).")
def main(params: Path, recipes: Path, data: Path, cams: Path, seeds: Path, out: Path) -> str:
    """Refine the seeds of train_aug (`unary: labels`) or start from the CAMs (`unary: alpha`)."""
    run, recipe = load(params, recipes)
    folder = VocFolder(data / run.data)
    how = recipe.refine_crf[run.baseline]
    with made_folder(out) as partial:
        count = refine_all(folder, cams, seeds, how, partial, crf_processes(), bars("CRF", "image"))
    return f"{out}: CRF labels of {count} pictures"


if __name__ == "__main__":
    main()
