"""The one training loop: every network of the pipeline is trained by `train`.

    while steps remain: set the rate, losses of a batch, guard, backward, average over the
                        processes, clip, step, commit, checkpoint

What it trains is an `Objective`: a module that turns a batch into named loss terms and, after the
optimiser's step, commits what the batch changed in its memories (prototypes).
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
from torch import Tensor

from hsc.base.distributed import GradientAverage, gather
from hsc.base.errors import HscError, MachineError
from hsc.base.progress import Bars, silent
from hsc.engine.checkpoints import ResumeFile
from hsc.engine.history import History
from hsc.engine.optimisers import set_rate
from hsc.engine.runtime import Runtime
from hsc.engine.watch import Draw, no_pictures
from hsc.engine.whole_batch import use_whole_batch

Batch = dict[str, Tensor]


class Objective(Protocol):
    """What the loop needs of the thing it trains (a `torch.nn.Module` besides)."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Named scalar terms; `loss` is the one that is minimised."""

    def commit(self) -> None:
        """Take over what the last batch changed in the module's memories."""


def train(
    objective: Any,
    optimiser: torch.optim.Optimizer,
    batches: Callable[[int], Iterable[Batch]],
    steps: int,
    rate: Callable[[int], float],
    runtime: Runtime,
    resume: ResumeFile,
    checkpoint_every: int,
    title: str,
    clip_norm: float | None = None,
    bars: Bars = silent,
    draw: Draw = no_pictures,
) -> History:
    """Train for `steps` steps, from the resume state where there is one.

    `batches(start)` yields the batches of the steps from `start` on, `rate(step)` is the base
    learning rate, `clip_norm` the length to which a longer gradient (of all parameters together)
    is cut, None for none. `bars` shows the steps with the loss, the rate and the other terms.
    At a checkpoint whoever looks on (`resume.show`) sees the steps and what `draw` gives. Returns
    the terms of every step. Raises HscError when a loss is not finite; the last checkpoint is from
    before.

    Of several processes each has its share of the batches and ends with the same weights; the
    first one writes the state.
    """
    use_whole_batch(objective)
    # Channels last is the faster layout for small convolutions, on CPUs and on GPUs.
    objective.to(runtime.device, memory_format=torch.channels_last).train()
    start, history = _restore(objective, optimiser, resume)
    shown = start
    check_start(start, resume, runtime)
    progress = bars(title, "step")
    progress(start, steps)
    with GradientAverage(objective.parameters()) as average:
        for step, batch in enumerate(batches(start), start=start):
            lr = rate(step)
            set_rate(optimiser, lr)
            moved = {key: _move(value, runtime.device) for key, value in batch.items()}
            with runtime.autocast():
                terms = objective.losses(moved)
            values = _values(terms, title, step)
            optimiser.zero_grad(set_to_none=True)
            terms["loss"].backward()
            average.finish()
            if clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(objective.parameters(), clip_norm)
            optimiser.step()
            objective.commit()
            history.append({"step": step, "lr": lr, **values})
            if (step + 1) % checkpoint_every == 0 or step + 1 == steps:
                _check_parameters(objective, title, step)
                if step + 1 < steps:
                    _keep(objective, optimiser, resume, step + 1, history)
                resume.show(history, shown, draw)
                shown = step + 1
            progress(step + 1, steps, **{"loss": values["loss"], "lr": lr} | values)
    return history


def check_start(start: int, resume: ResumeFile, runtime: Runtime) -> None:
    """All processes go on from the same state; no one writes a new one before all have read it.

    Raises HscError where their states are of different steps.
    """
    starts = set(gather(torch.tensor([start], device=runtime.device)).tolist())
    if len(starts) > 1:
        raise MachineError(
            f"{resume.path}: the processes found states of different steps; run all of them in one "
            "folder, or delete the state everywhere"
        )


def _check_parameters(objective: Any, title: str, step: int) -> None:
    """A finite loss can have a gradient that is not; no such weights are ever written."""
    if not all(torch.isfinite(parameter).all() for parameter in objective.parameters()):
        raise HscError(
            f"{title}, step {step}: the weights are not finite; lower the learning rate, or set "
            "HSC_PRECISION=fp32 if this happens in bf16 only"
        )


def _move(value: Tensor, device: torch.device) -> Tensor:
    layout = torch.channels_last if value.ndim == 4 else torch.contiguous_format
    return value.to(device, non_blocking=True, memory_format=layout)


def _values(terms: dict[str, Tensor], title: str, step: int) -> dict[str, float]:
    numbers = torch.stack([term.detach().float() for term in terms.values()]).tolist()
    values = dict(zip(terms, numbers, strict=True))
    wrong = [name for name, value in values.items() if not math.isfinite(value)]
    if wrong:
        raise HscError(
            f"{title}, step {step}: not finite: {', '.join(wrong)}; lower the learning rate, or "
            "set HSC_PRECISION=fp32 if this happens in bf16 only"
        )
    return values


def _keep(
    objective: Any,
    optimiser: torch.optim.Optimizer,
    resume: ResumeFile,
    step: int,
    history: History,
) -> None:
    random = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        random["cuda"] = torch.cuda.get_rng_state()
    resume.save(
        {
            "step": step,
            "objective": objective.state_dict(),
            "optimiser": optimiser.state_dict(),
            "random": random,
            "history": history,
        }
    )


def _restore(
    objective: Any, optimiser: torch.optim.Optimizer, resume: ResumeFile
) -> tuple[int, History]:
    state = resume.load()
    if state is None:
        return 0, []
    objective.load_state_dict(state["objective"])
    optimiser.load_state_dict(state["optimiser"])
    torch.set_rng_state(state["random"]["cpu"])
    if "cuda" in state["random"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["random"]["cuda"])
    return state["step"], state["history"]
