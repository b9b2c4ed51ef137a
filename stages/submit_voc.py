"""Predict the pictures of VOC's `test` and pack them for its evaluation server; no default stage.

    python -m stages.submit_voc --weights outputs/segmentation.pt --out outputs/submission

`--predictions FOLDER` checks and packs what was predicted before. Nothing is sent anywhere.
"""

from pathlib import Path

import click

from hsc.base.cli import PATH, bars, gpu_command, parameter_options, path_option
from hsc.base.files import link_files
from hsc.base.made import made_folder
from hsc.data.voc import VocFolder
from hsc.params.reading import load
from hsc.segmentation.submission import (
    ARCHIVE,
    FOLDER,
    SPLIT,
    check_predictions,
    check_voc,
    write_archive,
)


@gpu_command
@parameter_options
@path_option("--data", "outputs/data", "Folder of the data sets.")
@path_option("--weights", "outputs/segmentation.pt", "The segmentation network's weights.")
@click.option("--predictions", type=PATH, help="Folder of palette PNGs to pack instead.")
@path_option("--out", "outputs/submission", "Folder of the predictions and the archive.")
def main(
    params: Path, recipes: Path, data: Path, weights: Path, predictions: Path | None, out: Path
) -> str:
    """Write results/VOC2012/Segmentation/comp6_test_cls/ and the archive of it."""
    # Not at the top: the CRF's processes import this script, and torch takes 4 s and 300 MB each.
    from hsc.segmentation.inference import predict_split, write_labels

    run, recipe = load(params, recipes)
    folder = VocFolder(data / run.data)
    check_voc(folder)
    if predictions is not None:
        check_predictions(folder, predictions, bars("checking", "image"))
    with made_folder(out) as partial:
        target = partial / FOLDER
        target.mkdir(parents=True)
        if predictions is not None:
            link_files(predictions, target, bars("linking", "image"))
        else:
            how = recipe.predict_segmentation.of(run.segmentation)
            labels = predict_split(weights, folder, SPLIT, how, bars("predictions", "image"))
            write_labels(labels, target)
        count = check_predictions(folder, target, bars("checking", "image"))
        write_archive(partial, partial / ARCHIVE)
    return f"{out / ARCHIVE}: {count} predictions of {SPLIT}"


if __name__ == "__main__":
    main()
