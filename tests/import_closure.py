"""What a script imports of the project, directly and through others, found in the source.

    python tests/import_closure.py stages/train_cam.py

prints what has to stand in the stage's `deps` in dvc.yaml: the rooms of the package that can change
its bytes, and the script itself.
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NO_DEPENDENCIES = {"hsc/base", "hsc/params"}
"""How an error reads and a file is written whole; and parameters, whose values DVC tracks."""
METHODS = ROOT / "hsc" / "methods"
"""Whoever trains a method finds its modules by name, so that no import shows them."""


def import_closure(script: Path) -> list[Path]:
    """The script itself and every project file it imports, sorted."""
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += imported_files(path)
            if path.parent == METHODS:
                waiting += METHODS.glob("*/*.py")
    return sorted(found)


def code_dependencies(script: Path) -> list[str]:
    """Relative to the root: rooms (folders of `hsc/`), single files beside them, the script."""
    paths = (path.relative_to(ROOT) for path in import_closure(script))
    parts = {Path(*path.parts[:2]) for path in paths}  # a file beside the rooms is its own
    names = {part.as_posix() for part in parts if part.name != "__init__.py"}
    return sorted(names - NO_DEPENDENCIES)


def imported_files(path: Path) -> list[Path]:
    """The project files that one file imports."""
    files = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = [module] + [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            files += _files_of(name)
    return files


def _files_of(module: str) -> list[Path]:
    """The module's file and the __init__ of every package on the way, where they are ours."""
    parts = module.split(".")
    files = []
    for length in range(1, len(parts) + 1):
        base = ROOT.joinpath(*parts[:length])
        files += [base / "__init__.py", base.with_suffix(".py")]
    return [path for path in files if path.is_file()]


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print("\n".join(code_dependencies(Path(argument).resolve())))
