"""DVC's experiments as git has them, commits under `refs/exps/`; how git and DVC are called."""

import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from hsc.errors import HscError


@dataclass(frozen=True)
class Experiment:
    """One experiment: its name, its commit, and the commit of the code it was made from."""

    name: str
    sha: str
    parent: str


def git(*words: str, folder: Path = Path()) -> str:
    """What a git command prints. Raises HscError where it fails."""
    return _printed("git", ["git", "-C", str(folder)], words)


def dvc(*words: str) -> str:
    """What a DVC command of this environment prints. Raises HscError where it fails."""
    return _printed("dvc", [sys.executable, "-m", "dvc"], words)


def _printed(title: str, start: list[str], words: tuple[str, ...]) -> str:
    done = subprocess.run([*start, *words], capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        raise HscError(f"{title} {shlex.join(words)}: {done.stderr.strip()}")
    return done.stdout


def experiment_refs(folder: Path = Path()) -> list[Experiment]:
    """Every experiment of the repository in `folder`, whatever commit it was made from.

    Their refs are `refs/exps/AB/CDEF.../NAME`, where ABCDEF... is the parent; refs of DVC's own
    beside them (its queue, for instance) have another form.
    """
    found = []
    for line in git(
        "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps", folder=folder
    ).splitlines():
        sha, ref = line.split(" ", 1)
        parts = ref.split("/")
        if len(parts) == 5 and len(parts[2]) == 2 and len(parts[3]) == 38:
            found.append(Experiment(parts[4], sha, parts[2] + parts[3]))
    return found
