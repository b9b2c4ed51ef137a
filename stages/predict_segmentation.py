"""Predict the pictures of val with the trained network, at several scales and flipped."""

from pathlib import Path

import click

from hsc.base.cli import bars, gpu_stage, parameter_options, path_option
from hsc.base.made import made_folder
from hsc.data.voc import VocFolder
from hsc.params.reading import load


@gpu_stage
@parameter_options
@path_option("--data", "outputs/data", "Folder of the data sets.")
@path_option("--weights", "outputs/segmentation.pt", "The segmentation network's weights.")
@click.option("--split", default="val", help="The split whose pictures are predicted.")
@path_option("--out", "outputs/predictions", "Folder of the predictions (palette PNGs).")
def main(params: Path, recipes: Path, data: Path, weights: Path, split: str, out: Path) -> str:
    """Predict every picture of a split."""
    # Not at the top: the CRF's processes import this script, and torch takes 4 s and 300 MB each.
    from hsc.segmentation.inference import predict_split, write_labels

    run, recipe = load(params, recipes)
    folder = VocFolder(data / run.data)
    how = recipe.predict_segmentation.of(run.segmentation)
    with made_folder(out) as partial:
        labels = predict_split(weights, folder, split, how, bars("predictions", "image"))
        count = write_labels(labels, partial)
    return f"{out}: {count} predictions of {split}"


if __name__ == "__main__":
    main()
