"""AuxSegNet's way through the stage `train_segmentation`: inputs, rounds, what is told."""

import shutil
from pathlib import Path

from hsc.auxsegnet.training import link_rounds, round_weights, train_rounds
from hsc.base.distributed import is_first
from hsc.base.files import atomic_file, digest_file, write_json
from hsc.base.made import made_folder
from hsc.base.progress import Bars
from hsc.data.voc import VocFolder
from hsc.engine.checkpoints import run_name
from hsc.engine.history import History, write_history
from hsc.engine.resume_key import resume_key
from hsc.engine.runtime import training_runtime
from hsc.engine.watch import watch_training
from hsc.params.method import ContrastChoice
from hsc.params.recipe import Recipe
from hsc.segmentation.stage import Outputs


def train_auxsegnet(
    folder: VocFolder,
    cams: Path,
    classifier: Path,
    seed: int,
    recipe: Recipe,
    contrast: ContrastChoice | None,
    processes: int,
    out: Outputs,
    bars: Bars,
) -> History:
    """Train on CAMs and saliency; write the last network, the rounds' labels, the losses.

    Raises HscError as `train_rounds`.
    """
    schedule = recipe.train_segmentation.auxsegnet
    reading = bars("reading the inputs", "file")
    inputs, settings = [cams, classifier], ["auxsegnet", recipe.network, schedule]
    if contrast is not None:
        settings += [contrast.name, contrast.params]
    key = resume_key(folder, inputs, settings, True, seed, reading)
    name = run_name("train_segmentation", key)
    work = out.states / name
    with training_runtime() as runtime:
        history = train_rounds(
            folder, cams, classifier, seed, recipe.network, schedule, contrast, runtime, work,
            processes, bars, watch_training(out.plots, name),
        )  # fmt: skip
        if is_first():
            with made_folder(out.rounds) as partial:
                link_rounds(work, schedule.rounds, partial)
            with atomic_file(out.weights) as partial:
                shutil.copyfile(round_weights(work, schedule.rounds - 1), partial)
            start = {
                "kind": "CAM network",
                "supervision": "tags",
                "sha256": digest_file(classifier),
            }
            described = {"backbone": recipe.network.backbone, "head": "auxsegnet"}
            write_json(out.metrics, described | {"initial_weights": start})
            write_history(out.plots, history)
            shutil.rmtree(work)
    return history
