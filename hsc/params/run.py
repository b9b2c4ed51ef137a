"""The sections of `params.yaml`: what is run."""

from typing import Annotated, Literal, Self

import pydantic
from pydantic import Field

from hsc.params.base import (
    Count,
    Frozen,
    NonNegative,
    Positive,
    Probability,
    Seed,
    Share,
)

Baseline = Literal["cam", "seam", "eps"]


class EpsParams(Frozen):
    """EPS's constants (its VOC script: tau 0.4, mix 0.5) and the equivariance switch.

    `equivariance: auto` adds the PCM and SEAM's ER and ECR terms exactly when a contrast is on, as
    HSC's published code does, and with PPC alike, so that the two can be compared; `true` and
    `false` decide by hand (`true` with `contrast: none` is the control). `contrast_map` is the map
    that drives a contrast: EPS's own `softmax`, the PCM's (`refined`) or the logits (`raw`).
    `refined_saliency` puts the saliency loss on the PCM's maps too, as HSC's published code does.
    """

    tau: Probability
    mix: Probability
    equivariance: Literal["auto"] | bool
    contrast_map: Literal["softmax", "refined", "raw"]
    refined_saliency: bool


class HscParams(Frozen):
    """HSC (IJCAI 2023), equations 1-13; each row of its Table 4 is a handful of these."""

    gamma: NonNegative
    temperature: Positive
    momentum: Probability
    roi: bool
    class_level: bool = Field(alias="class")
    pixel: bool
    cross_supervision: bool
    momentum_prototypes: bool
    crf: Literal["none", "pixel", "all"]
    k_class: Count
    k_pixel: Count
    background_score: Probability
    crf_iterations: Count


class PpcParams(Frozen):
    """PPC (CVPR 2022): its three terms, and which negatives and pixels the last one takes.

    Of the hardest `hard_share` of the negatives, and of the pixels of a class, the easier ones are
    kept, `kept_share` of all.
    """

    gamma: NonNegative
    temperature: Positive
    k: Count
    background_score: Probability
    cross_prototype: bool
    cross_label: bool
    intra_view: bool
    hard_share: Share
    kept_share: Share

    @pydantic.model_validator(mode="after")
    def _check_shares(self) -> Self:
        if self.kept_share > self.hard_share:
            raise ValueError("kept_share: no more can be kept than are hard (hard_share)")
        return self


class SeedParams(Frozen):
    """`best`: the papers' protocol, the best of the sweep on `train`; a number fixes it."""

    threshold: Literal["best"] | Probability


class PsaParams(Frozen):
    """PSA (CVPR 2018): masks by a random walk along learned affinities in place of the CRF's.

    `alpha_low`, `alpha_high`: the exponents of the background score whose CRFs make the labels that
    the affinity network learns from.
    """

    enabled: bool
    alpha_low: Positive
    alpha_high: Positive

    @pydantic.model_validator(mode="after")
    def _check_alphas(self) -> Self:
        if self.alpha_low >= self.alpha_high:
            raise ValueError(
                "alpha_low has to be below alpha_high: the lower, the more background, and only "
                "what is foreground even then is labelled so"
            )
        return self


class RunParams(Frozen):
    """`params.yaml`: what is run."""

    seed: Seed
    data: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    baseline: Baseline
    contrast: Literal["none", "ppc", "hsc"]
    eps: EpsParams
    ppc: PpcParams
    hsc: HscParams
    seeds: SeedParams
    psa: PsaParams

    @property
    def has_equivariance(self) -> bool:
        """Whether EPS has SEAM's PCM, ER and ECR beside it."""
        if self.eps.equivariance == "auto":
            return self.contrast != "none"
        return self.eps.equivariance

    @pydantic.model_validator(mode="after")
    def _check_combination(self) -> Self:
        if self.baseline == "eps":
            self._check_eps()
        if self.contrast == "hsc":
            self._check_hsc()
        terms = (self.ppc.cross_prototype, self.ppc.cross_label, self.ppc.intra_view)
        if self.contrast == "ppc" and not any(terms):
            raise ValueError(
                "contrast is ppc but ppc.cross_prototype, ppc.cross_label and ppc.intra_view are "
                "all false; use `contrast: none` for the baseline alone"
            )
        return self

    def _check_eps(self) -> None:
        if self.has_equivariance:
            return
        if self.eps.refined_saliency:
            raise ValueError(
                "eps.refined_saliency needs the PCM's maps, but eps.equivariance is off here; "
                "set eps.equivariance to true"
            )
        if self.contrast != "none" and self.eps.contrast_map == "refined":
            raise ValueError(
                "eps.contrast_map is refined, but eps.equivariance is false and without it there "
                "is no PCM; use softmax or raw"
            )

    def _check_hsc(self) -> None:
        """A component that is on has to have something to act on."""
        hsc = self.hsc
        if not (hsc.roi or hsc.class_level or hsc.pixel):
            raise ValueError(
                "contrast is hsc but hsc.roi, hsc.class and hsc.pixel are all false; "
                "use `contrast: none` for the baseline alone"
            )
        if hsc.momentum_prototypes and not hsc.pixel:
            raise ValueError(
                "hsc.momentum_prototypes is true, but they belong to the pixel level and hsc.pixel "
                "is false; set hsc.momentum_prototypes to false too"
            )
        if hsc.crf == "pixel" and not hsc.pixel:
            raise ValueError("hsc.crf is pixel, but hsc.pixel is false; use none or all")
        if hsc.crf == "all" and not (hsc.roi or hsc.pixel):
            raise ValueError(
                "hsc.crf is all, but the class level alone uses no labels to refine; use none"
            )


def method_title(baseline: str, contrast: str) -> str:
    """ "SEAM + HSC" and so on; "SEAM" without contrast. Both as in params.yaml."""
    title = baseline.upper()
    return title if contrast == "none" else f"{title} + {contrast.upper()}"
