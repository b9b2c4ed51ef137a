"""The command that compares runs, on a repository with experiments in it."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hsc.compare.table import NONE
from stages.compare import main
from tests.experiment_repository import Repository, run_files
from tests.import_closure import ROOT

PARAMS = {"data": "shapes", "contrast": "none", "hsc": {"gamma": 0.1}}
RECIPE = {"prepare_data": {"seed": 0}}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """Seeds of SEAM and EPS with two training seeds; eps-s0 went on to val. EPS is 10, 12 better.

    A committed metrics/val.json of another run lies beside all of them.
    """
    made = Repository(tmp_path)
    monkeypatch.chdir(tmp_path)
    for baseline, scores in {"seam": (40.0, 42.0), "eps": (50.0, 54.0)}.items():
        for seed, score in enumerate(scores):
            params = {**PARAMS, "baseline": baseline, "seed": seed}
            figures = {"seeds": {"mIoU": score, "IoU": {"background": 80 + seed, "dog": score}}}
            left = {"val": {"mIoU": 11.1}}
            if (baseline, seed) == ("eps", 0):
                figures, left = {**figures, "val": {"mIoU": 66.6, "IoU": {}}}, {}
            files = run_files(params, RECIPE, figures, left)
            made.experiment(f"{baseline}-s{seed}", files)
    return made


def call(*words: str) -> Result:
    return CliRunner().invoke(main, words)


def test_tables_go_to_the_terminal_and_to_a_file(repository: Repository) -> None:
    result = call("seam-s*", "eps-s*", "--out", "out/comparison.md")
    assert result.exit_code == 0, result.output
    text = Path("out/comparison.md").read_text(encoding="utf-8")
    assert result.stdout.startswith(text)
    assert "out/comparison.md: 2 rows of 4 runs (" in result.stdout
    # sd of 40, 42 and of 50, 54: sqrt(2), 2 sqrt(2); 10 and 12: mean 11, half 12.706
    seam, eps = text.replace(NONE, "-").splitlines()[4:6]
    assert seam == "| SEAM | 2    | 41.0 ± 1.4 | -     | -     | -        |"
    assert eps == "| EPS  | 2    | 52.0 ± 2.8 | -     | -     | 66.6 (1) |"
    assert "| EPS | seed   | 2     | +11.0 | -1.7 to +23.7 | 11.00 | 0.058 |" in text
    assert "11.1" not in text


def test_another_reference_metric_and_classes(repository: Repository) -> None:
    words = ("seam-s0", "seam-s1", "eps-s*", "--against", "eps-s1", "--metric", "seeds")
    text = call(*words, "--by-class").stdout
    assert "| SEAM | seed   | 2     | -11.0 | -23.7 to +1.7 | -11.00 | 0.058 |" in text
    assert "| dog        | 41.0 ± 1.4 | 52.0 ± 2.8 | -11.0 ± 12.7 (2) |" in text
    assert "| background | 80.5 ± 0.7 | 80.5 ± 0.7 | +0.0 ± 0.0 (2)   |" in text


def test_the_working_tree_and_its_commit(repository: Repository) -> None:
    params = {**PARAMS, "baseline": "seam", "seed": 0}
    repository.write(run_files(params, RECIPE, {"seeds": {"mIoU": 30.0, "IoU": {}}}))
    repository.commit("a run")
    repository.write(run_files(params, RECIPE, {"seeds": {"mIoU": 31.0, "IoU": {}}}))
    text = call("main", "workspace").stdout
    assert "| SEAM (main)      | 1    | 30.0 |" in text
    assert "| SEAM (workspace) | seed   | 1     | +1.0 | one pair: no spread, no test |" in text


def test_what_cannot_be_compared_is_one_line(repository: Repository) -> None:
    result = call("seam-s0", "esp-s0")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines()[0] == (
        "Error: esp-s0: no experiment and no revision of git; "
        "there are eps-s0, eps-s1, seam-s0, seam-s1"
    )
    assert "main: no params.yaml" in call("main").stderr
    assert call().exit_code == 2


def test_missing_metrics_are_said(repository: Repository) -> None:
    params = {**PARAMS, "baseline": "seam", "seed": 5}
    files = run_files(params, RECIPE, {"seeds": {"mIoU": 1.0}})
    del files["metrics/seeds.json"]
    repository.experiment("broken", files)
    assert "- `broken`: metrics/seeds.json is missing; run it again." in call("broken").stdout


def test_it_starts_without_the_heavy_libraries() -> None:
    """torch alone takes seconds to import."""
    heavy = ["torch", "numpy", "scipy", "h5py", "dvc"]
    code = f"import sys, stages.compare; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
