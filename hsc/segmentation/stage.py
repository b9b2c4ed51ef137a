"""DeepLab's way through the stage `train_segmentation`: inputs, state, training, what is told."""

from pathlib import Path
from typing import NamedTuple

from hsc.base.distributed import is_first
from hsc.base.files import write_json
from hsc.base.off import NO_ROUNDS, write_off_folder
from hsc.base.progress import Bars
from hsc.data.voc import VocFolder
from hsc.engine.checkpoints import watched_state
from hsc.engine.history import History, write_history
from hsc.engine.resume_key import resume_key
from hsc.engine.runtime import training_runtime
from hsc.params.recipe import Recipe
from hsc.segmentation.training import initial_file, train_segmentation


class Outputs(NamedTuple):
    """What the stage writes. states: folder of the states of killed trainings."""

    states: Path
    weights: Path
    rounds: Path
    metrics: Path
    plots: Path


def train_deeplab(
    folder: VocFolder,
    masks: Path,
    backbone: Path,
    seed: int,
    recipe: Recipe,
    out: Outputs,
    bars: Bars,
) -> History:
    """Train on `masks`; write the network, what it started from, the losses, and no rounds.

    Raises HscError as `train_segmentation`.
    """
    network, schedule = recipe.segmentation_network, recipe.train_segmentation.deeplab
    initial = initial_file(schedule.initial_weights, network.backbone, backbone, bars)
    inputs = [*initial, *sorted(masks.glob("*.png"))]
    reading = bars("reading the inputs", "file")
    key = resume_key(folder, inputs, [network, schedule], False, seed, reading)
    resume = watched_state(out.states, "train_segmentation", key, out.plots)
    with training_runtime() as runtime:
        history, origin = train_segmentation(
            folder, masks, backbone, seed, network, schedule, runtime, resume, out.weights, bars
        )
        if is_first():
            described = {"backbone": network.backbone, "head": network.head.kind}
            write_json(out.metrics, described | {"initial_weights": origin})
            write_history(out.plots, history)
            write_off_folder(out.rounds, NO_ROUNDS)
        resume.clear()
    return history
