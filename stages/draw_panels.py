"""Draw pictures of train with their CAM, seed, CRF, prediction and truth side by side."""

from pathlib import Path

from hsc import params as parameters
from hsc.cli import bars, parameter_options, path_option, stage
from hsc.data.voc import VocFolder
from hsc.engine.runtime import detect_runtime
from hsc.nets.build import check_classes, load_deeplab
from hsc.panels import make_panels
from hsc.report.panels import draw_panels
from hsc.segmentation import crf_config
from hsc.store import CamReader


@stage
@parameter_options
@path_option("--data", "data", "Folder of the data sets.")
@path_option("--cams", "outputs/cams.h5", "The CAM file.")
@path_option("--seeds", "outputs/seeds", "Folder of the seeds.")
@path_option("--crf", "outputs/crf", "Folder of the CRF's labels.")
@path_option("--weights", "outputs/segmentation.pt", "The segmentation network's weights.")
@path_option("--plots", "plots/panels.png", "The picture.")
def main(
    params: Path, recipes: Path, data: Path, cams: Path, seeds: Path, crf: Path, weights: Path,
    plots: Path,
) -> str:  # fmt: skip
    """Draw a fixed sample of train."""
    run, recipe = parameters.load(params, recipes)
    how = recipe.predict_segmentation
    folder = VocFolder(data / run.data)
    network, spec = load_deeplab(weights)
    check_classes(weights, spec, folder.class_names)
    with CamReader(cams) as reader:
        panels = make_panels(
            folder, reader, {"seed": seeds, "CRF": crf}, network, how.scales, how.flip,
            recipe.draw_panels.pictures, detect_runtime(), crf_config(how),
            bars("predictions", "image"),
        )  # fmt: skip
    draw_panels(panels, ["background", *folder.class_names], plots)
    return f"{plots}: {len(panels)} pictures"


if __name__ == "__main__":
    main()
