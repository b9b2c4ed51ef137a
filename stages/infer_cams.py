"""Infer the CAMs of train_aug at several scales, flipped, into one HDF5 file."""

from pathlib import Path

from hsc.base.cli import bars, parameter_options, path_option, stage
from hsc.base.company import wanted_processes
from hsc.base.files import digest_file, digest_json
from hsc.cam.inference import infer_cams
from hsc.cam.network import load_cam_network
from hsc.data.voc import VocFolder
from hsc.engine.runtime import detect_runtime
from hsc.nets.weights import check_classes
from hsc.params.reading import load
from hsc.store import CamWriter


@stage
@parameter_options
@path_option("--data", "outputs/data", "Folder of the data sets.")
@path_option("--weights", "outputs/cam.pt", "The CAM network's weights.")
@path_option("--out", "outputs/cams.h5", "The CAM file.")
def main(params: Path, recipes: Path, data: Path, weights: Path, out: Path) -> str:
    """Infer the CAMs of every picture that is trained on."""
    run, recipe = load(params, recipes)
    how = recipe.infer_cams[run.baseline]
    folder = VocFolder(data / run.data)
    network, spec = load_cam_network(weights)
    check_classes(weights, spec, folder.class_names)
    ids = folder.ids("train_aug")
    digest = digest_json([digest_file(weights), how.model_dump(mode="json")])
    with CamWriter(out, folder.class_names, digest) as writer:
        infer_cams(
            network,
            folder,
            ids,
            writer=writer,
            runtime=detect_runtime(),
            progress=bars("CAMs", "image"),
            gpus=wanted_processes(),
            **how.model_dump(),
        )
    return f"{out}: CAMs of {len(ids)} pictures"


if __name__ == "__main__":
    main()
