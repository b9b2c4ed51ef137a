"""Score a folder of label maps against the masks of a split."""

from pathlib import Path

import click

from hsc.base.cli import bars, parameter_options, path_option, stage
from hsc.data.voc import VocFolder
from hsc.params.reading import load
from hsc.scoring.metrics import describe, report, unscored
from hsc.scoring.stage import count_labels
from hsc.scoring.tables import write_confusion, write_iou, write_scores


@stage
@parameter_options
@path_option("--data", "outputs/data", "Folder of the data sets.")
@path_option("--labels", "outputs/predictions", "Folder of the label maps.")
@click.option("--split", default="val", help="The split whose masks are the truth.")
@path_option("--metrics", "metrics/val.json", "The scores (JSON).")
@path_option("--classes", "metrics/val_classes.json", "The IoU of every class (JSON).")
@path_option("--iou", "plots/val_iou.csv", "The IoU of every class, best first (CSV).")
@path_option("--confusion", "plots/val_confusion.csv", "Pixels by truth and label (CSV).")
def main(
    params: Path, recipes: Path, data: Path, labels: Path, split: str, metrics: Path,
    classes: Path, iou: Path, confusion: Path,
) -> str:  # fmt: skip
    """Write mIoU and the IoU of every class, accumulated over the split."""
    run, _ = load(params, recipes)
    folder = VocFolder(data / run.data)
    names = ["background", *folder.class_names]
    matrix, scores = None, unscored(split)
    if folder.has_masks(split):
        matrix = count_labels(folder, labels, split, bars("scoring", "image"))
        scores = report(matrix, names, split, len(folder.ids(split)))
    write_scores(scores, metrics, classes)
    write_iou(scores, iou)
    write_confusion(matrix, names, confusion)
    return f"{labels}: {describe(scores)}"


if __name__ == "__main__":
    main()
