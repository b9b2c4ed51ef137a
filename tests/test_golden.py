"""Every golden case that binds, in one place: `pytest tests/test_golden.py`.

The tests stand in the `golden_*.py` files, by part. Other folders of the same schema, with their
own tolerances.json, are taken from HSC_GOLDEN and HSC_GOLDEN_AUXSEGNET. The summary says how many
cases were compared.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.golden import AUXSEGNET, GOLDEN, golden_folder
from tests.golden_affinity import *  # noqa: F403
from tests.golden_auxsegnet import *  # noqa: F403
from tests.golden_losses import *  # noqa: F403
from tests.golden_networks import *  # noqa: F403
from tests.golden_pipeline import *  # noqa: F403
from tests.golden_ppc import *  # noqa: F403
from tests.golden_scoring import *  # noqa: F403
from tests.golden_segmentation import *  # noqa: F403

NOT_HERE = {
    "05d_hsc_er_loss": "record of a departure from the paper",
    "05f_hsc_contrast": "record of a departure from the paper",
    "05g_hsc_full_loss": "record of a departure from the paper",
    "13_mxnet_params": "in tests/weights/test_mxnet.py",
    "batch_s0_larger": "crops are resized as of all other methods, not as AuxSegNet's loader does",
    "batch_s1_padded": "the same; its padding: tests/auxsegnet/test_auxsegnet_samples.py",
}


def compared() -> set[Path]:
    """The case files that the tests of this module are given."""
    marks = [
        mark
        for name, value in globals().items()
        if name.startswith("test_")
        for mark in getattr(value, "pytestmark", [])
        if mark.name == "parametrize"
    ]
    return {found for mark in marks for value in mark.args[1] for found in _paths(value)}


def _paths(value: Any) -> list[Path]:
    """The paths among the values of a `pytest.param`, or of a plain one."""
    given = getattr(value, "values", [value])
    return [part for part in given if isinstance(part, Path)]


@pytest.mark.parametrize("variable", [GOLDEN, AUXSEGNET])
def test_no_case_is_forgotten(variable: str) -> None:
    if not golden_folder(variable).is_dir():
        pytest.skip(f"no golden fixtures (set {variable})")
    cases = {
        path
        for folder in golden_folder(variable).iterdir()
        if folder.is_dir() and folder.name != "keys" and folder.name not in NOT_HERE
        for path in [*folder.glob("*.npz"), *folder.glob("*.json"), *folder.glob("*/*.json")]
        if path.stem not in NOT_HERE
    }
    assert cases <= compared(), sorted(map(str, cases - compared()))
    assert len(cases) > 0
