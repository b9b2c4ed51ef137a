"""The project files that a script imports, directly and through others, found in the source.

    python tests/import_closure.py stages/train_cam.py

prints what has to stand in the stage's `deps` in dvc.yaml.
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def import_closure(script: Path) -> list[str]:
    """Paths relative to the root, sorted: the script itself and every project file it imports."""
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported_files(path)
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def _imported_files(path: Path) -> list[Path]:
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
        print("\n".join(import_closure(Path(argument).resolve())))
