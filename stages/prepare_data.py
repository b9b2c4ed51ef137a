"""Make the data set in VOC layout under data/<name>/.

`data: shapes` is generated, `data: folder` is copied from the path in recipes/folder.yaml.
"""

from pathlib import Path

from hsc import params as parameters
from hsc.cli import parameter_options, path_option, stage
from hsc.data.prepare import prepare
from hsc.data.shapes_config import ShapesConfig
from hsc.files import write_json
from hsc.params import FolderParams


@stage
@parameter_options
@path_option("--data", "data", "Folder of the data sets; <name>/ is written in it.")
@path_option("--metrics", "metrics/data.json", "The counts (JSON).")
def main(params: Path, recipes: Path, data: Path, metrics: Path) -> str:
    """Make the data set that `data` names, in VOC layout."""
    run, recipe = parameters.load(params, recipes)
    source = recipes / f"{run.data}.yaml: prepare_data"
    shapes, folder = None, None
    if run.data == "shapes":
        shapes = parameters.parse_section(source, recipe.prepare_data, ShapesConfig)
    else:
        folder = parameters.parse_section(source, recipe.prepare_data, FolderParams).path
    counts = prepare(run.data, data / run.data, shapes, folder)
    write_json(metrics, counts)
    return f"{data / run.data}: {counts['images']} pictures, {counts['classes']} classes"


if __name__ == "__main__":
    main()
