"""Where a run is from: the code's commit, the versions, the digests of its weights."""

import importlib.metadata
import platform
import shlex
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hsc.base.errors import HscError
from hsc.base.files import digest_file
from hsc.base.off import OFF
from hsc.base.settings import LOADER, flat, value_at
from hsc.report.timings import Timing

PACKAGES = (
    "hsc", "torch", "torchvision", "numpy", "scipy", "pydensecrf2",
    "opencv-contrib-python-headless", "pillow", "h5py", "pydantic", "matplotlib", "dvc",
)  # fmt: skip
"""The installed packages that have a say in what comes out, or in how the run is kept."""
_WRITTEN_BY_RUNS = ("dvc.lock", "metrics/", "plots/")


@dataclass(frozen=True)
class Commit:
    """The code's state in git.

    changed: tracked files that differ from the commit, but for parameters and what runs write.
    overrides: parameters that differ from it, `key=value` as `dvc exp run -S` takes them; None
    where the commit has no such file to compare with.
    """

    sha: str
    changed: tuple[str, ...]
    overrides: tuple[str, ...] | None

    @property
    def command(self) -> str:
        """What runs this again from the commit."""
        if not self.overrides:
            return "dvc repro"
        return " ".join(["dvc exp run", *(f"-S {shlex.quote(each)}" for each in self.overrides)])


@dataclass(frozen=True)
class Version:
    """Of a package, in this environment; `then`: other versions, and the stages that had them."""

    name: str
    now: str | None
    then: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True)
class Change:
    """A parameter that is not as it was when stages ran; the values as YAML."""

    key: str
    then: str
    now: str
    stages: tuple[str, ...]


@dataclass(frozen=True)
class Weights:
    """A file and its SHA-256, None for PSA's network where PSA is off."""

    file: str
    bytes: int
    sha256: str | None


def read_commit(params: Path, recipe: Path) -> Commit | None:
    """The commit of the working copy that `params` is tracked in; None where there is none."""
    folder = params.resolve().parent
    if _git(folder, "ls-files", "--error-unmatch", params.name) is None:
        return None
    sha = _git(folder, "rev-parse", "HEAD")
    status = _git(folder, "diff", "HEAD", "--name-only", "--relative")
    if sha is None or status is None:
        return None
    settings = {_within(path, folder): path for path in (params, recipe)}
    changed = tuple(
        name
        for name in status.splitlines()
        if name not in settings and not name.startswith(_WRITTEN_BY_RUNS)
    )
    return Commit(sha.strip(), changed, _overrides(folder, settings))


def _within(path: Path, folder: Path) -> str:
    resolved = path.resolve()
    inside = resolved.is_relative_to(folder)
    return resolved.relative_to(folder).as_posix() if inside else str(resolved)


def _overrides(folder: Path, settings: Mapping[str, Path]) -> tuple[str, ...] | None:
    found = []
    for name, path in settings.items():
        committed = _git(folder, "show", f"HEAD:./{name}")
        if committed is None:
            return None
        then, now = (flat(yaml.safe_load(text)) for text in (committed, path.read_text("utf-8")))
        if then.keys() - now.keys():
            return None  # a key that is gone cannot be said as an override
        prefix = "" if name == "params.yaml" else f"{name}:"
        found += [
            f"{prefix}{key}={_word(value)}"
            for key, value in now.items()
            if key not in then or value != then[key]
        ]
    return tuple(found)


def _word(value: Any) -> str:
    """A value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says; None where it fails or is not installed."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError, UnicodeDecodeError):
        return None
    return done.stdout


def read_changes(lock: Path, params: Path, recipe: Path) -> tuple[Change, ...]:
    """What `dvc.lock` says that stages ran with and is otherwise now; nothing without such a file.

    Only a stage of the lock that ran with this recipe or with none can be compared key by key; of
    another, that `data` differs is enough. Raises HscError for a lock that is no YAML of stages.
    """
    if not lock.exists():
        return ()
    try:
        stages = yaml.load(lock.read_text("utf-8"), LOADER)["stages"]
        recorded = [
            (name, Path(file).name, key, then)
            for name, stage in stages.items()
            for file, values in stage.get("params", {}).items()
            for key, then in values.items()
        ]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        raise HscError(f"{lock}: cannot be read; restore it (`git checkout dvc.lock`)") from None
    now = {path.name: yaml.safe_load(path.read_text("utf-8")) for path in (params, recipe)}
    found: dict[tuple[str, str, str], list[str]] = {}
    for name, file, key, then in recorded:
        if file not in now:
            continue
        before, after = flat(then, key), flat(value_at(now[file], key), key)
        for each in before | after:
            if before.get(each) != after.get(each):
                words = each, _word(before.get(each)), _word(after.get(each))
                found.setdefault(words, []).append(name)
    return tuple(Change(*words, tuple(stages)) for words, stages in found.items())


def read_versions(timings: Iterable[Timing]) -> tuple[Version, ...]:
    """Python and PACKAGES here, and what the stages' records say otherwise."""
    now = {"python": platform.python_version(), **{name: _installed(name) for name in PACKAGES}}
    then: dict[str, dict[str, list[str]]] = {}
    for timing in timings:
        recorded = timing.record.versions if timing.record is not None else {}
        for name, version in recorded.items():
            if now.get(name) != version:
                then.setdefault(name, {}).setdefault(version, []).append(timing.stage.name)
    return tuple(
        Version(
            name,
            now.get(name),
            tuple((version, tuple(stages)) for version, stages in then.get(name, {}).items()),
        )
        for name in [*now, *sorted(then.keys() - now.keys())]
    )


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def read_weights(outputs: Path, timings: Iterable[Timing] = ()) -> tuple[Weights, ...]:
    """Every weights file and the CAM file in `outputs`, by name.

    timings: their records were found by these digests, so that such a file is not read once more.
    Raises HscError as digest_file.
    """
    known = {each.stage.product: each.record.digest for each in timings if each.record is not None}
    files = [*sorted(outputs.glob("*.pt")), *sorted(outputs.glob("cams.h5"))]
    return tuple(
        Weights(path.name, path.stat().st_size, None if _is_off(path) else digest)
        for path in files
        for digest in [known.get(path.name) or digest_file(path)]
    )


def _is_off(path: Path) -> bool:
    """Whether it is only the mark of a stage that was off."""
    mark = OFF.encode()
    return path.stat().st_size == len(mark) and path.read_bytes() == mark
