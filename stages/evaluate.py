"""Score a folder of label maps against the masks of a split."""

from pathlib import Path

import click
import numpy as np

from hsc import params as parameters
from hsc.cli import bars, parameter_options, path_option, stage
from hsc.data.voc import VocFolder
from hsc.files import write_json
from hsc.metrics import describe, report, unscored
from hsc.report.panels import draw_confusion
from hsc.scoring import count_labels


@stage
@parameter_options
@path_option("--data", "data", "Folder of the data sets.")
@path_option("--labels", "outputs/predictions", "Folder of the label maps.")
@click.option("--split", default="val", help="The split whose masks are the truth.")
@path_option("--metrics", "metrics/val.json", "The scores (JSON).")
@path_option("--plots", "plots/val_confusion.png", "The confusion matrix (picture).")
def main(
    params: Path, recipes: Path, data: Path, labels: Path, split: str, metrics: Path, plots: Path
) -> str:
    """Write mIoU and the IoU of every class, accumulated over the split."""
    run, _ = parameters.load(params, recipes)
    folder = VocFolder(data / run.data)
    names = ["background", *folder.class_names]
    matrix, scores = np.zeros((len(names), len(names)), dtype=np.int64), unscored(split)
    if folder.has_masks():
        matrix = count_labels(folder, labels, split, bars("scoring", "image"))
        scores = report(matrix, names, split, len(folder.ids(split)))
    write_json(metrics, scores)
    draw_confusion(matrix, names, f"{labels} on {split}", plots)
    return f"{labels}: {describe(scores)}"


if __name__ == "__main__":
    main()
