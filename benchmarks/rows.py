"""The rows of the experiment table on `shapes`: names, overrides, comparisons, the papers' figures.

A run is one row with one data seed (data and, through them, the warm-up) and one training seed. Its
experiment is called `KEY-dDATASEED-sSEED`.
"""

import re
from dataclasses import dataclass, replace

from hsc.base.errors import HscError

RECIPE = "recipes/shapes.yaml"
DATA_SEED = f"{RECIPE}:prepare_data.seed"
"""The override that changes the data set; the warm-up's own seed stays as the recipe has it."""


@dataclass(frozen=True)
class Row:
    """One variant.

    overrides: what `dvc exp run -S` takes. against: keys of the rows whose scores are subtracted
    from this row's. paper: mIoU (%) of the seeds on VOC `train`, None where no paper has it.
    """

    key: str
    title: str
    overrides: tuple[str, ...]
    against: tuple[str, ...] = ()
    paper: float | None = None


def _row(
    key: str,
    title: str,
    baseline: str,
    contrast: str,
    *more: str,
    against: tuple[str, ...] = (),
    paper: float | None = None,
) -> Row:
    overrides = (f"baseline={baseline}", f"contrast={contrast}", *more)
    return Row(key, title, overrides, against, paper)


def _ablation(key: str, title: str, *more: str, against: tuple[str, ...], paper: float) -> Row:
    return _row(key, title, "seam", "hsc", *more, against=against, paper=paper)


MAIN = (
    _row("cam", "CAM", "cam", "none"),
    _row("seam", "SEAM", "seam", "none", against=("cam",), paper=55.4),
    _row("seam-ppc", "SEAM + PPC", "seam", "ppc", against=("seam",), paper=61.5),
    _row("seam-hsc", "SEAM + HSC", "seam", "hsc", against=("seam",), paper=64.3),
    _row("eps", "EPS", "eps", "none", paper=69.5),
    _row(
        "eps-control", "EPS + SEAM's terms", "eps", "none", "eps.equivariance=true",
        against=("eps",),
    ),
    _row("eps-ppc", "EPS + PPC", "eps", "ppc", against=("eps", "eps-control"), paper=70.5),
    _row("eps-hsc", "EPS + HSC", "eps", "hsc", against=("eps", "eps-control"), paper=71.8),
)  # fmt: skip
"""Figures: Table 1 of HSC's paper and Table 1 of PPC's."""

_MAIN = {row.key: row for row in MAIN}
_NO_CRF = "hsc.crf=none"
_NO_MOMENTUM = "hsc.momentum_prototypes=false"

ABLATION = (
    replace(_MAIN["seam"], title="baseline", against=()),
    _ablation(
        "psc", "PSC", _NO_CRF, _NO_MOMENTUM, "hsc.roi=false", "hsc.class=false",
        against=("seam",), paper=59.3,
    ),
    _ablation(
        "psc-csc", "PSC + CSC", _NO_CRF, _NO_MOMENTUM, "hsc.roi=false",
        against=("psc",), paper=60.5,
    ),
    _ablation(
        "psc-csc-rsc", "PSC + CSC + RSC", _NO_CRF, _NO_MOMENTUM,
        against=("psc-csc", "no-cross"), paper=62.6,
    ),
    _ablation(
        "no-cross", "the same without cross supervision", _NO_CRF, _NO_MOMENTUM,
        "hsc.cross_supervision=false", against=(), paper=60.7,
    ),
    _ablation(
        "momentum", "+ momentum prototypes in PSC", _NO_CRF, against=("psc-csc-rsc",), paper=63.5
    ),
    _ablation("crf-pixel", "+ CRF in PSC", "hsc.crf=pixel", against=("momentum",), paper=64.2),
    replace(_MAIN["seam-hsc"], title="+ CRF everywhere", against=("crf-pixel",)),
)  # fmt: skip
"""HSC's Table 4. Its first and its last row are runs of the main table."""

GROUPS = {"main": MAIN, "ablation": ABLATION}
_ROWS = {row.key: row for row in (*ABLATION, *MAIN)}


def select(words: str) -> list[Row]:
    """Rows by name, each once and in this order: "main", "ablation" or "seam,seam-hsc".

    Raises HscError for a word that is neither a group nor a key.
    """
    chosen: dict[str, Row] = {}
    for word in words.split(","):
        if word not in GROUPS and word not in _ROWS:
            raise HscError(
                f"rows: {word!r} is no row; there are {', '.join(GROUPS)} and {', '.join(_ROWS)}"
            )
        for row in GROUPS.get(word) or (_ROWS[word],):
            chosen.setdefault(row.key, row)
    return list(chosen.values())


def run_name(key: str, data_seed: int, seed: int) -> str:
    """The experiment's name."""
    return f"{key}-d{data_seed}-s{seed}"


def parse_name(name: str) -> tuple[Row, int, int] | None:
    """Row, data seed and seed of an experiment, None for one that is no run of the table."""
    found = re.fullmatch(r"(.+)-d(\d+)-s(\d+)", name)
    if found is None or found[1] not in _ROWS:
        return None
    return _ROWS[found[1]], int(found[2]), int(found[3])
