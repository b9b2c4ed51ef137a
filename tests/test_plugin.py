"""docs/plugin.md: the contrast on somebody's own network, with the package alone."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.import_closure import ROOT

BLOCKS = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "docs" / "plugin.md").read_text(), re.MULTILINE | re.DOTALL
)
WITHOUT = "import sys\nfor name in ('dvc', 'stages'):\n    sys.modules[name] = None\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `pip install .` put the package; what it needs is here already."""
    folder = tmp_path_factory.mktemp("plugin")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copyfile(ROOT / name, source / name)
    shutil.copytree(ROOT / "hsc", source / "hsc", ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--target", str(folder / "site")]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(source)], check=True)
    return folder / "site"


def test_the_loop_has_twenty_lines() -> None:
    _, loop = BLOCKS
    assert len([line for line in loop.splitlines() if line.strip()]) <= 20


def test_it_runs_as_it_stands(site: Path, tmp_path: Path) -> None:
    where = "import hsc\nprint(hsc.__file__)\n"
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT + where + "\n".join(BLOCKS)],
        cwd=tmp_path, env={"PYTHONPATH": str(site), "PATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    place, *steps = done.stdout.splitlines()
    assert Path(place).is_relative_to(site)
    assert len(steps) == 3
    for step in steps:
        assert re.fullmatch(r"\{'roi': [\d.]+, 'class': [\d.]+, 'pixel': [\d.]+\}", step), step
    assert steps[0] != steps[1]


def test_every_room_is_installed(site: Path) -> None:
    def files(folder: Path) -> set[str]:
        found = (path for path in folder.rglob("*") if path.suffix in {".py", ".html", ".css"})
        return {path.relative_to(folder).as_posix() for path in found}

    assert files(site / "hsc") == files(ROOT / "hsc")
