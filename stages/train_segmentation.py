"""Train DeepLab on the pseudo labels of train_aug."""

from pathlib import Path

from hsc.base.cli import RESUME_FOLDER, bars, parameter_options, path_option, training_stage
from hsc.base.distributed import is_first
from hsc.base.files import write_json
from hsc.data.voc import VocFolder
from hsc.engine.checkpoints import ResumeFile
from hsc.engine.history import write_history
from hsc.engine.resume_key import training_key
from hsc.engine.runtime import training_runtime
from hsc.params.reading import load
from hsc.segmentation.training import initial_file, train_segmentation


@training_stage
@parameter_options
@path_option("--data", "outputs/data", "Folder of the data sets.")
@path_option("--masks", "outputs/masks", "Folder of the pseudo labels.")
@path_option("--backbone", "outputs/backbone.pt", "Weights of prepare_backbone.")
@path_option("--out", "outputs/segmentation.pt", "The segmentation network's weights.")
@path_option("--metrics", "metrics/segmentation.json", "The network, its initial weights (JSON).")
@path_option("--plots", "plots/train_segmentation.csv", "The loss of every step (CSV).")
def main(
    params: Path, recipes: Path, data: Path, masks: Path, backbone: Path, out: Path, metrics: Path,
    plots: Path,
) -> str:  # fmt: skip
    """Train DeepLab; a killed run goes on from its last checkpoint."""
    run, recipe = load(params, recipes)
    network, schedule = recipe.segmentation_network, recipe.train_segmentation
    folder = VocFolder(data / run.data)
    initial = initial_file(schedule.initial_weights, network.backbone, backbone, bars)
    inputs = [*initial, *sorted(masks.glob("*.png"))]
    settings = [network, schedule]
    key = training_key(
        folder, inputs, settings, False, run.seed, bars("reading the inputs", "file")
    )
    resume = ResumeFile(RESUME_FOLDER, "train_segmentation", key)
    with training_runtime() as runtime:
        history, origin = train_segmentation(
            folder, masks, backbone, run.seed, network, schedule, runtime, resume, out, bars
        )
        if is_first():
            described = {"backbone": network.backbone, "head": network.head.kind}
            write_json(metrics, described | {"initial_weights": origin})
            write_history(plots, history)
        resume.clear()
    return f"{out}: {len(history)} steps, loss {history[-1]['loss']:.4f}"


if __name__ == "__main__":
    main()
