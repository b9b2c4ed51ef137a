"""The experiment tables: data sets, rows, overrides, comparisons, the papers' figures.

A run is one row with one data seed (data and, through them, the warm-up) and one training seed. Its
experiment is called `KEY-dDATASEED-sSEED`, on a data set other than `shapes` `DATA-KEY-...`.
"""

import re
from dataclasses import dataclass, replace

from hsc.base.errors import HscError


@dataclass(frozen=True)
class Table:
    """A data set with a table of its own; `data` names it and its recipe.

    has_data_seed: whether the data set is drawn, by a seed of its own; the warm-up's seed stays as
    the recipe has it. targets: the stages that a run goes to where nothing is said.
    """

    data: str
    has_data_seed: bool
    targets: tuple[str, ...]

    @property
    def recipe(self) -> str:
        return f"recipes/{self.data}.yaml"

    @property
    def prefix(self) -> str:
        return "" if self.data == "shapes" else f"{self.data}-"

    def overrides(self, data_seed: int) -> list[str]:
        """What makes a run one of this table; the data set's seed last."""
        seeds = [f"{self.recipe}:prepare_data.seed={data_seed}"] if self.has_data_seed else []
        return [f"data={self.data}", *seeds]

    def run_name(self, key: str, data_seed: int, seed: int) -> str:
        """The experiment's name."""
        return f"{self.prefix}{key}-d{data_seed}-s{seed}"


TABLES = {
    "shapes": Table("shapes", has_data_seed=True, targets=("make_seeds",)),
    "voc_animals": Table(
        "voc_animals",
        has_data_seed=False,
        targets=("evaluate@crf", "evaluate@masks", "evaluate@val"),
    ),
}


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

PSA = tuple(
    replace(
        _MAIN[key],
        key=f"{key}-psa",
        title=f"{_MAIN[key].title}, masks of PSA",
        overrides=(*_MAIN[key].overrides, "psa.enabled=true"),
        against=(key,),
        paper=None,
    )
    for key in ("cam", "seam", "seam-ppc", "seam-hsc", "eps", "eps-hsc")
)
"""The main rows with PSA's masks in place of the CRF's; seeds and CRF are the same."""

AUXSEGNET = tuple(
    replace(
        _MAIN[key],
        key=new,
        title=title,
        overrides=(*_MAIN[key].overrides, "segmentation=auxsegnet", *more),
        against=against,
        paper=None,
    )
    for key, new, title, more, against in (
        ("cam", "aux", "AuxSegNet", (), ("cam",)),
        ("cam", "aux-dscnet", "AuxSegNet + DSCNet", ("segmentation_contrast=dscnet",), ("aux",)),
        ("eps", "eps-aux", "AuxSegNet from EPS", (), ("eps",)),
    )
)
"""AuxSegNet in the place of DeepLab, from plain CAMs as in its paper, with DSCNet in its rounds
(69.0 and 70.3 on VOC's `val`), and from EPS's; CAMs and seeds are the same, `val` is what differs.
"""

DSCNET = (
    _row("m1", "DSCNet: PGCL", "seam", "dscnet", "dscnet.sgcl=false", "dscnet.dscl=false",
         against=("seam",)),
    _row("m2", "DSCNet: SGCL", "seam", "dscnet", "dscnet.pgcl=false", "dscnet.dscl=false",
         against=("seam",)),
    _row("m3", "DSCNet: both", "seam", "dscnet", "dscnet.dscl=false", against=("seam",)),
    _row("seam-dscnet", "SEAM + DSCNet", "seam", "dscnet", against=("seam", "m3")),
)  # fmt: skip
"""Its Table IV, M1 to M4, whose figures are of `val`: SEAM 64.5, then 66.1, 65.4, 66.6, 67.7."""

GROUPS = {
    "main": MAIN,
    "ablation": ABLATION,
    "psa": PSA,
    "auxsegnet": AUXSEGNET,
    "dscnet": DSCNET,
}
_ROWS = {row.key: row for row in (*ABLATION, *MAIN, *PSA, *AUXSEGNET, *DSCNET)}


def select(words: str) -> list[Row]:
    """Rows by name, each once and in this order: a group of GROUPS or "seam,seam-hsc".

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


def parse_name(name: str) -> tuple[Table, Row, int, int] | None:
    """Table, row, data seed and seed of an experiment; None for one that is no run of a table."""
    found = re.fullmatch(r"(.+)-d(\d+)-s(\d+)", name)
    for table in sorted(TABLES.values(), key=lambda table: len(table.prefix), reverse=True):
        key = found and found[1].removeprefix(table.prefix)
        if found and found[1].startswith(table.prefix) and key in _ROWS:
            return table, _ROWS[key], int(found[2]), int(found[3])
    return None
