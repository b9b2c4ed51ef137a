"""Make the pseudo labels: PSA's random walk, or with `psa.enabled: false` the CRF's labels."""

from pathlib import Path

from hsc.base.cli import bars, gpu_stage, parameter_options, path_option
from hsc.base.files import link_files
from hsc.base.made import made_folder
from hsc.crf.device import crf_processes
from hsc.data.voc import VocFolder
from hsc.params.reading import load
from hsc.params.recipe import CrfParams, WalkParams

_ADVICE = (
    "`dvc commit --force refine_masks` keeps them as the pseudo labels that the next stages use; "
    "otherwise move them elsewhere, or delete the folder"
)


@gpu_stage
@parameter_options
@path_option("--data", "outputs/data", "Folder of the data sets.")
@path_option("--crf", "outputs/crf", "Folder of the CRF's labels.")
@path_option("--cams", "outputs/cams.h5", "The CAM file.")
@path_option("--affinity", "outputs/affinity.pt", "Weights of train_affinity.")
@path_option("--out", "outputs/masks", "Folder of the pseudo labels.")
def main(
    params: Path, recipes: Path, data: Path, crf: Path, cams: Path, affinity: Path, out: Path
) -> str:
    """Walk along the affinities, then the CRF (`crf`); without PSA link the CRF's labels."""
    run, recipe = load(params, recipes)
    with made_folder(out, _ADVICE) as partial:
        if not run.psa.enabled:
            count = link_files(crf, partial, bars("linking", "image"))
            return f"{out}: {count} pseudo labels, linked to {crf}"
        folder, how = VocFolder(data / run.data), recipe.refine_crf[run.baseline]
        count = _walk(recipe.refine_masks, how, folder, cams, affinity, partial)
    return f"{out}: {count} pseudo labels"


def _walk(
    walk: WalkParams, crf: CrfParams, folder: VocFolder, cams: Path, affinity: Path, out: Path
) -> int:
    # torch, which takes seconds to load; the pool's processes, which import this file, need none
    from hsc.engine.runtime import detect_runtime
    from hsc.psa.masks import refine_masks

    return refine_masks(
        folder,
        cams,
        affinity,
        walk,
        crf,
        detect_runtime(),
        out,
        crf_processes(),
        bars("masks", "image"),
    )


if __name__ == "__main__":
    main()
