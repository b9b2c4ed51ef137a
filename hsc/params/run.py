"""The sections of `params.yaml`: what is run."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import Field, PrivateAttr

from hsc.params.base import (
    Frozen,
    Probability,
    Seed,
)

MethodName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*$")]
"""A module of `hsc.methods`, or one elsewhere on Python's path."""


class SeedParams(Frozen):
    """`best`: the papers' protocol, the best of the sweep on `train`, and `auto` without masks.

    `auto`: from the maps alone (`hsc.cam.seed_stage.auto_threshold`). A number fixes it.
    """

    threshold: Literal["best", "auto"] | Probability


class PsaParams(Frozen):
    """PSA (CVPR 2018): masks by a random walk along learned affinities in place of the CRF's."""

    enabled: bool


class RunParams(Frozen):
    """`params.yaml`: what is run.

    `refine`: the seeds on their picture, by the dense CRF or PAR (`hsc.crf.par`).
    `segmentation_contrast`: in AuxSegNet's training; `contrast` is the CAM network's.
    `sections` has the other keys of the file: the constants of baselines and contrasts under their
    names, as they stand there. The method's own module says what they have to be
    (`hsc.params.method`).
    """

    seed: Seed
    data: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    debug: bool
    baseline: MethodName
    contrast: MethodName
    refine: Literal["crf", "par", "none"]
    segmentation: Literal["deeplab", "auxsegnet"]
    segmentation_contrast: Literal["none", "dscnet"]
    seeds: SeedParams
    psa: PsaParams
    _sections: dict[str, Any] = PrivateAttr(default_factory=dict)

    @pydantic.model_validator(mode="after")
    def _check_segmentation(self) -> Self:
        if self.segmentation_contrast != "none" and self.segmentation != "auxsegnet":
            raise ValueError(
                "segmentation_contrast is one in AuxSegNet's rounds; set segmentation to auxsegnet "
                "too, or segmentation_contrast to none"
            )
        return self

    @property
    def sections(self) -> Mapping[str, Any]:
        return self._sections


_NAMES = {"dscnet": "DSCNet"}
"""Of methods whose papers do not write them in capitals."""


def method_title(baseline: str, contrast: str) -> str:
    """ "SEAM + HSC" and so on; "SEAM" without contrast. Both as in params.yaml."""
    title = baseline.upper()
    return title if contrast == "none" else f"{title} + {_NAMES.get(contrast, contrast.upper())}"
