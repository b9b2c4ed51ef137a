"""DeepLab training on pseudo labels: puts data, network and loop together.

Ground-truth masks are never read here. Letters: N batch, C foreground classes, S side of a crop.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsc.data.classes import IGNORE
from hsc.data.samples import SegmentationSamples
from hsc.data.transforms import Augmentation
from hsc.data.voc import VocFolder
from hsc.distributed import gather, is_first
from hsc.engine.checkpoints import ResumeFile
from hsc.engine.loading import step_batches
from hsc.engine.optimisers import build_optimiser, parameter_groups, poly_rate
from hsc.engine.runtime import Runtime, seed_torch
from hsc.engine.training import History, train
from hsc.nets.build import deeplab_network, load_backbone
from hsc.nets.deeplab import DeepLab
from hsc.nets.weights import save_weights
from hsc.params import NetworkParams, TrainSegmentationParams
from hsc.scoring import read_labels


class SegmentationObjective(nn.Module):
    """Cross-entropy over the pixels of the whole batch, 255 ignored; without any label 0."""

    def __init__(self, network: DeepLab) -> None:
        super().__init__()
        self.network = network

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """`image` (N, 3, S, S) and `label` (N, S, S) int64 in 0..C or 255."""
        logits, label = self.network(batch["image"]), batch["label"]
        labelled = gather((label != IGNORE).sum()[None]).sum().clamp(min=1)
        with torch.autocast(logits.device.type, enabled=False):
            total = F.cross_entropy(logits.float(), label, ignore_index=IGNORE, reduction="sum")
            return {"loss": gather(total[None]).sum() / labelled}

    def commit(self) -> None:
        """Nothing is remembered."""


def train_segmentation(
    folder: VocFolder,
    masks: Path,
    backbone: Path,
    seed: int,
    network: NetworkParams,
    params: TrainSegmentationParams,
    runtime: Runtime,
    resume: ResumeFile,
    output: Path,
) -> History:
    """Train DeepLab on the pseudo labels `masks/<id>.png` of `train_aug`; write it to `output`.

    Returns the loss of every step. Raises HscError for bad input or a loss that is not finite.
    """
    seed_torch(seed)
    spec = {
        **network.backbone_spec,
        "class_names": list(folder.class_names),
        "aspp_width": params.aspp_width,
        "aspp_rates": list(params.aspp_rates),
        "dropout": params.dropout,
    }
    objective = SegmentationObjective(deeplab_network(spec))
    deeplab = objective.network
    load_backbone(deeplab.backbone, backbone, spec)
    groups = parameter_groups(
        deeplab.named_parameters(),
        deeplab.role,
        {"pretrained": 1.0, "new": params.lr_new},
        params.lr_bias,
        params.weight_decay,
    )
    samples = SegmentationSamples(
        folder,
        folder.ids("train_aug"),
        masks,
        read_labels,
        Augmentation(**params.augmentation.model_dump()),
        seed,
    )
    history = train(
        objective,
        build_optimiser(params.optimiser, groups, params.lr, params.momentum),
        step_batches(samples, seed, params.batch_size, params.steps, runtime),
        params.steps,
        lambda step: poly_rate(params.lr, step, params.steps, params.power),
        runtime,
        resume,
        params.checkpoint_every,
        title="segmentation",
    )
    if is_first():
        save_weights(output, "deeplab", spec, deeplab.state_dict())
    return history
