"""Make the backbone that every variant starts from: a warm-up on the tags, or an import."""

from pathlib import Path

from hsc.base.cli import (
    RESUME_FOLDER,
    bars,
    parameter_options,
    path_option,
    refuse_company,
    training_stage,
)
from hsc.base.distributed import is_first
from hsc.base.download import downloads_folder
from hsc.base.files import atomic_file, write_json
from hsc.data.voc import VocFolder
from hsc.engine.checkpoints import watched_state
from hsc.engine.history import write_history
from hsc.engine.resume_key import resume_key
from hsc.engine.runtime import training_runtime
from hsc.params.base import FetchParams
from hsc.params.reading import load
from hsc.weights.fetched import fetched
from hsc.weights.imported import import_weights
from hsc.weights.warmup import warm_up


@training_stage
@parameter_options
@path_option("--data", "outputs/data", "Folder of the data sets.")
@path_option("--out", "outputs/backbone.pt", "The backbone's weights.")
@path_option("--metrics", "metrics/backbone.json", "Tag accuracy, or what was imported (JSON).")
@path_option("--plots", "plots/backbone.csv", "The loss of every step (CSV).")
def main(params: Path, recipes: Path, data: Path, out: Path, metrics: Path, plots: Path) -> str:
    """Train the backbone to tell the tags of `train_aug`, or import published weights."""
    run, recipe = load(params, recipes)
    how = recipe.prepare_backbone
    if isinstance(how, FetchParams):
        refuse_company()
        how = fetched(how, downloads_folder(), bars)
        found = import_weights(
            how.weights, how.layout, out, recipe.network.backbone, backbone_only=True,
            sha256=how.sha256, supervision=how.supervision, bars=bars,
        )  # fmt: skip
        write_json(metrics, found)
        with atomic_file(plots) as partial:
            partial.write_text("step,lr,loss\n")  # nothing was trained; DVC wants the file
        return f"{out}: {found['tensors']} tensors of {found['source']} ({found['layout']})"

    folder = VocFolder(data / run.data)
    key = resume_key(
        folder, [], [recipe.network, how], False, progress=bars("reading the inputs", "file")
    )
    resume = watched_state(RESUME_FOLDER, "prepare_backbone", key, plots)
    with training_runtime() as runtime:
        accuracy, history = warm_up(folder, recipe.network, how, runtime, resume, out, bars)
        if is_first():
            write_json(metrics, accuracy)
            write_history(plots, history)
        resume.clear()
    return f"{out}: {accuracy['tags']:.2f} % of the tags right"


if __name__ == "__main__":
    main()
