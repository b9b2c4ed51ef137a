"""Refine the seeds on their pictures, by a dense CRF or PAR, in several processes."""

from pathlib import Path

from hsc.base.cli import bars, parameter_options, path_option, picture_stage
from hsc.base.files import link_files
from hsc.base.made import made_folder
from hsc.crf.device import crf_processes
from hsc.crf.stage import refine_all
from hsc.data.voc import VocFolder
from hsc.params.reading import load


@picture_stage
@parameter_options
@path_option("--data", "outputs/data", "Folder of the data sets.")
@path_option("--cams", "outputs/cams.h5", "The CAM file.")
@path_option("--seeds", "outputs/seeds", "Folder of the seeds.")
@path_option("--out", "outputs/crf", "Folder of the refined labels (palette PNGs).")
def main(params: Path, recipes: Path, data: Path, cams: Path, seeds: Path, out: Path) -> str:
    """Refine the seeds of train_aug (`unary: labels`) or start from the CAMs (`unary: alpha`).

    With `refine: none` the seeds are kept, as links.
    """
    run, recipe = load(params, recipes)
    folder = VocFolder(data / run.data)
    how = recipe.refine_crf[run.baseline]
    with made_folder(out) as partial:
        if run.refine == "none":
            count = link_files(seeds, partial, bars("linking", "image"))
            return f"{out}: {count} seeds, linked to {seeds}"
        name = run.refine.upper()
        shown, processes = bars(name, "image"), crf_processes()
        count = refine_all(folder, cams, seeds, how, partial, processes, shown, run.refine)
    return f"{out}: {name} labels of {count} pictures"


if __name__ == "__main__":
    main()
