"""What the papers report on PASCAL VOC 2012 for the methods that can be run here.

mIoU in percent. The figures stand in Tables 1 and 2 of the HSC paper (Wu et al., IJCAI 2023), which
repeats those of the other papers: seeds, seeds + CRF and masks on `train`, the segmentation network
on `val`; AuxSegNet's in its own. None of them was measured with this code.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """A paper as it is cited, and where to find it."""

    cited: str
    title: str
    link: str


SEAM = Paper(
    "Wang et al., CVPR 2020",
    "Self-supervised Equivariant Attention Mechanism for Weakly Supervised Semantic Segmentation",
    "https://arxiv.org/abs/2004.04581",
)
EPS = Paper(
    "Lee et al., CVPR 2021",
    "Railroad Is Not a Train: Saliency as Pseudo-pixel Supervision for Weakly Supervised Semantic "
    "Segmentation",
    "https://arxiv.org/abs/2105.08965",
)
PPC = Paper(
    "Du et al., CVPR 2022",
    "Weakly Supervised Semantic Segmentation by Pixel-to-Prototype Contrast",
    "https://arxiv.org/abs/2110.07110",
)
HSC = Paper(
    "Wu et al., IJCAI 2023",
    "Hierarchical Semantic Contrast for Weakly Supervised Semantic Segmentation",
    "https://github.com/Wu0409/HSC_WSSS",
)
AUXSEGNET = Paper(
    "Xu et al., ICCV 2021",
    "Leveraging Auxiliary Tasks with Affinity Learning for Weakly Supervised Semantic Segmentation",
    "https://arxiv.org/abs/2107.11787",
)
TABULATED_IN = HSC
"""The paper whose tables the figures were taken from."""


@dataclass(frozen=True)
class Published:
    """A row of the papers' tables; None where no figure is published.

    paper: whose method it is. masks_by: what made the masks, `PSA` or `CRF` (then they are the
    seeds + CRF), None where there are none. network: what was trained for `val`, None where nothing
    was.
    """

    method: str
    paper: Paper
    seeds: float | None
    crf: float | None
    masks: float | None
    val: float | None
    masks_by: str | None
    network: str | None


_ASPP = "DeepLab-ASPP on ResNet-101"

FIGURES = {
    ("seam", "none"): Published(
        "SEAM", SEAM, 55.4, 56.8, 63.6, 64.5, "PSA", "DeepLab on ResNet-38"
    ),
    ("seam", "ppc"): Published("SEAM + PPC", PPC, 61.5, 64.0, 69.2, None, "PSA", None),
    ("seam", "hsc"): Published("SEAM + HSC", HSC, 64.3, 66.5, 69.5, None, "PSA", None),
    ("eps", "none"): Published("EPS", EPS, 69.5, 71.4, 71.6, 70.9, "PSA", _ASPP),
    ("eps", "ppc"): Published("EPS + PPC", PPC, 70.5, 73.3, 73.3, 72.6, "CRF", _ASPP),
    ("eps", "hsc"): Published("EPS + HSC", HSC, 71.8, 74.6, 74.6, 73.6, "CRF", _ASPP),
}
"""By (baseline, contrast), as in params.yaml."""


OF_AUXSEGNET = Published(
    "AuxSegNet", AUXSEGNET, None, None, None, 69.0, None,
    "several scales and a CRF, from plain CAMs (66.1 without the two)",
)  # fmt: skip


def published(baseline: str, contrast: str, segmentation: str) -> tuple[Published, ...]:
    """The rows to show beside a run: its method's, and that of its baseline without the contrast;
    AuxSegNet's where that is its segmentation network.

    Empty where the papers have nothing: the plain `cam` baseline, whatever the contrast.
    """
    keys = dict.fromkeys([(baseline, contrast), (baseline, "none")])
    found = tuple(FIGURES[key] for key in keys if key in FIGURES)
    return (*found, OF_AUXSEGNET) if segmentation == "auxsegnet" else found
