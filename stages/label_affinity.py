"""Label what two CRFs agree about: what PSA's affinity network learns from."""

from pathlib import Path

from hsc.base.cli import bars, parameter_options, path_option, picture_stage
from hsc.base.made import made_folder
from hsc.base.off import write_off_folder
from hsc.crf.device import crf_processes
from hsc.data.voc import VocFolder
from hsc.params.reading import load
from hsc.psa.alpha_labels import label_all


@picture_stage
@parameter_options
@path_option("--data", "outputs/data", "Folder of the data sets.")
@path_option("--cams", "outputs/cams.h5", "The CAM file.")
@path_option("--out", "outputs/affinity_labels", "Folder of the labels (palette PNGs).")
def main(params: Path, recipes: Path, data: Path, cams: Path, out: Path) -> str:
    """Write labels of train_aug, 255 where nothing is sure; with psa.enabled false only a mark."""
    run, recipe = load(params, recipes)
    if not run.psa.enabled:
        write_off_folder(out)
        return f"{out}: off, psa.enabled is false"
    folder = VocFolder(data / run.data)
    how = recipe.refine_crf[run.baseline]
    alphas = recipe.label_affinity.alpha_low, recipe.label_affinity.alpha_high
    with made_folder(out) as partial:
        count = label_all(folder, cams, alphas, how, partial, crf_processes(), bars("CRF", "image"))
    return f"{out}: affinity labels of {count} pictures"


if __name__ == "__main__":
    main()
