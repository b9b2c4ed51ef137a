"""The file of measured runs that `benchmarks.collect` writes and `benchmarks.tables` reads."""

from collections.abc import Mapping
from pathlib import Path

import pydantic

from benchmarks.rows import TABLES
from hsc.base.errors import HscError
from hsc.base.files import read_json, write_json


class Run(pydantic.BaseModel):
    """One run: mIoU in % on `train` (`val`: on val), None where that stage was not run.

    seeds: best of the sweep, at `threshold`; auto: at the maps' own threshold. seconds: of the
    training, inference and CRF stages whose log is there, by stage. experiment: its commit; commit:
    that of the code; date: when the experiment ended (ISO 8601); torch: the version of the
    environment that collected it.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    data: str = "shapes"
    row: str
    data_seed: int
    seed: int
    seeds: float
    threshold: float
    auto: float | None = None
    crf: float | None
    masks: float | None = None
    val: float | None
    seconds: dict[str, float]
    experiment: str
    commit: str
    date: pydantic.AwareDatetime
    torch: str

    @property
    def name(self) -> str:
        """The experiment's name."""
        return TABLES[self.data].run_name(self.row, self.data_seed, self.seed)


Runs = Mapping[str, Run]
"""By name."""


def merge(old: Runs, new: Runs) -> dict[str, Run]:
    """All runs. Of two with one name the later one counts; of the same experiment, the old one.

    The same experiment read again only adds the seconds that were not known.
    """
    merged = dict(old)
    for name, run in new.items():
        known = merged.get(name)
        if known is not None and known.experiment == run.experiment:
            seconds = {**run.seconds, **known.seconds}
            merged[name] = known.model_copy(update={"seconds": seconds})
        elif known is None or run.date > known.date:
            merged[name] = run
    return merged


def read_runs(path: Path) -> dict[str, Run]:
    """The runs of a file. Raises HscError for a file of another form."""
    try:
        runs = pydantic.TypeAdapter(dict[str, Run]).validate_python(read_json(path))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise HscError(f"{path}: {place}: {first['msg']}; collect the runs again") from None
    for name, run in runs.items():
        if name != run.name:
            raise HscError(f"{path}: {name} is the run {run.name}; collect the runs again")
    return runs


def write_runs(path: Path, runs: Runs) -> None:
    """Write the runs; the same runs give the same bytes."""
    write_json(path, {name: run.model_dump(mode="json") for name, run in runs.items()})
