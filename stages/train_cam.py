"""Train the CAM network of `baseline` and `contrast` on pictures and tags (EPS: and saliency)."""

from pathlib import Path

from hsc.base.cli import RESUME_FOLDER, bars, parameter_options, path_option, training_stage
from hsc.base.distributed import is_first
from hsc.data.voc import VocFolder
from hsc.engine.checkpoints import watched_state
from hsc.engine.history import write_history
from hsc.engine.resume_key import resume_key
from hsc.engine.runtime import training_runtime
from hsc.methods.training import train_cam
from hsc.params.method import choose
from hsc.params.reading import load


@training_stage
@parameter_options
@path_option("--data", "outputs/data", "Folder of the data sets.")
@path_option("--backbone", "outputs/backbone.pt", "Weights of prepare_backbone.")
@path_option("--out", "outputs/cam.pt", "The CAM network's weights.")
@path_option("--plots", "plots/train_cam.csv", "The loss terms of every step (CSV).")
def main(params: Path, recipes: Path, data: Path, backbone: Path, out: Path, plots: Path) -> str:
    """Train the CAM network; a killed run goes on from its last checkpoint."""
    run, recipe = load(params, recipes)
    choice = choose(run, params)
    schedule = recipe.train_cam[run.baseline]
    folder = VocFolder(data / run.data)
    key = resume_key(
        folder,
        [backbone],
        [*choice.names, *choice.settings, recipe.network, schedule],
        choice.baseline.needs_saliency,
        run.seed,
        bars("reading the inputs", "file"),
    )
    resume = watched_state(RESUME_FOLDER, "train_cam", key, plots)
    with training_runtime() as runtime:
        history = train_cam(
            folder, backbone, choice, recipe.network, schedule, runtime, resume, out, bars
        )
        if is_first():
            write_history(plots, history)
        resume.clear()
    said = f"{run.baseline}, contrast {run.contrast}, {len(history)} steps"
    return f"{out}: {said}, loss {history[-1]['loss']:.4f}"


if __name__ == "__main__":
    main()
