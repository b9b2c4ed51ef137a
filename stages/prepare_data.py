"""Make outputs/data/<name>/, the data set in VOC layout, as the recipe's `prepare_data.kind` says.

`shapes` is generated, `voc2012` and `coco2014` are downloaded, `folder` is copied (docs/data.md).
"""

from pathlib import Path

import click

from hsc.base.cli import bars, parameter_options, path_option, picture_stage
from hsc.base.download import downloads_folder
from hsc.base.files import write_json
from hsc.base.pool import process_count
from hsc.params.method import choose, choose_segmentation_contrast
from hsc.params.reading import load
from hsc.sources.stage import Where, make, read_kind
from hsc.sources.summary import shown


@picture_stage
@parameter_options
@path_option("--data", "outputs/data", "Folder of the data sets; <name>/ is written in it.")
@path_option("--metrics", "metrics/data.json", "The counts and the sources (JSON).")
def main(params: Path, recipes: Path, data: Path, metrics: Path) -> str:
    """Make the data set that `data` names, in VOC layout. Downloads go to $HSC_DOWNLOADS."""
    run, recipe = load(params, recipes)
    how = read_kind(recipe.prepare_data, recipes / f"{run.data}.yaml: prepare_data")
    # Asked here, so that no training runs in vain: none of it changes what is made.
    asking = "baseline is eps" if choose(run, params).baseline.needs_saliency else ""
    choose_segmentation_contrast(run, params)
    if run.segmentation == "auxsegnet":
        asking = "segmentation is auxsegnet"
    facts = make(how, data / run.data, Where(downloads_folder(), process_count(), bars, asking))
    write_json(metrics, facts)
    click.echo(shown(facts))
    found = f"{data / run.data}: {facts['images']} pictures, {facts['classes']} classes"
    return f"{found}, saliency: {facts['saliency']['source']}"


if __name__ == "__main__":
    main()
