"""Measure the parts, each beside a plain version of itself.

    python -m benchmarks                                  # all of them
    python -m benchmarks --part cam_store --repeats 3     # one, the others' lines stay

Results go into a JSON file, with where and when each was measured, and from it into the table of
benchmarks/README.md. A part whose two versions disagree ends the run with an error.
"""

from pathlib import Path

import click

from benchmarks.part import measure, part_names
from benchmarks.part_table import RESULTS, read_parts, table, write_parts, write_table
from benchmarks.surroundings import surroundings
from hsc.base.cli import PATH, command


@command
@click.option(
    "--part", "parts", multiple=True, type=click.Choice(part_names()),
    help="May be given several times; all parts without it.",
)  # fmt: skip
@click.option("--repeats", default=5, type=click.IntRange(min=1), help="Runs of both versions.")
@click.option("--out", type=PATH, default=RESULTS, help="Results; other parts' lines are kept.")
@click.option("--readme", type=PATH, default=Path("benchmarks/README.md"), help="Has the table.")
def main(parts: tuple[str, ...], repeats: int, out: Path, readme: Path) -> str:
    """Measure the parts and write the results and the table."""
    rows = read_parts(out) if out.exists() else {}
    for name in parts or part_names():
        where = surroundings()
        rows[name] = (measure(name, repeats), {**where, "repeats": repeats})
        # after each part, so that a long run that is stopped keeps what it has
        write_parts(out, rows)
        write_table(readme, rows)
        click.echo(table({name: rows[name]}))
    return f"{out}: {len(rows)} parts"


if __name__ == "__main__":
    main()
