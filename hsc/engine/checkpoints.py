"""The state of a training that may be killed and go on."""

from pathlib import Path
from typing import Any

from hsc.base.distributed import is_first
from hsc.base.errors import HscError
from hsc.engine.history import History
from hsc.engine.watch import Draw, Watch, watch_training
from hsc.nets.weights import load_whole, save_whole


def run_name(stage: str, key: str) -> str:
    """What a training is called until it has ended, however often it is started."""
    return f"{stage}-{key[:16]}"


class ResumeFile:
    """The state of a training that may be killed: `.hsc/resume/<stage>-<key>.pt`.

    It lies outside the declared outputs, which DVC deletes before a stage runs, and `key` is a
    digest of parameters and data, so that a changed run never goes on from another's state. A
    damaged state is an error, not a silent start from zero. Of several processes the first writes
    it and all read it; it does for any number of them. `watch` looks on at its checkpoints.
    """

    def __init__(self, folder: Path, stage: str, key: str, watch: Watch | None = None) -> None:
        self.path = folder / f"{run_name(stage, key)}.pt"
        self._watch = watch

    def show(self, history: History, since: int, draw: Draw) -> None:
        """Let the watch see a checkpoint: all steps, those from `since` on for the first time."""
        if self._watch is not None and is_first():
            self._watch(history, since, draw)

    def load(self) -> dict[str, Any] | None:
        """The last state, or None when there is none."""
        if not self.path.exists():
            return None
        try:
            return load_whole(self.path)
        except HscError as error:
            raise HscError(f"{error} Delete it to start this training again.") from None

    def save(self, value: dict[str, Any]) -> None:
        """Replace the state, whole or not at all."""
        if is_first():
            save_whole(self.path, value)

    def clear(self) -> None:
        """Remove the state after success."""
        if is_first():
            self.path.unlink(missing_ok=True)


def watched_state(folder: Path, stage: str, key: str, plots: Path) -> ResumeFile:
    """The state of a stage's training, and at its checkpoints the table of losses in `plots`."""
    return ResumeFile(folder, stage, key, watch_training(plots, run_name(stage, key)))
