"""What the papers report on PASCAL VOC 2012 and COCO 2014 for the methods that can be run here.

mIoU in percent. The figures stand in Tables 1 and 2 of the HSC paper (Wu et al., IJCAI 2023), which
repeats those of the other papers: seeds, seeds + CRF and masks on `train`, the segmentation network
on `val`. AuxSegNet's and DSCNet's are of their own papers, those on COCO of DSCNet's Table III.
None of them was measured with this code.
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
DSCNET = Paper(
    "Lai et al., IEEE TII 2024",
    "Weakly-supervised Semantic Segmentation via Dual-stream Contrastive Learning of Cross-image "
    "Contextual Information",
    "https://arxiv.org/abs/2405.04913",
)
VOC, COCO = "voc2012", "coco2014"
TABULATED_IN = {VOC: f"Tables 1 and 2 of {HSC.cited}", COCO: f"Table III of {DSCNET.cited}"}
"""Where the figures of a data set were taken from, but for those of methods with tables of their
own (`Published.seeds` is None)."""
TITLES = {VOC: "PASCAL VOC 2012", COCO: "COCO 2014"}


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
    ("seam", "dscnet"): Published(
        "SEAM + DSCNet", DSCNET, None, None, None, 67.7, None, "a network on ResNet-38"
    ),
    ("eps", "none"): Published("EPS", EPS, 69.5, 71.4, 71.6, 70.9, "PSA", _ASPP),
    ("eps", "ppc"): Published("EPS + PPC", PPC, 70.5, 73.3, 73.3, 72.6, "CRF", _ASPP),
    ("eps", "hsc"): Published("EPS + HSC", HSC, 71.8, 74.6, 74.6, 73.6, "CRF", _ASPP),
}
"""By (baseline, contrast), as in params.yaml, on VOC."""
ON_COCO = {
    ("seam", "none"): Published("SEAM", SEAM, None, None, None, 31.9, None, None),
    ("seam", "dscnet"): Published("SEAM + DSCNet", DSCNET, None, None, None, 34.6, None, None),
}


OF_AUXSEGNET = {
    "none": Published(
        "AuxSegNet", AUXSEGNET, None, None, None, 69.0, None,
        "several scales and a CRF, from plain CAMs (66.1 without the two)",
    ),
    "dscnet": Published(
        "AuxSegNet + DSCNet", DSCNET, None, None, None, 70.3, None,
        "several scales and a CRF, from plain CAMs",
    ),
}  # fmt: skip
"""By `segmentation_contrast`, on VOC."""
AUXSEGNET_ON_COCO = {
    "none": Published("AuxSegNet", AUXSEGNET, None, None, None, 33.9, None, None),
    "dscnet": Published("AuxSegNet + DSCNet", DSCNET, None, None, None, 35.8, None, None),
}


def table_of(data: str) -> str:
    """The data set whose figures stand beside a run's on `data`."""
    return COCO if data == COCO else VOC


def published(
    baseline: str,
    contrast: str,
    segmentation: str,
    data: str = VOC,
    segmentation_contrast: str = "none",
) -> tuple[Published, ...]:
    """The rows to show beside a run: its method's, and that of its baseline without the contrast;
    AuxSegNet's, with its contrast and without, where that is its segmentation network.

    Empty where the papers have nothing: the plain `cam` baseline, whatever the contrast.
    """
    keys = dict.fromkeys([(baseline, contrast), (baseline, "none")])
    on_coco = table_of(data) == COCO
    figures = ON_COCO if on_coco else FIGURES
    found = tuple(figures[key] for key in keys if key in figures)
    if segmentation != "auxsegnet":
        return found
    figures = AUXSEGNET_ON_COCO if on_coco else OF_AUXSEGNET
    return (*found, *(figures[key] for key in dict.fromkeys([segmentation_contrast, "none"])))
