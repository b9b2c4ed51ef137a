"""What each stage took, from the records that stages keep of themselves."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hsc.base.progress import Progress, follow, unseen
from hsc.base.run_record import RunRecord, find_record


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml: its name there, that of its script, what it is for, what it makes.

    `product` is relative to the folder of its kind, `folder`.
    """

    name: str
    script: str
    purpose: str
    folder: Literal["outputs", "metrics"]
    product: str


STAGES = (
    Stage("prepare_data", "prepare_data", "the data set", "metrics", "data.json"),
    Stage("prepare_backbone", "prepare_backbone", "the backbone", "outputs", "backbone.pt"),
    Stage("train_cam", "train_cam", "the CAM network", "outputs", "cam.pt"),
    Stage("infer_cams", "infer_cams", "its CAMs", "outputs", "cams.h5"),
    Stage("make_seeds", "make_seeds", "the seeds, their scores", "outputs", "seeds"),
    Stage("refine_crf", "refine_crf", "the seeds + CRF", "outputs", "crf"),
    Stage("label_affinity", "label_affinity", "PSA's labels", "outputs", "affinity_labels"),
    Stage("train_affinity", "train_affinity", "PSA's network", "outputs", "affinity.pt"),
    Stage("refine_masks", "refine_masks", "the masks", "outputs", "masks"),
    Stage("train_segmentation", "train_segmentation", "the segmentation network", "outputs",
          "segmentation.pt"),
    Stage("evaluate_rounds", "evaluate_rounds", "scores of AuxSegNet's rounds", "metrics",
          "rounds.json"),
    Stage("predict_segmentation", "predict_segmentation", "its predictions", "outputs",
          "predictions"),
    Stage("evaluate@crf", "evaluate", "scores of the seeds + CRF", "metrics", "crf.json"),
    Stage("evaluate@masks", "evaluate", "scores of the masks", "metrics", "masks.json"),
    Stage("evaluate@val", "evaluate", "scores of the predictions", "metrics", "val.json"),
    Stage("draw_panels", "draw_panels", "the pictures", "outputs", "panels"),
)  # fmt: skip
"""All stages in the order in which they run."""


@dataclass(frozen=True)
class Timing:
    """A stage in a run. made: its product is there. record: what it took, where that is known."""

    stage: Stage
    made: bool
    off: bool
    record: RunRecord | None


def read_timings(
    outputs: Path,
    metrics: Path,
    off: Container[str],
    records: Path,
    progress: Progress = unseen,
) -> tuple[Timing, ...]:
    """One for each of STAGES, found by the bytes of what it made, which takes a while for many.

    off: names of the stages that have nothing to do in the run. progress: called with the number of
    stages done and of all.
    """
    folders = {"outputs": outputs, "metrics": metrics}
    found = []
    for stage in follow(STAGES, len(STAGES), progress):
        product = folders[stage.folder] / stage.product
        record = find_record(stage.script, product, records) if product.exists() else None
        found.append(Timing(stage, product.exists(), stage.name in off, record))
    return tuple(found)


def total_seconds(timings: Sequence[Timing]) -> float:
    """The time of all stages whose time is known.

    Two stages of one script that made the same have one record, which counts once.
    """
    records = [timing.record for timing in timings if timing.record is not None]
    return sum({(each.stage, each.digest): each.seconds for each in records}.values())
