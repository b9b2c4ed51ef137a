"""hsc.report.timings: a stage's record is found by what it made."""

import dataclasses
from collections.abc import Container
from pathlib import Path

import pytest
import yaml

from hsc.report.timings import STAGES, read_timings, total_seconds
from tests.report.runs import Run, make_run
from tests.stage_runs import ROOT, stages


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = make_run(tmp_path_factory.mktemp("timed") / "run", "shapes", ("zebra",))
    run.record("train_cam", "outputs/cam.pt", seconds=60.0)
    run.record("make_seeds", "outputs/seeds", seconds=5.0)
    run.record("evaluate", "metrics/crf.json", seconds=2.0)
    run.remove("outputs/predictions")
    return run


def test_the_stages_are_those_of_the_pipeline() -> None:
    told = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    plain = {each.name: each for each in stages()}
    assert [each.name.split("@")[0] for each in STAGES if "@" not in each.name] == [
        name for name, stage in told.items() if "foreach" not in stage
    ]
    for each in STAGES:
        stage = plain[each.name.replace("@", "_")]
        assert stage.cmd.split()[2] == f"stages.{each.script}"
        if each.name != "draw_panels":
            assert f"{each.folder}/{each.product}" in (*stage.outs, *stage.metrics)


def test_records_are_found_by_content(run: Run) -> None:
    timings = {each.stage.name: each for each in read(run)}
    assert timings["train_cam"].record is not None
    assert timings["make_seeds"].record is not None
    assert timings["infer_cams"].record is None
    assert timings["infer_cams"].made
    assert not timings["predict_segmentation"].made
    assert [name for name, each in timings.items() if each.off] == [
        "label_affinity", "train_affinity",
    ]  # fmt: skip
    assert not any(each.off for each in read(run, off=set()))


def test_another_content_has_no_record(run: Run, tmp_path: Path) -> None:
    other = make_run(tmp_path / "run", "shapes", ("zebra",))
    where = dataclasses.replace(other.where, records=run.where.records)
    (other.folder / "outputs/cam.pt").write_bytes(b"retrained")
    timings = {
        each.stage.name: each
        for each in read_timings(where.outputs, where.metrics, set(), where.records)
    }
    assert timings["train_cam"].record is None
    assert timings["make_seeds"].record is not None


def test_one_record_of_two_stages_counts_once(run: Run) -> None:
    """Without PSA crf.json and masks.json are the same."""
    timings = {each.stage.name: each for each in read(run)}
    assert timings["evaluate@crf"].record == timings["evaluate@masks"].record is not None
    assert total_seconds(list(timings.values())) == 67.0
    assert total_seconds([]) == 0


PSA = {"label_affinity", "train_affinity"}


def read(run: Run, off: Container[str] = PSA) -> tuple:
    where = run.where
    assert where.records is not None
    return read_timings(where.outputs, where.metrics, off, where.records)
