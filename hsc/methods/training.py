"""CAM training: puts data, network, method and loop together.

Masks are never read here. Letters: C foreground classes.
"""

from pathlib import Path
from typing import Any, Literal

from hsc.base.distributed import is_first
from hsc.base.progress import Bars, silent
from hsc.cam.network import cam_network
from hsc.crf.training_labels import LabelRefiner
from hsc.data.samples import CamSamples
from hsc.data.transforms import Augmentation
from hsc.data.voc import VocFolder
from hsc.engine.checkpoints import ResumeFile
from hsc.engine.loading import step_batches
from hsc.engine.optimisers import build_optimiser, parameter_groups, poly_rate
from hsc.engine.runtime import Runtime, seed_torch
from hsc.engine.training import History, train
from hsc.methods.hsc import HscContrast, HscSettings
from hsc.methods.method import Contrast, ContrastMap, Method, MethodSettings, needs_pcm
from hsc.methods.ppc import PpcContrast, PpcSettings
from hsc.nets.backbones import load_backbone
from hsc.nets.weights import save_weights
from hsc.params.recipe import NetworkParams, TrainCamParams
from hsc.params.run import RunParams

_CONTRAST_MAP: dict[str, ContrastMap] = {"cam": "raw", "seam": "refined"}
"""Of the baselines that leave no choice."""


def train_cam(
    folder: VocFolder,
    backbone: Path,
    run: RunParams,
    network: NetworkParams,
    params: TrainCamParams,
    runtime: Runtime,
    resume: ResumeFile,
    output: Path,
    bars: Bars = silent,
) -> History:
    """Train the CAM network of a method from the prepared backbone and write it to `output`.

    Returns the loss terms of every step. Raises HscError for bad input or a loss that is not
    finite.
    """
    seed_torch(run.seed)
    spec = network_spec(folder.class_names, run, network, params)
    method = build_method(folder.class_names, run, network, params)
    load_backbone(method.network.backbone, backbone, spec)
    samples = CamSamples(
        folder,
        folder.ids("train_aug"),
        Augmentation(**params.augmentation.model_dump()),
        run.seed,
        with_saliency=run.baseline == "eps",
    )
    history = train(
        method,
        cam_optimiser(method, params),
        step_batches(samples, run.seed, params.batch_size, params.steps, runtime),
        params.steps,
        lambda step: poly_rate(params.lr, step, params.steps, params.power),
        runtime,
        resume,
        params.checkpoint_every,
        title="CAM training",
        clip_norm=params.clip_norm,
        bars=bars,
    )
    if is_first():
        save_weights(output, "cam", spec, method.network.state_dict())
    return history


def build_method(
    class_names: tuple[str, ...], run: RunParams, network: NetworkParams, params: TrainCamParams
) -> Method:
    """The method that the parameters name, on a network with fresh weights."""
    contrast = _contrast(class_names, run, network, params)
    settings = _settings(run, params.view2_size, params.loss_resolution)
    spec = network_spec(class_names, run, network, params)
    return Method(settings, cam_network(spec), contrast)


def network_spec(
    class_names: tuple[str, ...], run: RunParams, network: NetworkParams, params: TrainCamParams
) -> dict[str, Any]:
    """The CAM network's specification (`hsc.nets.build.cam_network`)."""
    pcm = None
    if needs_pcm(run.baseline, run.has_equivariance):
        pcm = [network.pcm_low, network.pcm_mid, network.pcm_out]
    projectors = None
    if run.contrast != "none":  # PPC has pixels and nothing else
        wide = network.projector_class if run.contrast == "hsc" else None
        projectors = [wide, network.projector_pixel]
    return {
        **network.backbone_spec,
        "class_names": list(class_names),
        "pcm": pcm,
        "projector": network.projector,
        "projectors": projectors,
        "head_dropout": params.head_dropout,
    }


def cam_optimiser(method: Method, params: TrainCamParams) -> Any:
    """The optimiser with the groups of pretrained, new and projector parameters."""
    network = method.network
    groups = parameter_groups(
        network.named_parameters(),
        network.role,
        {"pretrained": 1.0, "new": params.lr_new, "projector": params.lr_projector},
        params.lr_bias,
        params.weight_decay,
    )
    return build_optimiser(params.optimiser, groups, params.lr, params.momentum)


def _settings(
    run: RunParams, view2_size: int, loss_resolution: Literal["pixels", "map"]
) -> MethodSettings:
    return MethodSettings(
        baseline=run.baseline,
        view2_size=view2_size,
        loss_resolution=loss_resolution,
        eps_tau=run.eps.tau,
        eps_mix=run.eps.mix,
        equivariance=run.has_equivariance,
        refined_saliency=run.eps.refined_saliency,
        contrast_map=_CONTRAST_MAP.get(run.baseline, run.eps.contrast_map),
    )


def _contrast(
    class_names: tuple[str, ...], run: RunParams, network: NetworkParams, params: TrainCamParams
) -> Contrast | None:
    if run.contrast == "none":
        return None
    if run.contrast == "ppc":
        return PpcContrast(PpcSettings(**run.ppc.model_dump()), run.seed)
    values = run.hsc.model_dump()
    iterations = values.pop("crf_iterations")
    return HscContrast(
        HscSettings(**values, crf_size=params.crf_size),
        len(class_names),
        (network.projector_class, network.projector_pixel),
        LabelRefiner(len(class_names) + 1, iterations, params.crf_kernels),
    )
