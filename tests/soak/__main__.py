"""Try all faults, or as many as fit into some minutes, and write the table of what came out."""

import os
import random
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import click
import torch

from tests.soak.faults import KINDS, LOST, OUTCOMES, Result, Soak, try_all
from tests.soak.repository import make_first, may_mount

MARKS = ("<!-- soak -->", "<!-- end of soak -->")


@click.command()
@click.option("--seed", type=int, default=None, help="Of the moments and bits; drawn by default.")
@click.option("--minutes", type=float, default=None, help="Stop in time; all faults by default.")
@click.option("--out", type=click.Path(path_type=Path), help="Put the table into this document.")
def main(seed: int | None, minutes: float | None, out: Path | None) -> None:
    """Ends with code 1 if anything was lost."""
    start = time.monotonic()
    seed = random.SystemRandom().randrange(1 << 32) if seed is None else seed
    click.echo(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="soak.") as name:
        place = Path(name)
        os.environ["HSC_RUNS"] = str(place / "runs")  # no run may write into the user's home
        first, seconds = make_first(place / "first" / "clone")
        soak = Soak(first, seconds, first.digests(), random.Random(seed), may_mount())
        if not soak.mounts:
            click.echo("no disks can be mounted here: full disks and a small /dev/shm are left out")
        results = []
        until = None if minutes is None else start + 60 * minutes
        late = lambda: until is not None and time.monotonic() > until  # noqa: E731
        for result in try_all(soak, soak.faults(), place, late):
            results.append(result)
            click.echo(f"{result.outcome:13} {result.kind}: {result.name}")
            if result.outcome == LOST:
                click.echo(result.text)
    took = (time.monotonic() - start) / 60
    text = table(results) + f"\n\n{date.today()}, seed {seed}, {took:.0f} minutes, {versions()}."
    click.echo(text)
    if out is not None:
        write(out, text)
    if any(result.outcome == LOST for result in results):
        sys.exit(1)


def table(results: Sequence[Result]) -> str:
    """A row a kind: how many faults, and how many of each outcome; and all together."""
    lines = [f"| | faults | {' | '.join(OUTCOMES)} |", "| --- " * (2 + len(OUTCOMES)) + "|"]
    for kind, meaning in KINDS.items():
        of_kind = [result.outcome for result in results if result.kind == kind]
        lines.append(_row(f"{kind}: {meaning}", of_kind))
    lines.append(_row("**all**", [result.outcome for result in results]))
    return "\n".join(lines)


def _row(name: str, outcomes: Sequence[str]) -> str:
    counts = [len(outcomes), *(list(outcomes).count(outcome) for outcome in OUTCOMES)]
    return f"| {name} | {' | '.join(map(str, counts))} |"


def versions() -> str:
    """What it ran on."""
    from dvc import __version__ as dvc

    return f"Python {sys.version.split()[0]}, torch {torch.__version__.split('+')[0]}, DVC {dvc}"


def write(path: Path, text: str) -> None:
    """Put the text between the marks of a document. Raises ValueError where it has none."""
    page = path.read_text(encoding="utf-8")
    between = re.compile(f"(?<={re.escape(MARKS[0])}\n).*?(?={re.escape(MARKS[1])})", re.DOTALL)
    if not between.search(page):
        raise ValueError(f"{path}: no {MARKS[0]} … {MARKS[1]} in it")
    path.write_text(between.sub(lambda _: f"\n{text}\n\n", page), encoding="utf-8")


if __name__ == "__main__":
    main()
