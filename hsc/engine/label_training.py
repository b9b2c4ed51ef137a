"""What trainings on label maps share: the samples, the optimiser and the loop, by the recipe.

AffinityNet learns from what two CRFs agree about, DeepLab from the pseudo labels. Ground-truth
masks are never read here.
"""

from typing import Any

import torch
from torch.utils.data import Dataset

from hsc.base.progress import Bars, silent
from hsc.engine.checkpoints import ResumeFile
from hsc.engine.history import History
from hsc.engine.loading import step_batches
from hsc.engine.optimisers import build_optimiser, parameter_groups, poly_rate
from hsc.engine.runtime import Runtime
from hsc.engine.training import train
from hsc.engine.watch import Draw, no_pictures
from hsc.params.base import TrainingParams


def train_on_labels(
    objective: Any,
    network: Any,
    samples: Dataset[Any],
    seed: int,
    params: TrainingParams,
    runtime: Runtime,
    resume: ResumeFile,
    title: str,
    bars: Bars = silent,
    draw: Draw = no_pictures,
    warmup: int = 0,
) -> History:
    """Train on pictures and their label maps; returns the losses of every step.

    objective: as `train` wants it, with `network` in it. samples: by `hsc.data.stream.Position`.
    title, bars: of the progress. draw: what is shown at checkpoints. warmup: steps in which the
    rate rises (`poly_rate`). Raises HscError for labels that are missing, damaged or of another
    data set, and for a loss that is not finite.
    """
    return train(
        objective,
        label_optimiser(network, params),
        step_batches(samples, seed, params.batch_size, params.steps, runtime),
        params.steps,
        lambda step: poly_rate(params.lr, step, params.steps, params.power, warmup),
        runtime,
        resume,
        params.checkpoint_every,
        title=title,
        bars=bars,
        draw=draw,
    )


def label_optimiser(network: Any, params: TrainingParams) -> torch.optim.Optimizer:
    """The optimiser with the groups of pretrained and new parameters, told by `network.role`."""
    groups = parameter_groups(
        network.named_parameters(),
        network.role,
        {"pretrained": 1.0, "new": params.lr_new},
        params.lr_bias,
        params.weight_decay,
    )
    return build_optimiser(params.optimiser, groups, params.lr, params.momentum)
