"""Draw pictures of train with CAMs, seed, CRF, mask, prediction and truth side by side."""

from pathlib import Path

from hsc.base.cli import bars, parameter_options, path_option, stage
from hsc.base.made import made_folder
from hsc.data.lists import spread
from hsc.data.voc import VocFolder
from hsc.engine.runtime import detect_runtime
from hsc.nets.segmentation import load_segmentation
from hsc.nets.weights import check_classes
from hsc.params.method import choose
from hsc.params.reading import load
from hsc.report.contrast_maps import contrast_maps, trained_method
from hsc.report.panels import draw_panels, write_cells
from hsc.report.sample import make_panels
from hsc.store import CamReader


@stage
@parameter_options
@path_option("--data", "outputs/data", "Folder of the data sets.")
@path_option("--cam", "outputs/cam.pt", "The CAM network's weights, where its contrast draws.")
@path_option("--cams", "outputs/cams.h5", "The CAM file.")
@path_option("--seeds", "outputs/seeds", "Folder of the seeds.")
@path_option("--crf", "outputs/crf", "Folder of the CRF's labels.")
@path_option("--masks", "outputs/masks", "Folder of the pseudo labels.")
@path_option("--weights", "outputs/segmentation.pt", "The segmentation network's weights.")
@path_option("--out", "outputs/panels", "Folder of the single pictures and their list.")
@path_option("--plots", "plots/panels.png", "All of them in one figure.")
def main(
    params: Path, recipes: Path, data: Path, cam: Path, cams: Path, seeds: Path, crf: Path,
    masks: Path, weights: Path, out: Path, plots: Path,
) -> str:  # fmt: skip
    """Draw a fixed sample of train, a row a picture."""
    run, recipe = load(params, recipes)
    how = recipe.predict_segmentation.of(run.segmentation)
    folder = VocFolder(data / run.data)
    network, spec = load_segmentation(weights)
    check_classes(weights, spec, folder.class_names)
    ids = spread(folder.ids("train"), recipe.draw_panels.pictures)
    runtime, choice, first = detect_runtime(), choose(run, params), {}
    if choice.contrast is not None and choice.contrast.shows:
        schedule = recipe.train_cam[run.baseline]
        method = trained_method(cam, folder, choice, recipe.network, schedule)
        first = {choice.contrast.shows: contrast_maps(method, folder, ids, runtime)}
    with CamReader(cams) as reader:
        panels = make_panels(
            folder, reader, {"seed": seeds, "CRF": crf, "mask": masks}, network, how.scales,
            how.flip, ids, runtime, how.crf, bars("predictions", "image"), first,
        )  # fmt: skip
    names = ["background", *folder.class_names]
    draw_panels(panels, names, plots)
    with made_folder(out) as partial:
        write_cells(panels, names, partial)
    return f"{out}: {len(panels)} pictures, together in {plots}"


if __name__ == "__main__":
    main()
