"""A page on this machine: drop a picture on it and see the prediction and the CAMs; no stage.

    python -m stages.demo

What it shows is explained in docs/prediction.md.
"""

from functools import partial
from pathlib import Path

import click

from hsc.base.cli import command, parameter_options, path_option
from hsc.demo.answers import answer, load_networks
from hsc.demo.server import DemoServer
from hsc.engine.runtime import detect_runtime
from hsc.params.reading import load
from hsc.sources.stage import read_kind


@command
@parameter_options
@path_option("--weights", "outputs/segmentation.pt", "The segmentation network's weights.")
@path_option("--cam", "outputs/cam.pt", "The CAM network's weights.")
@click.option("--port", default=8000, type=click.IntRange(0, 65535), help="0: any that is free.")
def main(params: Path, recipes: Path, weights: Path, cam: Path, port: int) -> str:
    """Serve the page on 127.0.0.1 until Ctrl-C."""
    run, recipe = load(params, recipes)
    data = read_kind(recipe.prepare_data, recipes / f"{run.data}.yaml: prepare_data")
    networks = load_networks(
        weights, cam, recipe.predict_segmentation.of(run.segmentation),
        recipe.infer_cams[run.baseline], getattr(data, "max_side", None), detect_runtime(),
    )  # fmt: skip
    with DemoServer(partial(answer, networks), port) as server:
        click.echo(f"{server.url} (Ctrl-C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            click.echo()
    return "ended"


if __name__ == "__main__":
    main()
