"""Every error that the user can mend names a document, by where it is raised."""

import ast
import inspect
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from hsc.base import errors
from hsc.base.errors import HscError
from tests.import_closure import ROOT

KINDS = {
    name: kind
    for name, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, HscError)
}
ALLOWED = {
    "hsc/data/pictures.py": {"PredictionError"},
    "hsc/data/voc.py": {"DataError", "SaliencyError"},
    "hsc/data/label_maps.py": {"HscError"},
    "hsc/data/*.py": {"DataError"},
    "hsc/sources/saliency*.py": {"SaliencyError"},
    "hsc/sources/folder.py": {"DataError", "SaliencyError"},
    "hsc/sources/stage.py": {"DataError", "SaliencyError"},
    "hsc/sources/*.py": {"DataError"},
    "hsc/nets/*.py": {"WeightsError", "ExperimentError"},
    "hsc/weights/imported.py": {"WeightsError", "DataError"},
    "hsc/weights/*.py": {"WeightsError"},
    "hsc/params/*.py": {"ExperimentError"},
    "hsc/demo/*.py": {"PredictionError", "MachineError"},
    "hsc/export/onnx_file.py": {"PredictionError"},
    "hsc/export/*.py": {"AnnotationError"},
    "hsc/compare/*.py": {"ExperimentError"},
    "hsc/segmentation/prediction*.py": {"PredictionError"},
    "hsc/segmentation/submission.py": {"SubmissionError"},
    "hsc/engine/runtime.py": {"MachineError"},
    "hsc/base/download.py": {"DataError"},
    "hsc/base/disk_space.py": {"DataError"},
    "hsc/base/launch.py": {"MachineError"},
    "hsc/*.py": set(KINDS),
    "stages/*.py": set(KINDS),
}
"""Which kinds a file may raise; the first pattern that it matches counts."""
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("hsc", "stages")
    for path in (ROOT / folder).rglob("*.py")
)


def made(path: Path) -> Iterator[tuple[int, str]]:
    """Line and kind of each error that a file makes, to be raised here or by its caller."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS:
            yield node.lineno, node.func.id


@pytest.mark.parametrize("name", FILES)
def test_an_error_is_of_the_kind_of_its_place(name: str) -> None:
    allowed = next(kinds for pattern, kinds in ALLOWED.items() if fnmatchcase(name, pattern))
    for line, kind in made(ROOT / name):
        assert kind in allowed, f"{name}:{line}: {kind}, not {' or '.join(sorted(allowed))}"


def test_every_kind_is_used() -> None:
    found = {kind for name in FILES for _, kind in made(ROOT / name)}
    assert found == set(KINDS)


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_a_kind_differs_from_the_others_in_its_page_alone(kind: type[HscError]) -> None:
    assert (ROOT / kind.page).is_file()
    assert str(kind("text of the error")) == "text of the error"
    assert [other for other in KINDS.values() if other.page == kind.page] == [kind]
