"""The state of a training that may be killed and go on."""

from pathlib import Path
from typing import Any

from hsc.base.distributed import is_first
from hsc.base.errors import HscError
from hsc.nets.weights import load_whole, save_whole


class ResumeFile:
    """The state of a training that may be killed: `.hsc/resume/<stage>-<key>.pt`.

    It lies outside the declared outputs, which DVC deletes before a stage runs, and `key` is a
    digest of parameters and data, so that a changed run never goes on from another's state. A
    damaged state is an error, not a silent start from zero. Of several processes the first writes
    it and all read it; it does for any number of them.
    """

    def __init__(self, folder: Path, stage: str, key: str) -> None:
        self.path = folder / f"{stage}-{key[:16]}.pt"

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
