"""The classification warm-up: a backbone trained from scratch on the tags of `train_aug`.

It stands in for ImageNet weights where there are none. It is no method: every variant starts from
its result. Letters: N batch, C foreground classes.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsc.base.distributed import gather, is_first
from hsc.base.progress import Bars, Progress, follow, silent, unseen
from hsc.data.preprocessing import normalise
from hsc.data.samples import CamSamples
from hsc.data.voc import VocFolder
from hsc.engine.checkpoints import ResumeFile
from hsc.engine.history import History
from hsc.engine.loading import step_batches
from hsc.engine.optimisers import build_optimiser, parameter_groups
from hsc.engine.runtime import Runtime, seed_torch
from hsc.engine.training import train
from hsc.nets.backbone import Backbone
from hsc.nets.backbones import build_backbone
from hsc.nets.weights import save_weights
from hsc.params.recipe import NetworkParams, WarmupParams


class TagClassifier(nn.Module):
    """A backbone whose strongest map cells tell the tags: what the warm-up trains.

    Each class's logit is the mean over the `pool` (a fraction in (0, 1]) strongest cells of its
    map. With all cells (global average pooling) a small distinctive part is diluted and is learned
    more slowly; the CAM training that follows averages over all cells.
    Raises ValueError for a fraction outside (0, 1].
    """

    def __init__(self, backbone: Backbone, num_classes: int, pool: float = 1.0) -> None:
        super().__init__()
        if not 0 < pool <= 1:
            raise ValueError(f"pool has to be in (0, 1], got {pool}")
        self.backbone = backbone
        self.head = nn.Conv2d(backbone.channels, num_classes, 1, bias=False)
        self.pool = pool

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) to tag logits (N, C)."""
        maps = self.head(self.backbone(image).final).flatten(2)  # (N, C, h*w)
        cells = max(1, round(self.pool * maps.shape[2]))
        return maps.topk(cells, dim=2).values.mean(dim=2)


class _TagObjective(nn.Module):
    """Multilabel soft margin loss on pictures that are resized to one of `sizes` a step.

    The first half of the steps pools the strongest cells, the second half all of them: the first
    finds the small distinctive parts quickly, the second spreads the evidence over the cells that
    hold it, as the global average of CAM training wants it.
    """

    def __init__(
        self, classifier: TagClassifier, sizes: tuple[int, ...], pool: float, steps: int
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self._sizes, self._pool, self._steps = sizes, pool, steps
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        self.classifier.pool = self._pool if 2 * int(self.step) < self._steps else 1.0
        side = self._sizes[int(torch.randint(len(self._sizes), ()))]
        image = F.interpolate(batch["image"], (side, side), mode="bilinear", antialias=True)
        logits, tags = gather(self.classifier(image)), gather(batch["tags"])
        correct = ((logits > 0) == (tags > 0)).all(dim=1)
        return {
            "loss": F.multilabel_soft_margin_loss(logits, tags),
            "correct": correct.float().mean(),
        }

    def commit(self) -> None:
        """Count the step."""
        self.step += 1


def one_cycle(lr: float, step: int, steps: int, rise: float = 0.3) -> float:
    """Linear rise to `lr` over the first `rise` of the steps, then a cosine down to 0."""
    position = (step + 1) / steps
    if position < rise:
        return lr * position / rise
    fall = torch.tensor((position - rise) / (1 - rise), dtype=torch.float64)
    return float(lr * 0.5 * (1 + torch.cos(fall * torch.pi)))


def warm_up(
    folder: VocFolder,
    network: NetworkParams,
    params: WarmupParams,
    runtime: Runtime,
    resume: ResumeFile,
    output: Path,
    bars: Bars = silent,
) -> tuple[dict[str, float], History]:
    """Train, write the backbone to `output`; return `tag_accuracy` and the loss history."""
    seed_torch(params.seed)
    ids = folder.ids("train_aug")
    backbone = build_backbone(
        network.backbone, network.widths, params.output_stride, frozen_norm=False
    )
    classifier = TagClassifier(backbone, folder.num_classes)
    groups = parameter_groups(
        classifier.named_parameters(),
        lambda name: "pretrained",
        {"pretrained": 1.0},
        bias_factor=1.0,
        weight_decay=params.weight_decay,
    )
    optimiser = build_optimiser("adamw", groups, params.lr, momentum=0.0)
    augmentation = params.augmentation
    samples = CamSamples(folder, ids, augmentation, params.seed, with_saliency=False)
    steps = max(1, params.epochs * len(ids) // params.batch_size)
    history = train(
        _TagObjective(classifier, params.sizes, params.pool, steps),
        optimiser,
        step_batches(samples, params.seed, params.batch_size, steps, runtime),
        steps,
        lambda step: one_cycle(params.lr, step, steps),
        runtime,
        resume,
        checkpoint_every=max(1, steps // 10),
        title="warm-up",
        bars=bars,
    )
    widths = None if network.widths is None else list(network.widths)
    origin = {"kind": "warm-up", "supervision": "tags"}
    spec = {"backbone": network.backbone, "widths": widths, "origin": origin}
    if is_first():
        save_weights(output, "backbone", spec, classifier.backbone.state_dict())
    progress = bars("tag accuracy", "image")
    return tag_accuracy(classifier, folder, runtime, progress), history


@torch.no_grad()
def tag_accuracy(
    classifier: TagClassifier,
    folder: VocFolder,
    runtime: Runtime,
    progress: Progress = unseen,
) -> dict[str, float]:
    """How well the tags of `train_aug` are told, in percent.

    `tags`: picture-class pairs decided rightly; `pictures`: pictures with all tags right;
    `worst_class`: the lowest recall of a class (a high `tags` can hide a class that failed).
    """
    runtime.ready(classifier)
    right = []
    tags = []
    ids = folder.ids("train_aug")
    for image_id in follow(ids, len(ids), progress):
        image = torch.from_numpy(normalise(folder.image(image_id)))[None].to(runtime.device)
        tags.append(torch.from_numpy(folder.tags(image_id)) > 0)
        right.append((classifier(image)[0].cpu() > 0) == tags[-1])
    hits, truth = torch.stack(right), torch.stack(tags)  # (N, C)
    recall = (hits & truth).sum(0) / truth.sum(0).clamp(min=1)
    scores = {
        "tags": hits.float().mean(),
        "pictures": hits.all(dim=1).float().mean(),
        "worst_class": recall[truth.any(dim=0)].min(),
    }
    return {name: round(100 * float(score), 4) for name, score in scores.items()}
