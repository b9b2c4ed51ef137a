"""What a step of AuxSegNet minimises: five losses of the whole batch.

Letters: N batch, C foreground classes, S side of a crop.
"""

import torch
from torch import Tensor, nn

from hsc.base.distributed import gather
from hsc.losses.auxsegnet import classification_loss, saliency_loss, segmentation_loss
from hsc.nets.auxsegnet import AuxSegNet


class AuxSegNetObjective(nn.Module):
    """L = classification + saliency + refined saliency + segmentation + refined segmentation."""

    def __init__(self, network: AuxSegNet) -> None:
        super().__init__()
        self.network = network

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """`image` (N, 3, S, S), `tags` (N, C), `label` and `saliency` (N, S, S), 255 ignored.

        In a distributed run the batch is the process's own share, and every loss is of the whole.
        """
        maps = self.network.maps(batch["image"])
        tags, label, salient = (gather(batch[key]) for key in ("tags", "label", "saliency"))
        with torch.autocast(tags.device.type, enabled=False):
            terms = {
                "classification": classification_loss(gather(maps.scores.float()), tags),
                "saliency": saliency_loss(gather(maps.saliency), salient),
                "refined_saliency": saliency_loss(gather(maps.refined_saliency), salient),
                "segmentation": segmentation_loss(gather(maps.segmentation), label),
                "refined_segmentation": segmentation_loss(gather(maps.refined_segmentation), label),
            }
        return {"loss": sum(terms.values()), **terms}

    def commit(self) -> None:
        """Nothing is remembered."""
