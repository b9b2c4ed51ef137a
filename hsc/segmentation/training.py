"""DeepLab training on pseudo labels: puts data, network and loop together.

Ground-truth masks are never read here. Letters: N batch, C foreground classes, S side of a crop.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsc.base.distributed import gather, is_first
from hsc.base.files import digest_file
from hsc.base.progress import Bars, silent
from hsc.data.classes import IGNORE
from hsc.data.lists import spread
from hsc.data.samples import SegmentationSamples
from hsc.data.voc import VocFolder
from hsc.engine.checkpoints import ResumeFile
from hsc.engine.history import History
from hsc.engine.label_training import train_on_labels
from hsc.engine.runtime import Runtime, seed_torch
from hsc.engine.watch import WATCHED
from hsc.nets.backbone import Backbone
from hsc.nets.backbones import load_backbone
from hsc.nets.deeplab import DeepLab, deeplab_network
from hsc.nets.weights import load_state, save_weights
from hsc.params.base import ImportParams
from hsc.params.segmentation import SegmentationNetworkParams, TrainSegmentationParams
from hsc.segmentation.pictures import label_pictures
from hsc.weights.imported import locate, read_weights


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


class Trained(NamedTuple):
    """What a training has to tell."""

    history: History
    initial_weights: dict[str, Any]


def train_segmentation(
    folder: VocFolder,
    masks: Path,
    backbone: Path,
    seed: int,
    network: SegmentationNetworkParams,
    params: TrainSegmentationParams,
    runtime: Runtime,
    resume: ResumeFile,
    output: Path,
    bars: Bars = silent,
) -> Trained:
    """Train DeepLab on the pseudo labels `masks/<id>.png` of `train_aug`; write it to `output`.

    backbone: what `prepare_backbone` wrote, read where the parameters say so. Returns the loss of
    every step and where the initial weights came from (`load_initial`), which stands in the weights
    file too. Raises HscError for bad input or a loss that is not finite.
    """
    seed_torch(seed)
    spec = segmentation_spec(folder.class_names, network)
    objective = SegmentationObjective(deeplab_network(spec))
    deeplab = objective.network
    origin = load_initial(deeplab.backbone, spec, params.initial_weights, backbone)
    ids = folder.ids("train_aug")
    watched = spread(ids, WATCHED)
    history = train_on_labels(
        objective,
        deeplab,
        SegmentationSamples(folder, ids, masks, params.augmentation, seed),
        seed,
        params,
        runtime,
        resume,
        title="segmentation training",
        bars=bars,
        draw=lambda: label_pictures(deeplab, folder, watched, runtime),
    )
    if is_first():
        save_weights(output, "deeplab", spec | {"initial_weights": origin}, deeplab.state_dict())
    return Trained(history, origin)


def segmentation_spec(
    class_names: tuple[str, ...], network: SegmentationNetworkParams
) -> dict[str, Any]:
    """The network's specification (`hsc.nets.deeplab.deeplab_network`)."""
    head = network.head.model_dump(mode="json")
    return {**network.backbone_spec, "class_names": list(class_names), "head": head}


def load_initial(
    backbone: Backbone, spec: dict[str, Any], how: str | ImportParams, prepared: Path
) -> dict[str, Any]:
    """Give the backbone its initial weights; return where they came from.

    how: `prepare_backbone` (then they are read from `prepared`), `none` (they stay as they are), or
    what to import. Returned are `kind` (`warm-up`, `import`, `none`), `supervision` (what they were
    trained on), `sha256` of the file, and of an import `layout` and `source`. Raises HscError for
    weights of another backbone, and for such as were trained on segmentation masks, unless the
    parameters admit them (`hsc.weights.supervision`).
    """
    if how == "none":
        return {"kind": "none", "supervision": "none"}
    if how == "prepare_backbone":
        return {"sha256": digest_file(prepared), **load_backbone(backbone, prepared, spec)}
    imported, origin = read_weights(
        how.weights, how.layout, spec["backbone"], how.sha256, how.supervision
    )
    load_state(backbone, imported.state, Path(how.weights))
    return origin


def initial_file(
    how: str | ImportParams, backbone: str, prepared: Path, bars: Bars = silent
) -> list[Path]:
    """The file that `load_initial` will read, if any: a training's input. Raises HscError."""
    if how == "none":
        return []
    if how == "prepare_backbone":
        return [prepared]
    return [locate(how.weights, how.layout, backbone, how.supervision, bars).path]
