"""CAM: the tags' loss on the averaged maps, the baseline of all others."""

from torch import Tensor

from hsc.cam.network import CamMaps
from hsc.losses.classification import multilabel_soft_margin
from hsc.methods.baseline import Baseline, Terms, Views


def classification_terms(views: list[CamMaps], tags: Tensor) -> Terms:
    """`classification`: the tags' loss on the averaged maps, mean over the views."""
    terms = [multilabel_soft_margin(view.cam, tags) for view in views]
    return {"classification": sum(terms) / len(terms)}


class Cam(Baseline):
    """Classification and nothing else."""

    def terms(self, views: Views) -> Terms:
        return classification_terms(views.maps, views.tags)


BASELINE = Cam
