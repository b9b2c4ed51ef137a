"""The run as a table of eight lines, for the end of `make repro`."""

from collections.abc import Sequence

from hsc.base.duration import describe
from hsc.report.facts import Facts
from hsc.report.timings import Timing, total_seconds
from hsc.report.words import REFINED, method

_HEAD = ("", "pictures", "mIoU (%)", "time")
_SEGMENTATION = ("train_segmentation", "evaluate_rounds", "predict_segmentation", "evaluate@val")
_LINES = (
    ("data set", None, ("prepare_data",)),
    ("backbone", None, ("prepare_backbone",)),
    ("CAMs", None, ("train_cam", "infer_cams")),
    ("seeds", "seeds", ("make_seeds",)),
    ("+ CRF", "crf", ("refine_crf", "evaluate@crf")),
    ("masks", "masks", ("label_affinity", "train_affinity", "refine_masks", "evaluate@masks")),
    ("prediction", "val", _SEGMENTATION),
)
"""A line's title, the key of its score, the stages that lead to it."""


def table(facts: Facts) -> str:
    """A line a step: pictures of which split, mIoU, the time of its stages where it is known."""
    lines = [_HEAD]
    for title, score, stages in _LINES:
        timings = [timing for timing in facts.timings if timing.stage.name in stages]
        own = {"CAMs": f"CAMs of {method(facts)}", "+ CRF": REFINED[facts.run.refine][0]}
        name = own.get(title, title)
        lines.append((name, _pictures(facts, title, score), _miou(facts, score), _time(timings)))
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    return "\n".join(_row(line, widths) for line in lines)


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = (
        cell.rjust(width) if column else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join([first, *rest]).rstrip()


def _pictures(facts: Facts, title: str, score: str | None) -> str:
    found = facts.scores.get(score) if score else None
    if found is not None:
        return f"{found.images} of {found.split}"
    if facts.data is None or score:
        return ""
    if title == "data set":
        return str(facts.data.images)
    return f"{facts.data.splits['train_aug']} of train_aug"


def _miou(facts: Facts, score: str | None) -> str:
    found = facts.scores.get(score) if score else None
    if found is None:
        return ""
    return "no masks" if found.miou is None else f"{found.miou:.2f}"


def _time(timings: Sequence[Timing]) -> str:
    known = [timing for timing in timings if timing.record is not None]
    return describe(total_seconds(known)) if known else ""
