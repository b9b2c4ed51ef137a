"""Train the segmentation network: DeepLab on the pseudo labels, AuxSegNet on CAMs and saliency."""

from pathlib import Path

from hsc.base.cli import RESUME_FOLDER, bars, parameter_options, path_option, training_stage
from hsc.crf.device import crf_processes
from hsc.data.voc import VocFolder
from hsc.params.method import choose_segmentation_contrast
from hsc.params.reading import load


@training_stage
@parameter_options
@path_option("--data", "outputs/data", "Folder of the data sets.")
@path_option("--masks", "outputs/masks", "Folder of the pseudo labels, DeepLab's.")
@path_option("--backbone", "outputs/backbone.pt", "Weights of prepare_backbone, DeepLab's.")
@path_option("--cams", "outputs/cams.h5", "The CAM file, AuxSegNet's.")
@path_option("--classifier", "outputs/cam.pt", "Weights of train_cam, AuxSegNet's.")
@path_option("--out", "outputs/segmentation.pt", "The segmentation network's weights.")
@path_option("--rounds", "outputs/rounds", "Folder of the labels of AuxSegNet's rounds.")
@path_option("--metrics", "metrics/segmentation.json", "The network, its initial weights (JSON).")
@path_option("--plots", "plots/train_segmentation.csv", "The losses of every step (CSV).")
def main(
    params: Path, recipes: Path, data: Path, masks: Path, backbone: Path, cams: Path,
    classifier: Path, out: Path, rounds: Path, metrics: Path, plots: Path,
) -> str:  # fmt: skip
    """Train what `segmentation` names; a killed run goes on from its last checkpoint."""
    # Not at the top: the CRF's processes import this script, and torch takes 4 s and 300 MB each.
    from hsc.auxsegnet.stage import train_auxsegnet
    from hsc.segmentation.stage import Outputs, train_deeplab

    run, recipe = load(params, recipes)
    folder = VocFolder(data / run.data)
    written = Outputs(RESUME_FOLDER, out, rounds, metrics, plots)
    if run.segmentation == "auxsegnet":
        contrast = choose_segmentation_contrast(run, params)
        history = train_auxsegnet(
            folder, cams, classifier, run.seed, recipe, contrast, crf_processes(), written, bars
        )
    else:
        history = train_deeplab(folder, masks, backbone, run.seed, recipe, written, bars)
    return f"{out}: {run.segmentation}, {len(history)} steps, loss {history[-1]['loss']:.4f}"


if __name__ == "__main__":
    main()
