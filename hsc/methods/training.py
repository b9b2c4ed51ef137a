"""CAM training: puts data, network, method and loop together.

Masks are never read here. Letters: C foreground classes.
"""

from pathlib import Path
from typing import Any

from hsc.base.distributed import is_first
from hsc.base.progress import Bars, silent
from hsc.cam.network import cam_network
from hsc.data.lists import spread
from hsc.data.samples import CamSamples
from hsc.data.voc import VocFolder
from hsc.engine.checkpoints import ResumeFile
from hsc.engine.history import History
from hsc.engine.loading import step_batches
from hsc.engine.optimisers import build_optimiser, parameter_groups, poly_rate
from hsc.engine.runtime import Runtime, seed_torch
from hsc.engine.training import train
from hsc.engine.watch import WATCHED
from hsc.methods.contrast import Setting
from hsc.methods.method import Method
from hsc.methods.pictures import cam_pictures
from hsc.nets.backbones import load_backbone
from hsc.nets.weights import save_weights
from hsc.params.method import MethodChoice
from hsc.params.recipe import NetworkParams, TrainCamParams


def train_cam(
    folder: VocFolder,
    backbone: Path,
    choice: MethodChoice,
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
    seed_torch(choice.seed)
    spec = network_spec(folder.class_names, choice, network, params)
    method = build_method(folder.class_names, choice, network, params)
    load_backbone(method.network.backbone, backbone, spec)
    samples = CamSamples(
        folder,
        folder.ids("train_aug"),
        params.augmentation,
        choice.seed,
        with_saliency=choice.baseline.needs_saliency,
    )
    tagged = [image_id for image_id in folder.ids("train_aug") if folder.tags(image_id).any()]
    watched = spread(tagged, WATCHED)
    history = train(
        method,
        cam_optimiser(method, params),
        step_batches(samples, choice.seed, params.batch_size, params.steps, runtime),
        params.steps,
        lambda step: poly_rate(params.lr, step, params.steps, params.power),
        runtime,
        resume,
        params.checkpoint_every,
        title="CAM training",
        clip_norm=params.clip_norm,
        bars=bars,
        draw=lambda: cam_pictures(method, folder, watched, runtime),
    )
    if is_first():
        save_weights(output, "cam", spec, method.network.state_dict())
    return history


def build_method(
    class_names: tuple[str, ...],
    choice: MethodChoice,
    network: NetworkParams,
    params: TrainCamParams,
) -> Method:
    """The method that the parameters name, on a network with fresh weights."""
    built = cam_network(network_spec(class_names, choice, network, params))
    contrast = None
    if choice.contrast is not None:
        setting = Setting(
            len(class_names),
            network.projector_class,
            network.projector_pixel,
            choice.seed,
            params.crf_size,
            params.crf_kernels,
            params.background_score,
            built.backbone.channels,
        )
        contrast = choice.contrast(choice.contrast_params, setting)
    return Method(choice.baseline, built, contrast, params.view2_size, params.loss_resolution)


def network_spec(
    class_names: tuple[str, ...],
    choice: MethodChoice,
    network: NetworkParams,
    params: TrainCamParams,
) -> dict[str, Any]:
    """The CAM network's specification (`hsc.cam.network.cam_network`)."""
    pcm = projectors = enrichment = None
    if choice.baseline.needs_pcm:
        pcm = [network.pcm_low, network.pcm_mid, network.pcm_out]
    if choice.contrast is not None:
        widths = {"class": network.projector_class, "pixel": network.projector_pixel}
        projectors = [
            width if name in choice.contrast.projectors else None for name, width in widths.items()
        ]
        enrichment = choice.contrast.enrichment(choice.contrast_params)
    return {
        **network.backbone_spec,
        "class_names": list(class_names),
        "pcm": pcm,
        "projector": network.projector,
        "projectors": projectors,
        "head_dropout": params.head_dropout,
        **({} if enrichment is None else {"enrichment": enrichment}),
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
