"""What a step of AuxSegNet minimises: five losses of the whole batch, and DSCNet's beside them.

Letters: N batch, C foreground classes, S side of a crop.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsc.base.distributed import gather
from hsc.losses.auxsegnet import classification_loss, saliency_loss, segmentation_loss
from hsc.methods.contrast import Contrast
from hsc.nets.auxsegnet import AuxMaps, AuxSegNet


class AuxSegNetObjective(nn.Module):
    """L = classification + saliency + refined saliency + segmentation + refined segmentation.

    With a contrast of `features` its terms besides, weighed by its gamma, and for a second CAM the
    tags' loss of that: DSCNet's equation (13) on AuxSegNet.
    """

    def __init__(self, network: AuxSegNet, contrast: Contrast | None = None) -> None:
        super().__init__()
        self.network = network
        self.contrast = contrast

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
            if maps.second_cam is not None:
                scores = gather(maps.second_cam.float().mean(dim=(2, 3)))
                terms["second_classification"] = classification_loss(scores, tags)
            loss = sum(terms.values())
            if self.contrast is not None:
                contrast = self._contrast(self.contrast, maps, batch["image"], tags)
                loss = loss + self.contrast.params.gamma * sum(contrast.values())
                terms = {**terms, **contrast}
        return {"loss": loss, **terms}

    def commit(self) -> None:
        """Let the contrast take over what the last batch made, and the second CAM its nodes."""
        if self.contrast is not None:
            self.contrast.commit()
        if self.network.enrichment is not None:
            self.network.enrichment.take(self.contrast.nodes, self.contrast.seen)

    @staticmethod
    def _contrast(
        contrast: Contrast, maps: AuxMaps, image: Tensor, tags: Tensor
    ) -> dict[str, Tensor]:
        cam = F.pad(gather(maps.cam.float()), (0, 0, 0, 0, 1, 0))  # the background comes first
        return contrast((cam,), ((gather(maps.features.float()), None),), gather(image), tags)
