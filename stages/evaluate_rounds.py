"""Score the pseudo labels of each of AuxSegNet's rounds against the masks of train."""

from pathlib import Path

from hsc.base.cli import bars, parameter_options, path_option, stage
from hsc.base.files import write_json
from hsc.data.voc import VocFolder
from hsc.params.reading import load
from hsc.scoring.metrics import unscored
from hsc.scoring.rounds import score_rounds
from hsc.scoring.tables import write_rounds


@stage
@parameter_options
@path_option("--data", "outputs/data", "Folder of the data sets.")
@path_option("--rounds", "outputs/rounds", "Folder of the rounds' labels.")
@path_option("--metrics", "metrics/rounds.json", "The scores (JSON).")
@path_option("--plots", "plots/rounds.csv", "The scores, a line a round (CSV).")
def main(params: Path, recipes: Path, data: Path, rounds: Path, metrics: Path, plots: Path) -> str:
    """Score every round; where `segmentation` is deeplab there are none, and nothing is scored."""
    run, _ = load(params, recipes)
    folder = VocFolder(data / run.data)
    scored = run.segmentation == "auxsegnet" and folder.has_masks("train")
    scores = score_rounds(folder, rounds, bars("scoring", "image")) if scored else {}
    write_json(metrics, {"split": "train", "rounds": scores} if scored else unscored("train"))
    write_rounds(scores, plots)
    said = ", ".join(f"{row['mIoU']:.2f}" for row in scores.values())
    return f"{rounds}: mIoU {said} % by round" if scored else f"{rounds}: nothing to score"


if __name__ == "__main__":
    main()
