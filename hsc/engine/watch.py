"""Looking on at a training: what its files show at every checkpoint, long before it has ended.

The table of losses under `plots/` grows, and with `HSC_TENSORBOARD=folder` events for TensorBoard:
the terms of every step, and pictures where the training draws some.

Letters: H W pixels.
"""

import contextlib
import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hsc.base.errors import MachineError
from hsc.engine.history import History, write_history

WATCHED = 4
"""Pictures that are drawn."""
Draw = Callable[[], Mapping[str, NDArray[np.uint8]]]
"""Pictures (H, W, 3) RGB by name, of the network as it is now; it leaves the training as it was."""


def no_pictures() -> Mapping[str, NDArray[np.uint8]]:
    """What a training shows that draws nothing."""
    return {}


class Watch:
    """Writes what there is to see of a training whenever it is called.

    plots: the table of losses. events: where TensorBoard finds the rest, if anywhere. before: the
    steps of earlier rounds, which stand in front of the table.
    """

    def __init__(
        self, plots: Path, events: "Events | None", before: Sequence[dict[str, float]] = ()
    ) -> None:
        self._plots, self._events, self._before = plots, events, list(before)

    def after(self, before: History) -> "Watch":
        """The watch of a round that follows these steps."""
        return Watch(self._plots, self._events, before)

    def __call__(self, history: History, since: int, draw: Draw) -> None:
        """Write the table of all steps, and the events of those from `since` on."""
        done = len(self._before)
        rows = [*self._before, *(row | {"step": done + row["step"]} for row in history)]
        write_history(self._plots, rows)
        if self._events is not None:
            first = done + since
            self._events.write(rows[first:], first, draw())


class Events:
    """A run in TensorBoard: the folder `name` below that of `HSC_TENSORBOARD`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def write(self, rows: History, first: int, pictures: Mapping[str, NDArray[np.uint8]]) -> None:
        """The terms of the steps from `first` on, the pictures at the last of them.

        What there is of these steps already, by a training that was killed behind its last
        checkpoint or was made again, TensorBoard leaves out.
        """
        if self._writer is None:
            # Not at the top: TensorBoard is optional and takes seconds.
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=first)
        for step, row in enumerate(rows, first):
            for term in row.keys() - {"step"}:
                self._writer.add_scalar(term, row[term], step)
        for name, picture in pictures.items():
            self._writer.add_image(name, picture, first + len(rows) - 1, dataformats="HWC")
        self._writer.flush()


def watch_training(plots: Path, name: str, environment: Mapping[str, str] = os.environ) -> Watch:
    """The watch of a training, with events where `HSC_TENSORBOARD` names a folder.

    name: of its run, the same when it goes on. Raises HscError where TensorBoard is missing.
    """
    chosen = environment.get("HSC_TENSORBOARD", "").strip()
    if not chosen:
        return Watch(plots, None)
    if importlib.util.find_spec("tensorboard") is None:
        raise MachineError(
            "HSC_TENSORBOARD: TensorBoard is not installed: pip install tensorboard, or unset it"
        )
    return Watch(plots, Events(Path(chosen).expanduser() / name))


@contextlib.contextmanager
def looked_at(module: nn.Module) -> Iterator[None]:
    """The module in eval mode and without gradients, and afterwards as it was."""
    before = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train(before)
