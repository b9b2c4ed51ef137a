"""The house: which room of `hsc/` may know which, read from the imports."""

import ast
from pathlib import Path

import pytest

from tests.import_closure import ROOT, imported_files

ROOMS = (
    "base", "params", "losses", "store", "data", "sources", "nets", "scoring", "engine", "crf",
    "cam", "weights", "psa", "segmentation", "methods", "auxsegnet", "compare", "export",
    "demo", "report",
)  # fmt: skip
"""Each knows only rooms before it."""
PURE = (*sorted((ROOT / "hsc" / "losses").glob("*.py")), ROOT / "hsc" / "scoring" / "metrics.py")
ARITHMETIC = {"collections", "dataclasses", "math", "typing", "numpy", "torch"}


def room(path: Path) -> str:
    """The folder of a module of `hsc/`, or its own name where it stands beside them."""
    first = path.relative_to(ROOT / "hsc").parts[0]
    return first.removesuffix(".py")


def arrows() -> set[tuple[str, str, str]]:
    """(module, its room, the room of what it imports)"""
    return {
        (path.relative_to(ROOT).as_posix(), room(path), room(imported))
        for path in (ROOT / "hsc").rglob("*.py")
        for imported in imported_files(path)
        if imported.name != "__init__.py" and ROOT / "hsc" in imported.parents
    }


def test_every_room_has_its_place() -> None:
    folders = {path.parent.name for path in (ROOT / "hsc").glob("*/__init__.py")}
    modules = {path.stem for path in (ROOT / "hsc").glob("[!_]*.py")}
    assert folders | modules == set(ROOMS)


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_knows_only_those_before_it(name: str) -> None:
    before = ROOMS[: ROOMS.index(name)]
    wrong = {
        (module, to) for module, of, to in arrows() if of == name and to not in (name, *before)
    }
    assert not wrong


@pytest.mark.parametrize("path", PURE, ids=lambda path: path.stem)
def test_losses_and_scores_know_no_files_and_no_configuration(path: Path) -> None:
    """They import arithmetic, each other, and the class indices."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            own = name.startswith("hsc.losses") or name == "hsc.data.classes"
            assert own or name.split(".")[0] in ARITHMETIC, name
        if isinstance(node, ast.Name):
            assert node.id != "open"


def test_no_module_imports_in_a_circle() -> None:
    done: set[Path] = set()
    for path in sorted((ROOT / "hsc").rglob("*.py")):
        _walk(path, [], done)


def _walk(path: Path, way: list[Path], done: set[Path]) -> None:
    assert path not in way, " -> ".join(each.stem for each in [*way[way.index(path) :], path])
    if path in done or path.name == "__init__.py":
        return
    for imported in imported_files(path):
        if ROOT / "hsc" in imported.parents and imported != path:
            _walk(imported, [*way, path], done)
    done.add(path)


def test_tests_stand_where_their_room_does() -> None:
    rooms = {path.name for path in (ROOT / "tests").iterdir() if list(path.glob("test_*.py"))}
    assert rooms - {"benchmarks"} <= set(ROOMS)
    assert set(ROOMS) - {"store"} <= rooms


def test_names_of_test_files_are_unique() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))
