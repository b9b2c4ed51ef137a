"""Predict new pictures with the trained segmentation network; no stage of the pipeline.

    python -m stages.predict PICTURES… --out DIR

PICTURES are files and folders. What is written is explained in docs/prediction.md.
"""

from pathlib import Path
from typing import Any

import click

from hsc.base.cli import PATH, bars, gpu_command, parameter_options, path_option
from hsc.data.pictures import find_pictures
from hsc.params.reading import load
from hsc.segmentation.prediction_files import check_failures, check_output, list_shares
from hsc.sources.stage import read_kind


@gpu_command
@click.argument("pictures", nargs=-1, required=True, type=PATH)
@parameter_options
@path_option("--weights", "outputs/segmentation.pt", "The segmentation network's weights.")
@click.option("--out", type=PATH, required=True, help="Folder of the results.")
@click.option("--scales", type=float, multiple=True, help="In place of the recipe's; repeat it.")
@click.option("--flip/--no-flip", default=None, help="See the mirror images too, or not.")
@click.option("--crf/--no-crf", default=None, help="Refine with the recipe's CRF, or not.")
@click.option(
    "--max-side", type=click.IntRange(1), help="The longest side that the network is shown."
)
@click.option("--batch", type=click.IntRange(1), help="Pictures at once; a GPU has 8, a CPU 1.")
@click.option("--overlays/--no-overlays", default=True, help="Write overlays too.")
@click.option("--quiet", is_flag=True, help="Do not print the classes found.")
def main(
    pictures: tuple[Path, ...],
    params: Path,
    recipes: Path,
    weights: Path,
    out: Path,
    scales: tuple[float, ...],
    flip: bool | None,
    crf: bool | None,
    quiet: bool,
    **how: Any,
) -> str:
    """Label every pixel of pictures: masks, overlays and the shares of the classes."""
    # Not at the top: the CRF's processes import this script, and torch takes 4 s and 300 MB each.
    from hsc.segmentation.prediction import override, predict_with_weights

    paths = find_pictures(pictures)
    check_output(out, paths)
    run, recipe = load(params, recipes)
    data = read_kind(recipe.prepare_data, recipes / f"{run.data}.yaml: prepare_data")
    how["max_side"] = how["max_side"] or getattr(data, "max_side", None)
    chosen = override(recipe.predict_segmentation.of(run.segmentation), scales, flip, crf)
    results, names = predict_with_weights(
        weights, paths, chosen, out, progress=bars("predictions", "image"), **how
    )
    if not quiet:
        for line in list_shares(results, names):
            click.echo(line)
    check_failures(results, out)
    return f"{out}: {len(results)} predictions"


if __name__ == "__main__":
    main()
