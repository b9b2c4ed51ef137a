"""DVC's experiments as git has them, commits under `refs/exps/`; how git is asked."""

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hsc.base.errors import ExperimentError


@dataclass(frozen=True)
class Experiment:
    """One experiment: its name, its commit, the commit of the code it was made from.

    date: when it was committed, in seconds since 1970.
    """

    name: str
    sha: str
    parent: str
    date: int = 0


def git(*words: str, folder: Path = Path()) -> str:
    """What a git command prints. Raises HscError where it fails."""
    return printed("git", ["git", "-C", str(folder)], words)


def printed(title: str, start: Sequence[str], words: Sequence[str]) -> str:
    """What the command `start words` prints. Raises HscError, with `title`, where it fails."""
    done = subprocess.run([*start, *words], capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        raise ExperimentError(f"{title} {shlex.join(words)}: {done.stderr.strip()}")
    return done.stdout


def experiment_refs(folder: Path = Path()) -> list[Experiment]:
    """Every experiment of the repository in `folder`, whatever commit it was made from.

    Their refs are `refs/exps/AB/CDEF.../NAME`, where ABCDEF... is the parent; refs of DVC's own
    beside them (its queue, for instance) have another form.
    """
    found = []
    form = "--format=%(objectname) %(committerdate:unix) %(refname)"
    for line in git("for-each-ref", form, "refs/exps", folder=folder).splitlines():
        sha, date, ref = line.split(" ", 2)
        parts = ref.split("/")
        if len(parts) == 5 and len(parts[2]) == 2 and len(parts[3]) == 38:
            found.append(Experiment(parts[4], sha, parts[2] + parts[3], int(date)))
    return found


def committed_texts(sha: str, paths: Sequence[str], folder: Path = Path()) -> dict[str, str | None]:
    """What files of a commit hold, None for one that it does not have; by one call of git.

    Raises HscError where git fails.
    """
    asked = "".join(f"{sha}:{path}\n" for path in paths).encode()
    words = ["cat-file", "--batch"]
    done = subprocess.run(["git", "-C", str(folder), *words], input=asked, capture_output=True)
    if done.returncode:
        raise ExperimentError(f"git {shlex.join(words)}: {done.stderr.decode().strip()}")
    texts: dict[str, str | None] = {}
    rest = done.stdout
    for path in paths:
        head, _, rest = rest.partition(b"\n")  # "<sha> blob <bytes>", or "<asked> missing"
        if head.endswith(b" missing"):
            texts[path] = None
            continue
        size = int(head.split()[-1])
        texts[path] = rest[:size].decode("utf-8")
        rest = rest[size + 1 :]
    return texts
