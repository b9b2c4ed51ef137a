"""The part that runs a pipeline to its end, on a pipeline of two stages."""

from pathlib import Path

import pytest

from benchmarks.part import Disagreement
from benchmarks.parts import repro
from hsc.base.errors import HscError
from tests.experiment_repository import Repository

PIPELINE = """stages:
  one:
    cmd: python -c "import pathlib; pathlib.Path('outputs/a').write_text('{text}')"
    outs: [outputs/a]
  two:
    cmd: python -c "import shutil; shutil.copy('outputs/a', 'outputs/b')"
    deps: [outputs/a]
    outs: [outputs/b]
"""


def repository(folder: Path, text: str = "1") -> Path:
    folder.mkdir()
    made = Repository(folder)
    repro.run(folder, [*repro.DVC, "init"])
    made.write({"dvc.yaml": PIPELINE.replace("{text}", text), "outputs/.gitignore": "/a\n/b\n"})
    made.commit("pipeline")
    return folder


def test_both_ways_write_the_same(tmp_path: Path) -> None:
    result = repro.measure(1, repository(tmp_path / "repository"))
    assert result.reference.startswith("the 2 commands of the stages")
    assert result.reference_seconds > 0 < result.fast_seconds
    assert "nothing changed: " in result.agreement


def test_the_order_is_that_of_the_pipeline(tmp_path: Path) -> None:
    one, two = repro.stage_commands(repository(tmp_path / "repository"))
    assert "write_text" in one
    assert "copy" in two


def test_other_bytes_are_noticed(tmp_path: Path) -> None:
    with pytest.raises(Disagreement, match="outputs/a, outputs/b"):
        repro.measure(1, repository(tmp_path / "repository", "'+str(pathlib.Path.cwd())+'"))


def test_a_stage_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(HscError, match=r"repro: .* failed: (.|\n)*NameError"):
        repro.measure(1, repository(tmp_path / "repository", "'+other+'"))


def test_folders_without_files_agree_about_nothing(tmp_path: Path) -> None:
    with pytest.raises(Disagreement, match="none"):
        repro.compare(tmp_path, tmp_path)
