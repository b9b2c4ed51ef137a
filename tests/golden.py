"""Reading the golden fixtures: inputs and outputs recorded from the published implementations.

The folder is `HSC_GOLDEN`, or `shared/golden` beside the repository; AuxSegNet's numbers have one
of their own, `HSC_GOLDEN_AUXSEGNET` or `shared/golden_auxsegnet`. Tests that need one are skipped
with a reason where it is absent.
"""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

GOLDEN, AUXSEGNET = "HSC_GOLDEN", "HSC_GOLDEN_AUXSEGNET"
"""The variables that name the folders."""
_BESIDE = {GOLDEN: "golden", AUXSEGNET: "golden_auxsegnet"}


def golden_folder(variable: str = GOLDEN) -> Path:
    """Where the fixtures lie; the folder may be absent."""
    beside = Path(__file__).resolve().parents[2] / "shared" / _BESIDE[variable]
    return Path(os.environ.get(variable, beside))


def cases(fixture: str, pattern: str = "*.npz", variable: str = GOLDEN) -> list[Any]:
    """One pytest parameter, a path, for each case of a fixture; one skipped where it is absent."""
    whole = golden_folder(variable)
    if not whole.is_dir():
        reason = f"no golden fixtures at {whole} (set {variable})"
        return [pytest.param(None, id="absent", marks=pytest.mark.skip(reason=reason))]
    found = sorted((whole / fixture).glob(pattern))
    if not found:
        raise FileNotFoundError(f"{whole / fixture}: no case matches {pattern}")
    return [pytest.param(path, id=path.stem) for path in found]


def load(path: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, Any]]:
    """A case's inputs and outputs, by name without `in_` and `out_`, and its description."""
    with np.load(path, allow_pickle=False) as stored:
        inputs = {k.removeprefix("in_"): stored[k] for k in stored.files if k.startswith("in_")}
        outputs = {k.removeprefix("out_"): stored[k] for k in stored.files if k.startswith("out_")}
        meta = json.loads(str(stored["meta"])) if "meta" in stored.files else {}
    return inputs, outputs, meta


@cache
def _tolerances() -> dict[str, dict[str, dict[str, Any]]]:
    files = [golden_folder(variable) / "tolerances.json" for variable in _BESIDE]
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for path in filter(Path.is_file, files):
        found |= json.loads(path.read_text())["fixtures"]
    return found


def assert_close(
    name_of_fixture: str, output_name: str, actual: Any, expected: np.ndarray, staged: bool = False
) -> None:
    """Compare with the tolerance that `tolerances.json` gives for this output.

    actual: a torch tensor, an array or a number. Forms of a tolerance: `exact`; `min_agreement`,
    the share of equal values; `atol` with `rtol` (0 where not given), or `staged_atol` instead of
    it when the fixture's earlier outputs were fed (`staged`); `informative`, of which only the
    shape is compared.
    """
    actual = as_array(actual)
    expected = np.asarray(expected)
    where = f"{name_of_fixture} {output_name}"
    assert actual.shape == expected.shape, f"{where}: {actual.shape}, expected {expected.shape}"
    tolerance = _tolerances()[name_of_fixture][output_name]
    if tolerance.get("informative"):
        return
    if tolerance.get("exact"):
        np.testing.assert_array_equal(actual, expected, err_msg=where)
    elif "min_agreement" in tolerance:
        agreement = float(np.mean(actual == expected))
        assert agreement >= tolerance["min_agreement"], f"{where}: {agreement:.4f} of values agree"
    elif "atol" in tolerance:
        np.testing.assert_allclose(
            actual.astype(np.float64),
            expected.astype(np.float64),
            atol=tolerance["staged_atol" if staged and "staged_atol" in tolerance else "atol"],
            rtol=tolerance.get("rtol", 0),
            err_msg=where,
        )
    else:
        raise AssertionError(f"{where}: unknown form of tolerance {tolerance}")


def statistics(values: Any) -> np.ndarray:
    """What the outputs named `*_stats` hold: mean, standard deviation, L2 length, in float64."""
    values = as_array(values).astype(np.float64)
    return np.array([values.mean(), values.std(), np.sqrt((values**2).sum())])


def as_array(values: Any) -> np.ndarray:
    """A tensor, on whatever device and with a graph, an array or a number, as an array."""
    return values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)
