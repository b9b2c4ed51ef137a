"""Write the segmentation network as an ONNX file, for programs without torch; no stage.

    python -m stages.export_model --out segmentation.onnx

What is in the file and how it is used is explained in docs/prediction.md.
"""

from pathlib import Path

import click

from hsc.base.cli import PATH, command, path_option
from hsc.export.onnx_file import export_onnx
from hsc.nets.segmentation import load_segmentation


@command
@path_option("--weights", "outputs/segmentation.pt", "The segmentation network's weights.")
@click.option("--out", type=PATH, required=True, help="The ONNX file.")
def main(weights: Path, out: Path) -> str:
    """Write an ONNX file of any picture size, checked by onnxruntime against torch."""
    network, spec = load_segmentation(weights)
    difference = export_onnx(network, spec["class_names"], out)
    return f"{out}: logits within {difference:.1g} of torch's"


if __name__ == "__main__":
    main()
