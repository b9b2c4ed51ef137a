"""Predict the pictures of val with the trained DeepLab, at several scales and flipped."""

from pathlib import Path

from hsc import params as parameters
from hsc.cli import parameter_options, path_option, progress, stage
from hsc.data.voc import VocFolder
from hsc.engine.runtime import detect_runtime
from hsc.files import atomic_folder
from hsc.nets.build import check_classes, load_deeplab
from hsc.segmentation import predict_labels, write_labels


@stage
@parameter_options
@path_option("--data", "data", "Folder of the data sets.")
@path_option("--weights", "outputs/segmentation.pt", "The segmentation network's weights.")
@path_option("--out", "outputs/predictions", "Folder of the predictions (palette PNGs).")
def main(params: Path, recipes: Path, data: Path, weights: Path, out: Path) -> str:
    """Predict every picture of val."""
    run, recipe = parameters.load(params, recipes)
    how = recipe.predict_segmentation
    folder = VocFolder(data / run.data)
    network, spec = load_deeplab(weights)
    check_classes(weights, spec, folder.class_names)
    with atomic_folder(out) as partial:
        labels = predict_labels(
            network, folder, folder.ids("val"), how.scales, how.flip, detect_runtime(),
            progress("predictions"),
        )  # fmt: skip
        count = write_labels(labels, partial)
    return f"{out}: {count} predictions"


if __name__ == "__main__":
    main()
