"""Write one page about a run, outputs/report.html; a command for people, no stage of dvc.yaml.

    python -m stages.report

The page needs no network: tables, pictures and plots are in it. What has not run yet is left out,
and the page says so. The terminal gets a table of the steps.
"""

from pathlib import Path

import click

from hsc.base.cli import PATH, bars, command, parameter_options, path_option
from hsc.report.facts import Where, gather
from hsc.report.page import write_page
from hsc.report.terminal import table


@command
@parameter_options
@path_option("--metrics", "metrics", "Folder of the scores.")
@path_option("--plots", "plots", "Folder of the tables for plots.")
@path_option("--outputs", "outputs", "Folder of weights, CAMs and pictures.")
@click.option("--records", type=PATH, help="Folder of the stages' records.  [default: $HSC_RUNS]")
@path_option("--out", "outputs/report.html", "The page.")
def main(
    params: Path, recipes: Path, metrics: Path, plots: Path, outputs: Path, records: Path | None,
    out: Path,
) -> str:  # fmt: skip
    """Write the page of the run that lies in the folders."""
    where = Where(params, recipes, metrics, plots, outputs, records)
    facts = gather(where, bars("stages", "stage"))
    write_page(facts, out)
    click.echo(table(facts))
    val = facts.scores.get("val")
    if val is None or val.miou is None:
        return f"{out}: no score on val yet" if val is None else f"{out}: val was not scored"
    return f"{out}: mIoU {val.miou:.2f} % on {val.split}"


if __name__ == "__main__":
    main()
