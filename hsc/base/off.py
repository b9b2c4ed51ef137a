"""What a stage writes where the parameters leave it nothing to do.

DVC wants every declared output of every stage to be there, and can leave out none by a parameter.
So each such output is one small file, always the same: nothing after it changes, and to write it
takes no torch.
"""

from pathlib import Path

from hsc.base.files import atomic_file
from hsc.base.made import made_folder

OFF = "psa.enabled is false: nothing was made here\n"
NO_STEPS = "step,lr,loss,background,foreground,different\n"
"""The header of AffinityNet's loss table."""
NO_ROUNDS = "segmentation is deeplab, which is trained in one round\n"


def write_off_file(path: Path, text: str = OFF) -> None:
    """The mark in place of a file."""
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_off_folder(path: Path, text: str = OFF) -> None:
    """A folder that has nothing but the mark: an empty one is none for DVC's remotes and git."""
    with made_folder(path) as partial:
        write_off_file(partial / "off.txt", text)
