"""Translate published weights into a weights file of this package; no stage of the pipeline.

    python -m stages.import_weights FILE --layout seam --output outputs/cam.pt
    python -m stages.import_weights FILE.params --layout mxnet --output outputs/backbone.pt
    python -m stages.import_weights IMAGENET1K_V2 --layout torchvision --backbone resnet101 \
        --output outputs/backbone.pt

The layouts are explained in `hsc/weights/imported.py`.
"""

from pathlib import Path

import click

from hsc.base.cli import PATH, bars, command
from hsc.base.files import write_json
from hsc.data.classes import VOC_CLASSES
from hsc.data.lists import read_classes
from hsc.nets.backbones import backbone_names
from hsc.weights.imported import LAYOUTS, import_weights
from hsc.weights.supervision import MASKS


@command
@click.argument("source", metavar="FILE")
@click.option(
    "--layout", type=click.Choice(LAYOUTS), required=True, metavar="LAYOUT",
    help=f"What FILE holds: {', '.join(LAYOUTS)}.",
)  # fmt: skip
@click.option(
    "--backbone", default="resnet38", metavar="NAME",
    help=f"Which network FILE holds or stands on: {', '.join(backbone_names())}, timm/NAME.",
)  # fmt: skip
@click.option("--backbone-only", is_flag=True, help="Keep the backbone alone.")
@click.option("--classes", type=PATH, help="classes.txt of a whole network; VOC's without it.")
@click.option("--sha256", help="What FILE must have (hex).")
@click.option(
    "--supervision", type=click.Choice([MASKS]), help="Admit a backbone that has seen masks."
)
@click.option("--output", type=PATH, required=True, help="The weights file to write.")
@click.option("--metrics", type=PATH, help="Where to write the SHA-256 and the rest (JSON).")
def main(
    source: str,
    layout: str,
    backbone: str,
    backbone_only: bool,
    classes: Path | None,
    sha256: str | None,
    supervision: str | None,
    output: Path,
    metrics: Path | None,
) -> str:
    """Translate the published weights in FILE, or torchvision's of that name."""
    found = import_weights(
        source, layout, output, backbone,
        backbone_only=backbone_only,
        class_names=VOC_CLASSES if classes is None else read_classes(classes),
        sha256=sha256,
        supervision=supervision,
        bars=bars,
    )  # fmt: skip
    if metrics is not None:
        write_json(metrics, found)
    return f"{output}: {found['tensors']} tensors of {found['source']}, SHA-256 {found['sha256']}"


if __name__ == "__main__":
    main()
