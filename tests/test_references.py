"""What pages and docstrings name of the code is there: paths, modules, functions."""

import importlib
import re
from pathlib import Path

import pytest

from tests.import_closure import ROOT
from tests.test_rooms import ROOMS

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
FOLDERS = ("hsc", "stages", "benchmarks")
CODE = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
SETTINGS = [*sorted((ROOT / "recipes").glob("*.yaml")), ROOT / "params.yaml", ROOT / "dvc.yaml"]
TEXTS = [*PAGES, *CODE, *SETTINGS]
PATH = re.compile(
    r"(?<![\w./<{])((?:hsc|stages|tests|benchmarks|recipes|docs)/[\w./-]*\.(?:py|md|yaml|txt|json))"
)
MADE_UP = {"recipes/birds.yaml", "recipes/scenes.yaml", "hsc.base.cli.bar", "stages.x"}
"""A reader's own recipe, that of a measurement, a key in click's context, any stage."""
DOTTED = re.compile(rf"(?<![\w.])hsc\.(?:{'|'.join(ROOMS)})(?:\.\w+)*")
COMMAND = re.compile(r"python3? -m ((?:stages|benchmarks)\.(?!NAME)\w+)")
PLACEHOLDERS = ("NAME", "VERB_OBJECT", "KEY")


def title(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", TEXTS, ids=title)
def test_every_path_named_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for name in set(PATH.findall(text)):
        if name not in MADE_UP and not any(word in name for word in PLACEHOLDERS):
            assert (ROOT / name).exists() or (path.parent / name).exists(), name


@pytest.mark.parametrize("path", [*PAGES, *CODE], ids=title)
def test_every_module_function_and_command_named_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for name in sorted({*DOTTED.findall(text), *COMMAND.findall(text)}):
        if name not in MADE_UP:
            assert found(name), name


def found(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    parts = name.split(".")
    for count in range(len(parts), 1, -1):
        try:
            value = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            if not hasattr(value, part):
                return False
            value = getattr(value, part)
        return True
    return False
