"""Infer the CAMs of train_aug at several scales, flipped, into one HDF5 file."""

from pathlib import Path

from hsc.base.cli import RESUME_FOLDER, bars, gpu_stage, parameter_options, path_option
from hsc.base.files import digest_file, digest_json
from hsc.cam.inference import infer_cams
from hsc.cam.network import load_cam_network
from hsc.cam.parts import CamParts
from hsc.data.voc import VocFolder
from hsc.engine.resume_key import resume_key
from hsc.engine.runtime import detect_runtime
from hsc.nets.weights import check_classes
from hsc.params.reading import load
from hsc.store import CamWriter


@gpu_stage
@parameter_options
@path_option("--data", "outputs/data", "Folder of the data sets.")
@path_option("--weights", "outputs/cam.pt", "The CAM network's weights.")
@path_option("--out", "outputs/cams.h5", "The CAM file.")
def main(params: Path, recipes: Path, data: Path, weights: Path, out: Path) -> str:
    """Infer the CAMs of every picture that is trained on; a killed run goes on."""
    run, recipe = load(params, recipes)
    how = recipe.infer_cams[run.baseline]
    folder = VocFolder(data / run.data)
    network, spec = load_cam_network(weights)
    check_classes(weights, spec, folder.class_names)
    runtime = detect_runtime()
    key = resume_key(
        folder,
        [weights],
        [how, runtime.device.type, runtime.bf16],
        with_saliency=False,
        progress=bars("reading the inputs", "file"),
    )
    parts = CamParts(RESUME_FOLDER, key, folder.class_names, folder.ids("train_aug"))
    infer_cams(
        network,
        folder,
        parts=parts,
        runtime=runtime,
        progress=bars("CAMs", "image"),
        **how.model_dump(),
    )
    digest = digest_json([digest_file(weights), how.model_dump(mode="json")])
    with CamWriter(out, folder.class_names, digest) as writer:
        parts.join(writer)
    parts.clear()
    return f"{out}: CAMs of {len(parts.ids)} pictures"


if __name__ == "__main__":
    main()
