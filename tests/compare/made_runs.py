"""Runs without a repository."""

from typing import Any

from hsc.compare.runs import Run
from hsc.compare.snapshots import Snapshot

SETTINGS = {
    "data": "shapes", "baseline": "seam", "contrast": "hsc", "hsc.gamma": 0.1, "hsc.k": 16,
    "eps.tau": 0.4, "prepare_data.size": 80,
}  # fmt: skip


def make_run(
    name: str,
    seed: int = 0,
    data_seed: int = 0,
    word: str | None = None,
    code: str = "c" * 40,
    date: int = 1,
    digest: str | None = None,
    figures: dict[str, float] | None = None,
    classes: dict[str, float] | None = None,
    **changes: Any,
) -> Run:
    """A run; `figures`: mIoU by figure; `changes`: parameters, with `__` for the dot."""
    changed = {path.replace("__", "."): value for path, value in changes.items()}
    settings = {**SETTINGS, "seed": seed, "prepare_data.seed": data_seed, **changed}
    return Run(
        Snapshot(word or name, name, name.ljust(40, "0"), code, date),
        {path: value for path, value in settings.items() if value is not None},
        digest or f"{settings['data']} {data_seed}",
        {
            figure: {"mIoU": value, "IoU": classes or {}}
            for figure, value in (figures or {"seeds": 50.0}).items()
        },
    )
