"""What the planned run needs of its data set: asked for before anything is made."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Needs:
    """saliency: EPS is to be trained. masks: the threshold is to be the best on `train`."""

    saliency: bool = False
    masks: bool = False


NOTHING = Needs()
