"""Train PSA's affinity network on what two CRFs agree about."""

from pathlib import Path

from hsc.base.cli import RESUME_FOLDER, bars, parameter_options, path_option, training_stage
from hsc.base.launch import read_place
from hsc.base.off import NO_STEPS, write_off_file
from hsc.data.voc import VocFolder
from hsc.params.reading import load
from hsc.params.recipe import Recipe
from hsc.params.run import RunParams


@training_stage
@parameter_options
@path_option("--data", "outputs/data", "Folder of the data sets.")
@path_option("--labels", "outputs/affinity_labels", "Folder of label_affinity's labels.")
@path_option("--backbone", "outputs/backbone.pt", "Weights of prepare_backbone.")
@path_option("--out", "outputs/affinity.pt", "The affinity network's weights.")
@path_option("--plots", "plots/train_affinity.csv", "The loss and its parts of every step (CSV).")
def main(
    params: Path, recipes: Path, data: Path, labels: Path, backbone: Path, out: Path, plots: Path
) -> str:
    """Train AffinityNet; a killed run goes on. With psa.enabled false only marks are written."""
    run, recipe = load(params, recipes)
    if run.psa.enabled:
        return _train(run, recipe, VocFolder(data / run.data), labels, backbone, out, plots)
    if read_place().rank == 0:
        write_off_file(out)
        write_off_file(plots, NO_STEPS)
    return f"{out}: off, psa.enabled is false"


def _train(
    run: RunParams,
    recipe: Recipe,
    folder: VocFolder,
    labels: Path,
    backbone: Path,
    out: Path,
    plots: Path,
) -> str:
    from hsc.base.distributed import is_first  # torch, which takes seconds to load
    from hsc.engine.checkpoints import watched_state
    from hsc.engine.history import write_history
    from hsc.engine.resume_key import resume_key
    from hsc.engine.runtime import training_runtime
    from hsc.psa.training import train_affinity

    schedule, inputs = recipe.train_affinity, [backbone, *sorted(labels.glob("*.png"))]
    settings = [recipe.network, schedule]
    key = resume_key(folder, inputs, settings, False, run.seed, bars("reading the inputs", "file"))
    resume = watched_state(RESUME_FOLDER, "train_affinity", key, plots)
    with training_runtime() as runtime:
        history = train_affinity(
            folder, labels, backbone, run.seed, recipe.network, schedule, runtime, resume, out, bars
        )
        if is_first():
            write_history(plots, history)
        resume.clear()
    return f"{out}: {len(history)} steps, loss {history[-1]['loss']:.4f}"


if __name__ == "__main__":
    main()
