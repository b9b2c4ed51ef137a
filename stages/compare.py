"""Compare runs: mean ± standard deviation over seeds, and a paired test where seeds match.

    python -m stages.compare seam eps
    python -m stages.compare 'seam-d*' 'eps-d*' --metric seeds --by-class --out comparison.md
    python -m stages.compare main workspace

No stage of the pipeline: it reads what runs have left and changes nothing.
"""

from pathlib import Path

import click

from hsc.base.cli import PATH, command
from hsc.base.files import atomic_file
from hsc.compare.document import document
from hsc.compare.figures import FIGURES
from hsc.compare.rows import find_row, make_rows
from hsc.compare.runs import read_run
from hsc.compare.snapshots import resolve


@command
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--against", metavar="NAME", help="Row to subtract.  [default: the first]")
@click.option(
    "--metric", "metrics", multiple=True, type=click.Choice(list(FIGURES)),
    help="Figure to test; several times for several.  [default: all]",
)  # fmt: skip
@click.option("--by-class", is_flag=True, help="IoU by class too, of the figures tested.")
@click.option("--out", type=PATH, help="Markdown file to write besides.")
def main(
    names: tuple[str, ...], against: str | None, metrics: tuple[str, ...], by_class: bool,
    out: Path | None,
) -> str:  # fmt: skip
    """Compare the runs that each NAME stands for.

    A NAME is a DVC experiment, a shell pattern of experiments ('seam-s*'), a git revision, or
    "workspace". Runs which differ only in their seeds (seed, and prepare_data.seed of the recipe)
    are one row; rows are compared with the first over the runs of equal seeds.
    """
    rows = make_rows([read_run(snapshot) for snapshot in resolve(names)])
    text = document(
        rows, 0 if against is None else find_row(rows, against), metrics or tuple(FIGURES), by_class
    )
    click.echo(text)
    if out is not None:
        with atomic_file(out) as partial:
            partial.write_text(text, encoding="utf-8")
    runs = sum(len(row.runs) for row in rows)
    return f"{out or 'comparison'}: {len(rows)} rows of {runs} runs"


if __name__ == "__main__":
    main()
