"""Threshold the CAMs to seeds and score them on train over a sweep of thresholds."""

from pathlib import Path

from hsc.base.cli import bars, parameter_options, path_option, stage
from hsc.base.made import made_folder
from hsc.cam.seed_stage import score_seeds, write_curve, write_seeds
from hsc.data.voc import VocFolder
from hsc.params.reading import load
from hsc.scoring.metrics import describe
from hsc.scoring.tables import write_iou, write_scores
from hsc.store import CamReader


@stage
@parameter_options
@path_option("--data", "outputs/data", "Folder of the data sets.")
@path_option("--cams", "outputs/cams.h5", "The CAM file.")
@path_option("--out", "outputs/seeds", "Folder of the seeds (palette PNGs).")
@path_option("--metrics", "metrics/seeds.json", "Scores at the threshold used and at the best one.")
@path_option("--classes", "metrics/seeds_classes.json", "The IoU of every class (JSON).")
@path_option("--plots", "plots/threshold_curve.csv", "Scores over the thresholds (CSV).")
@path_option("--iou", "plots/seeds_iou.csv", "The IoU of every class, best first (CSV).")
def main(
    params: Path, recipes: Path, data: Path, cams: Path, out: Path, metrics: Path, classes: Path,
    plots: Path, iou: Path,
) -> str:  # fmt: skip
    """Make the seeds of train_aug and score those of train."""
    run, _ = load(params, recipes)
    folder = VocFolder(data / run.data)
    with CamReader(cams) as reader:
        scores, curve = score_seeds(folder, reader, run.seeds.threshold, bars("scoring", "image"))
        with made_folder(out) as partial:
            write_seeds(reader, scores["threshold"], partial, bars("seeds", "image"))
    write_scores(scores, metrics, classes)
    write_curve(curve, scores["threshold"], plots)
    write_iou(scores, iou)
    return f"{out}: {describe(scores)} at threshold {scores['threshold']:.2f}"


if __name__ == "__main__":
    main()
