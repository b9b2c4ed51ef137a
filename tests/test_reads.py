"""What a stage reads of params.yaml and its recipe is what dvc.yaml declares, no more and no less.

More, and a change would not run it again; less, and a change would run it for nothing.
"""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hsc.params.reading import load
from hsc.params.recipe import Recipe
from hsc.params.run import PsaParams, RunParams, SeedParams
from hsc.params.segmentation import SegmentationPredictions, SegmentationTrainings
from tests.stage_runs import ROOT, change, run_well, stages, write_settings

DECLARED = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PLACES = {
    RunParams: "",
    Recipe: "",
    PsaParams: "psa.",
    SeedParams: "seeds.",
    SegmentationTrainings: "train_segmentation.",
    SegmentationPredictions: "predict_segmentation.",
}
"""Where the keys of a section stand."""
CHOOSERS = {
    "choose": ("baseline", "contrast"),
    "choose_segmentation_contrast": ("segmentation_contrast",),
}
INNER = {"psa", "seeds", "train_segmentation", "predict_segmentation"}
VALUES = {"data": "shapes", "baseline": "seam"}
RUNS = (
    {"contrast": "hsc", "segmentation": "auxsegnet", "segmentation_contrast": "dscnet"},
    {"contrast": "dscnet", "segmentation": "deeplab", "segmentation_contrast": "none"},
)
"""Two that together use all branches of the stages."""
BY_BASELINE = {"train_cam", "infer_cams", "refine_crf"}
ASKED = {
    "prepare_data": {
        "seed", "baseline", "contrast", "seam", "hsc", "segmentation", "segmentation_contrast",
        "dscnet",
    }
}  # fmt: skip
"""Read and not declared: prepare_data refuses what the planned run could not use, before hours go
into it, and makes the same data set whatever they say. Declared, a change of method would unpack
COCO again."""


@pytest.fixture
def seen() -> Iterator[set[str]]:
    """The keys that are read, from when the parameters have been checked."""
    found: set[str] = set()
    with pytest.MonkeyPatch.context() as patch:
        for kind, place in PLACES.items():
            patch.setattr(kind, "__getattribute__", _noting(kind, place, found))
        yield found


class Noted(dict):
    """A section with a key for each baseline."""

    def __init__(self, values: dict[str, Any], place: str, found: set[str]) -> None:
        super().__init__(values)
        self._place, self._found = place, found

    def __getitem__(self, name: str) -> Any:
        self._found.add(f"{self._place}.{name}")
        return super().__getitem__(name)


def _noting(kind: type, place: str, found: set[str]) -> Callable[[Any, str], Any]:
    def get(self: Any, name: str) -> Any:
        value = super(kind, self).__getattribute__(name)
        if name in BY_BASELINE:
            return Noted(value, name, found)
        if name in kind.model_fields and f"{place}{name}" not in INNER:
            found.add(f"{place}{name}")
        return value

    return get


def _noting_names(function: Any, words: tuple[str, ...], found: set[str]) -> Any:
    """A chooser of methods reads the sections that have their names."""

    def choose(run: RunParams, source: Path) -> Any:
        found.update({getattr(run, word) for word in words} - {"none"})
        return function(run, source)

    return choose


def declared(name: str, values: dict[str, str]) -> set[str]:
    """The keys under a stage's `params`, those of params.yaml and of the recipe."""
    body = DECLARED[name].get("do", DECLARED[name])
    keys = []
    for entry in body["params"]:
        keys += [entry] if isinstance(entry, str) else next(iter(entry.values()))
    for key, value in values.items():
        keys = [each.replace(f"${{{key}}}", value) for each in keys]
    return set(keys)


def shortened_sections(folder: Path) -> set[str]:
    """The sections of the recipe that `debug` changes."""
    recipes = []
    for debug in (False, True):
        change(folder / "params.yaml", debug=debug)
        recipes.append(load(folder / "params.yaml", folder / "recipes")[1].model_dump())
    change(folder / "params.yaml", debug=False)
    return {name for name, value in recipes[0].items() if recipes[1][name] != value}


def test_stages_read_what_they_declare(
    tmp_path: Path, seen: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings(tmp_path)
    by_debug = shortened_sections(tmp_path)

    def load_unseen(*paths: Path) -> Any:
        found = load(*paths)
        seen.clear()
        seen.add("data")  # which names the recipe
        return found

    reads: dict[str, set[str]] = {}
    for psa, chosen in ((True, RUNS[0]), (False, RUNS[1])):
        change(tmp_path / "params.yaml", psa__enabled=psa, **chosen)
        for stage in stages():
            module = importlib.import_module(stage.cmd.split()[2])
            monkeypatch.setattr(module, "load", load_unseen)
            for chooser, words in CHOOSERS.items():
                if function := getattr(module, chooser, None):
                    monkeypatch.setattr(module, chooser, _noting_names(function, words, seen))
            seen.clear()
            run_well(stage, tmp_path)
            name = stage.cmd.split()[2].removeprefix("stages.")
            reads[name] = reads.get(name, set()) | seen
    for name, found in reads.items():
        if {key.split(".")[0] for key in found} & by_debug:
            found.add("debug")
        asked = ASKED.get(name, set())
        assert asked <= found, name
        found -= asked
        keys = set().union(*(declared(name, VALUES | chosen) for chosen in RUNS)) - {"none"}
        covered = {
            key: {read for read in found if f"{read}.".startswith(f"{key}.")} for key in keys
        }
        assert found == set().union(*covered.values()), name
        assert all(covered.values()), (name, covered)
