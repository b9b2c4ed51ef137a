"""Queue the runs of an experiment table, those that are missing.

    python -m benchmarks.queue --data shapes --rows main --seeds 0,1,2,3,4 --data-seeds 0,1
    OMP_NUM_THREADS=1 dvc queue start -j 2

The order is balanced if it is cut short: training seeds outermost, then data seeds, then rows.
"""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from benchmarks.dvc_command import dvc
from benchmarks.rows import TABLES, Row, Table, select
from benchmarks.runs import read_runs
from hsc.base import cli
from hsc.base.errors import HscError
from hsc.compare.experiments import experiment_refs, git

Run = tuple[Row, int, int]
"""Row, data seed, seed."""


def order(rows: Sequence[Row], data_seeds: Sequence[int], seeds: Sequence[int]) -> list[Run]:
    """Every run, such that any beginning of the list has about as many of each row."""
    return [(row, data_seed, seed) for seed in seeds for data_seed in data_seeds for row in rows]


def command(table: Table, run: Run, targets: Iterable[str], more: Iterable[str] = ()) -> list[str]:
    """`dvc exp run --queue` of one run, as far as the target stages; `more` overrides besides."""
    row, data_seed, seed = run
    name = table.run_name(row.key, data_seed, seed)
    overrides = [*table.overrides(data_seed), *row.overrides, f"seed={seed}", *more]
    options = [word for override in overrides for word in ("-S", override)]
    return ["dvc", "exp", "run", "--queue", "-n", name, *options, *targets]


def waiting(status: str) -> set[str]:
    """Names of the experiments that `dvc queue status` says are queued or running."""
    lines = [line.split() for line in status.splitlines()]
    return {words[1] for words in lines if words and words[-1] in ("Queued", "Running")}


def seeds_of(text: str) -> list[int]:
    """ "0,1,2" as numbers. Raises HscError for anything else."""
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise HscError(f"seeds: {text!r} is no list of numbers; write for instance 0,1,2") from None


def present() -> set[str]:
    """Names of the experiments that there are, that wait in the queue or that run now.

    An experiment counts whichever commit it was made from.
    """
    return {ref.name for ref in experiment_refs()} | waiting(dvc("queue", "status"))


def require_committed() -> None:
    """Raise HscError for changes that are not committed: every queued run would carry them."""
    changes = git("status", "--porcelain", "--untracked-files=no")
    if changes:
        raise HscError(
            "git: there are changes that are not committed, and every run would carry them; "
            f"commit or stash\n{changes.rstrip()}"
        )


@cli.command
@click.option("--data", type=click.Choice([*TABLES]), required=True, help="Whose table.")
@click.option("--rows", required=True, help="A group such as main, or keys: seam,eps.")
@click.option("--seeds", default="0,1,2,3,4", help="Training seeds.")
@click.option("--data-seeds", default="0", help="Seeds of the data set, where it has one.")
@click.option(
    "--target",
    "targets",
    multiple=True,
    help="Stage to run up to, several times for several; the table's own where none is given.",
)
@click.option("--set", "more", multiple=True, help="An override of every run: KEY=VALUE.")
@click.option("--collected", type=cli.PATH, help="A file of collect: its runs are there already.")
@click.option("--dry-run", is_flag=True, help="Print the commands, queue nothing.")
def main(
    data: str, rows: str, seeds: str, data_seeds: str, targets: tuple[str, ...],
    more: tuple[str, ...], collected: Path | None, dry_run: bool,
) -> str:  # fmt: skip
    """Queue one experiment a row, data seed and seed; those that there are already are left out."""
    table = TABLES[data]
    drawn = seeds_of(data_seeds)
    if drawn != [0] and not table.has_data_seed:
        raise HscError(f"data-seeds: {data} is not drawn; leave the option out")
    runs = order(select(rows), drawn, seeds_of(seeds))
    known = present() | set(read_runs(collected) if collected else ())
    missing = [run for run in runs if table.run_name(run[0].key, *run[1:]) not in known]
    if not dry_run:
        require_committed()
    for run in missing:
        words = command(table, run, targets or table.targets, more)
        click.echo(shlex.join(words))
        if not dry_run:
            dvc(*words[1:])
    verb = "to queue" if dry_run else "queued"
    return f"{len(missing)} runs {verb}, {len(runs) - len(missing)} there already"


if __name__ == "__main__":
    main()
