"""A folder of pictures of any name, given with `-S` as docs/data.md says, through real DVC."""

import shlex
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pytest
import yaml

from tests.command_blocks import copy_repository, reader_environment
from tests.sources.brought import IDS, bring
from tests.stage_runs import OWN, write_yaml

NAMES = [
    "2024",
    "my pictures",
    unicodedata.normalize("NFC", "été"),
    unicodedata.normalize("NFD", "été"),
    "pictures (1)",
    "a=b",
    "a#b",
    "[a],{b}:c;d",
    'it\'s "here" & $HOME',
    "50% ~mine",
]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose first stage is all that runs."""
    folder = tmp_path_factory.mktemp("odd") / "clone"
    copy_repository(folder)
    recipe = yaml.safe_load((folder / "recipes" / "shapes.yaml").read_text())
    recipe["prepare_data"] = OWN | {"saliency": "none", "path": "data/folder"}
    write_yaml(folder / "recipes" / "folder.yaml", recipe)
    pipeline = yaml.safe_load((folder / "dvc.yaml").read_text())["stages"]
    write_yaml(folder / "dvc.yaml", {"stages": {"prepare_data": pipeline["prepare_data"]}})
    for command in (["git", "init", "-q"], ["git", "add", "-A"], ["git", "commit", "-qm", "code"]):
        subprocess.run(command, cwd=folder, env=reader_environment(folder.parent), check=True)
    return folder


def typed(clone: Path, line: str) -> subprocess.CompletedProcess[str]:
    """A line that a person types into a shell."""
    return subprocess.run(
        ["bash", "-c", line], cwd=clone, env=reader_environment(clone.parent),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_path_in_quotes_of_its_own(clone: Path, tmp_path: Path, name: str) -> None:
    source = bring(tmp_path / name)
    quoted = str(source).replace('"', '\\"')
    override = shlex.quote(f'recipes/folder.yaml:prepare_data.path="{quoted}"')
    done = typed(clone, f"dvc exp run -S data=folder -S {override}")
    assert done.returncode == 0, done.stdout
    recipe = yaml.safe_load((clone / "recipes" / "folder.yaml").read_text())
    assert recipe["prepare_data"]["path"] == str(source)
    made = clone / "outputs" / "data" / "folder" / "JPEGImages"
    assert sorted(path.stem for path in made.iterdir()) == sorted(IDS)
    assert (made / "p00.jpg").read_bytes() == (source / "p00.jpg").read_bytes()
    shutil.rmtree(clone / "outputs" / "data" / "folder")


def test_what_dvc_says_without_them_is_explained(clone: Path) -> None:
    page = (clone / "docs" / "troubleshooting.md").read_text()
    for name, said in (("a#b", "LexerNoViableAltException"), ("a (1)", "mismatched input")):
        line = f"dvc exp run -S 'recipes/folder.yaml:prepare_data.path=/x/{name}'"
        done = typed(clone, line)
        assert done.returncode != 0
        assert said in done.stdout
        assert said in page
