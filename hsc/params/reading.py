"""The only reader of `params.yaml` and `recipes/`.

`params.yaml` says what is run (data set, baseline, contrast, their constants); the recipe
`recipes/<data>.yaml` says how, for that data set (sizes, schedules, rates), by baseline where they
differ. The two have no key in common. Everything is parsed once into frozen objects; an unknown
key, a wrong type or a wrong combination is an `HscError` that names file and key.
"""

from pathlib import Path
from typing import Any

import yaml

from hsc.base.errors import ExperimentError
from hsc.params.debug import shortened
from hsc.params.method import known_names
from hsc.params.parsing import parse, shorten
from hsc.params.recipe import Recipe
from hsc.params.run import RunParams


def load(params: Path, recipes: Path) -> tuple[RunParams, Recipe]:
    """Read `params.yaml` and the recipe that it names, shortened where `debug` says so.

    The sections of methods are read and not parsed (`hsc.params.method.choose`).
    Raises HscError: a missing or unreadable file, an unknown key, a value of the wrong type or
    range, a wrong combination; the text names the file and the key.
    """
    run = parse_run(params, _read_yaml(params))
    path = recipes / f"{run.data}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(path.stem for path in recipes.glob("*.yaml"))) or "none"
        raise ExperimentError(
            f"{params}: data: {run.data!r} has no recipe {path}; there are: {known}"
        )
    recipe = read_recipe(path)
    for section in ("train_cam", "infer_cams", "refine_crf"):
        if run.baseline not in (known := getattr(recipe, section)):
            raise ExperimentError(
                f"{params}: baseline: {shorten(run.baseline)} has no settings in {path} under "
                f"{section}; there are: {', '.join(known)}"
            )
    return run, shortened(recipe) if run.debug else recipe


def read_recipe(path: Path) -> Recipe:
    """One of `recipes/`, as it stands there. Raises HscError as `load` does."""
    return parse(path, _read_yaml(path), Recipe)


def parse_run(source: Path, values: Any) -> RunParams:
    """The content of a `params.yaml`; `source` names the file in errors. Raises HscError."""
    sections: dict[str, Any] = {}
    if isinstance(values, dict):
        names = known_names(values.get("baseline"), values.get("contrast"))
        sections = {key: value for key, value in values.items() if key in names}
        values = {key: value for key, value in values.items() if key not in names}
    run = parse(source, values, RunParams)
    run._sections.update(sections)
    return run


class _NoDuplicates(yaml.SafeLoader):
    """The safe loader, but a key that stands twice is an error: the first value would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _NoDuplicates)
    except OSError as error:
        raise ExperimentError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise ExperimentError(
            f"{path}: cannot be read as text ({error}); write it as UTF-8"
        ) from None
    except yaml.YAMLError as error:
        raise ExperimentError(f"{path}: not valid YAML: {error}") from None
