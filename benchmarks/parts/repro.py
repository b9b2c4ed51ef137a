"""The pipeline from nothing to its scores: what `dvc repro` adds to the commands that it runs.

The plain version is a shell's: the same commands, one after the other, of which nothing is kept and
nothing is known the next time. Both are run in clones of the last commit with an empty cache.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.part import Disagreement, PartResult, seconds
from hsc.base.errors import HscError

REPOSITORY = Path(__file__).parents[2]
WRITTEN = ("outputs", "metrics", "plots")
DVC = (sys.executable, "-m", "dvc")


def measure(repeats: int, repository: Path = REPOSITORY) -> PartResult:
    """All stages of the repository's dvc.yaml by hand and by DVC, and by DVC once more.

    Raises Disagreement where the two write other bytes.
    """
    times = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as name:
            by_hand, by_dvc = (clone(repository, Path(name) / where) for where in ("hand", "dvc"))
            commands = stage_commands(by_hand)
            plain = seconds(partial(run_all, by_hand, commands))
            first, again = (seconds(partial(run, by_dvc, [*DVC, "repro"])) for _ in range(2))
            compare(by_hand, by_dvc)
            times.append((plain, first, again))
    plain, first, again = (statistics.median(column) for column in zip(*times, strict=True))
    return PartResult(
        reference=f"the {len(commands)} commands of the stages, one after the other",
        fast="`dvc repro` in a clone, nothing cached",
        reference_seconds=plain,
        fast_seconds=first,
        wanted=0.9,
        agreement=f"the same bytes in every file; again, nothing changed: {again:.1f} s",
    )


def clone(repository: Path, target: Path) -> Path:
    """The last commit in a folder of its own."""
    run(repository, ["git", "clone", "--quiet", str(repository), str(target)])
    return target


def stage_commands(folder: Path) -> list[str]:
    """The commands that `dvc repro` would run, in its order."""
    printed = run(folder, [*DVC, "repro", "--dry", "--force"])
    return [line[2:] for line in printed.splitlines() if line.startswith("> ")]


def run_all(folder: Path, commands: Sequence[str]) -> None:
    """Run them in turn, in folders that are there, as DVC makes them."""
    for name in WRITTEN:
        (folder / name).mkdir(exist_ok=True)
    for command in commands:
        run(folder, ["sh", "-c", command])


def run(folder: Path, words: Sequence[str]) -> str:
    """What the command prints; `python` is this one. Raises HscError when it fails."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        words, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    if done.returncode:
        raise HscError(f"repro: `{' '.join(words)}` failed: {done.stdout}{done.stderr}")
    return done.stdout


def compare(one: Path, other: Path) -> None:
    """Raise Disagreement unless both folders hold the same files of the stages."""
    ours, theirs = (
        {
            path.relative_to(folder): path.read_bytes()
            for name in WRITTEN
            for path in (folder / name).rglob("*")
            if path.is_file()
        }
        for folder in (one, other)
    )
    different = sorted(
        str(name) for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)
    )
    if different or not ours:
        raise Disagreement(f"by hand and by DVC other bytes: {', '.join(different[:5]) or 'none'}")
