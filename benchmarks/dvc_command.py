"""How DVC is called."""

import sys

from hsc.compare.experiments import printed


def dvc(*words: str) -> str:
    """What a DVC command of this environment prints. Raises HscError where it fails."""
    return printed("dvc", [sys.executable, "-m", "dvc"], words)
