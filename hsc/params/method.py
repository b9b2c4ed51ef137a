"""The door to the methods: which module a name in `params.yaml` means, and its section parsed.

`contrast: hsc` is the module `hsc.methods.contrasts.hsc`; `contrast: mine` is the module `mine` on
Python's path, on which is the folder that DVC runs in; `contrast: a.b` the module `a.b`. The module
says what it holds by `CONTRAST`, a class as `hsc.methods.contrast.Contrast`. Its constants are the
section of that name, for the last `a: {b: ...}`. Baselines alike, by `BASELINE`. Modules are
imported by name and only here: a stage that trains no CAM loads no torch.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hsc.base.errors import ExperimentError
from hsc.base.settings import value_at
from hsc.params.base import Frozen
from hsc.params.parsing import parse, shorten
from hsc.params.run import RunParams

NONE = "none"
_METHODS = Path(__file__).resolve().parents[1] / "methods"
_KINDS = {"baseline": "baselines", "contrast": "contrasts"}


@dataclass(frozen=True)
class MethodChoice:
    """`seed`, `baseline` and `contrast` of a `params.yaml` with the constants of both.

    baseline: a `hsc.methods.baseline.Baseline`. contrast: a class as
    `hsc.methods.contrast.Contrast`, and its `Params`; None for `none`.
    """

    seed: int
    names: tuple[str, str]
    baseline: Any
    contrast: Any = None
    contrast_params: Any = None

    @property
    def settings(self) -> list[Frozen]:
        """The constants of the baseline and of the contrast, if there is one."""
        parts = (self.baseline.params, self.contrast_params)
        return [part for part in parts if part is not None]


class ContrastChoice(NamedTuple):
    """A contrast by its name, its class as `hsc.methods.contrast.Contrast`, and its constants."""

    name: str
    kind: Any
    params: Any


def own_names(word: str) -> set[str]:
    """The baselines (word: `baseline`) or contrasts of this package."""
    return {path.stem for path in (_METHODS / _KINDS[word]).glob("[!_]*.py")}


def known_names(*chosen: Any) -> set[str]:
    """The keys of `params.yaml` that may be sections of methods."""
    outside = {name.split(".")[0] for name in chosen if isinstance(name, str)}
    return own_names("baseline") | own_names("contrast") | outside | {NONE}


def choose(run: RunParams, source: Path) -> MethodChoice:
    """The method that `run` names, from the modules of its baseline and contrast.

    source: the `params.yaml`, for errors. Raises HscError for a name that no module has, and for
    constants, also of methods that are not chosen, that are missing or of a wrong type or range,
    all of them in one error; for the chosen ones' if they contradict each other.
    """
    names = {"baseline": {run.baseline}, "contrast": {run.contrast} - {NONE}}
    found, constants, problems = {}, {}, []
    for word, chosen in names.items():
        for name in sorted(chosen | own_names(word) & run.sections.keys()):
            try:
                found[name] = _find(word, name, source)
                constants[name] = _constants(run, name, found[name].Params, source)
            except ExperimentError as error:
                problems.append(str(error))
    if problems:
        raise ExperimentError("\n".join(problems))
    try:
        baseline = found[run.baseline](constants[run.baseline], run.contrast != NONE)
        if run.contrast != NONE:
            found[run.contrast].check(constants[run.contrast])
    except ValueError as error:
        raise ExperimentError(f"{source}: {error}") from None
    contrast = found.get(run.contrast), constants.get(run.contrast)
    return MethodChoice(run.seed, (run.baseline, run.contrast), baseline, *contrast)


def choose_segmentation_contrast(run: RunParams, source: Path) -> ContrastChoice | None:
    """What `segmentation_contrast` names; None for `none`. Raises HscError as `choose`."""
    name = run.segmentation_contrast
    if name == NONE:
        return None
    kind = _find("contrast", name, source)
    params = _constants(run, name, kind.Params, source)
    try:
        kind.check(params)
    except ValueError as error:
        raise ExperimentError(f"{source}: {error}") from None
    return ContrastChoice(name, kind, params)


def _find(word: str, name: str, source: Path) -> Any:
    attribute = word.upper()
    for module in (f"hsc.methods.{_KINDS[word]}.{name}", name):
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise  # the module is there, and what it imports is not
            continue
        if hasattr(found, attribute):
            return getattr(found, attribute)
    own = sorted(own_names(word)) + ([NONE] if word == "contrast" else [])
    raise ExperimentError(
        f"{source}: {word}: {shorten(name)} is none; there are: {', '.join(own)}, and modules on "
        f"Python's path that have {attribute} (CONTRIBUTING.md)"
    )


def _constants(run: RunParams, name: str, kind: type[Frozen], source: Path) -> Frozen:
    values = value_at(dict(run.sections), name)
    if name.split(".")[0] not in run.sections:
        raise ExperimentError(
            f"{source}: {name}: Field required; {{}} for a method without constants"
        )
    if isinstance(values, dict):
        # The defaults are for Python code: what is run stands in the file, in full.
        keys = [field.alias or key for key, field in kind.model_fields.items()]
        missing = [f"{name}.{key}" for key in keys if key not in values]
        if missing:
            raise ExperimentError("\n".join(f"{source}: {key}: Field required" for key in missing))
    return parse(source, values, kind, name)
