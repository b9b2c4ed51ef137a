"""AffinityNet training on what two CRFs agree about: puts data, network and loop together.

Ground-truth masks are never read here. Letters: N batch, S side of a crop, O offsets, h w map
cells.
"""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hsc.base.distributed import gather, is_first
from hsc.base.progress import Bars, silent
from hsc.data.samples import SegmentationSamples
from hsc.data.voc import VocFolder
from hsc.engine.checkpoints import ResumeFile
from hsc.engine.history import History
from hsc.engine.label_training import train_on_labels
from hsc.engine.runtime import Runtime, seed_torch
from hsc.nets.backbones import load_backbone
from hsc.nets.weights import save_weights
from hsc.params.recipe import NetworkParams, TrainAffinityParams
from hsc.psa.loss import PairSums, affinity_loss, pair_sums
from hsc.psa.network import AffinityNetwork, affinity_network
from hsc.psa.pairs import cell_labels, pair_labels


class AffinityObjective(nn.Module):
    """PSA's loss over the pairs of the whole batch. `stride`: pixels a map cell."""

    def __init__(self, network: AffinityNetwork, stride: int) -> None:
        super().__init__()
        self.network = network
        self.stride = stride

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """`image` (N, 3, S, S) and `label` (N, S, S) int64 in 0..C or 255 where nothing is sure."""
        cells = cell_labels(batch["label"], self.stride)
        affinity = self.network(batch["image"])  # (N, O, h, w)
        own = pair_sums(affinity, pair_labels(cells, self.network.offsets))
        total = PairSums(*(gather(values[None]).sum(dim=0) for values in own))
        return affinity_loss(total)._asdict()

    def commit(self) -> None:
        """Nothing is remembered."""


def train_affinity(
    folder: VocFolder,
    labels: Path,
    backbone: Path,
    seed: int,
    network: NetworkParams,
    params: TrainAffinityParams,
    runtime: Runtime,
    resume: ResumeFile,
    output: Path,
    bars: Bars = silent,
) -> History:
    """Train AffinityNet on the labels `<labels>/<id>.png` of `train_aug`; write it to `output`.

    Returns the loss and its parts of every step. Raises HscError for bad input or a loss that is
    not finite.
    """
    seed_torch(seed)
    spec = network_spec(network, params)
    objective = AffinityObjective(affinity_network(spec), network.output_stride)
    affinity = objective.network
    load_backbone(affinity.backbone, backbone, spec)
    ids = folder.ids("train_aug")
    history = train_on_labels(
        objective,
        affinity,
        SegmentationSamples(folder, ids, labels, params.augmentation, seed),
        seed,
        params,
        runtime,
        resume,
        title="affinity training",
        bars=bars,
    )
    if is_first():
        save_weights(output, "affinity", spec, affinity.state_dict())
    return history


def network_spec(network: NetworkParams, params: TrainAffinityParams) -> dict[str, Any]:
    """The affinity network's specification (`hsc.psa.network.affinity_network`)."""
    return {
        **network.backbone_spec,
        "affinity_widths": list(params.widths),
        "radius": params.radius,
    }
