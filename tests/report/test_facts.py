"""hsc.report.facts and .reading: whole runs, half ones, and files that are not what they should."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hsc.base.errors import HscError
from hsc.report.facts import STEPS, TRAININGS, Facts, gather
from tests.report.runs import TERMS, Run, make_run
from tests.stage_runs import change

SMALL = ("zebra", "ringed")
COPIES = ("params.yaml", "recipes", "metrics", "plots", "outputs")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Tests must not change it."""
    return make_run(tmp_path_factory.mktemp("made") / "run", "shapes", SMALL)


@pytest.fixture(scope="module")
def facts(made: Run) -> Facts:
    return gather(made.where)


@pytest.fixture
def run(made: Run, tmp_path: Path) -> Run:
    """A copy to change."""
    shutil.copytree(made.folder, tmp_path / "run")
    return Run(tmp_path / "run", made.names)


def test_scores_are_those_of_the_files(made: Run, facts: Facts) -> None:
    assert list(facts.scores) == list(STEPS)
    for step, found in facts.scores.items():
        told = made.scores(step)
        assert (found.miou, found.classes.iou, found.images) == (
            told["mIoU"],
            told["IoU"],
            told["images"],
        )
    assert facts.scores["seeds"].threshold == 0.3
    assert facts.scores["seeds"].best_threshold == 0.26
    assert facts.data is not None
    assert facts.data.splits["val"] == facts.scores["val"].images
    assert facts.missing == ()


def test_tables(made: Run, facts: Facts) -> None:
    curve = facts.curve
    assert curve is not None
    assert (curve.thresholds[curve.used], curve.thresholds[curve.best]) == (0.3, 0.26)
    assert list(facts.trainings) == ["backbone", "train_cam", "train_segmentation"]
    for name, training in facts.trainings.items():
        assert tuple(training.terms) == TERMS[name]
        assert {len(values) for values in training.terms.values()} == {700}
        assert training.stage == TRAININGS[name]
    confusion = facts.confusions["val"]
    assert confusion.names == made.names
    lines = (made.folder / "plots/val_confusion.csv").read_text().splitlines()[1:]
    truth, label, pixels = lines[1].split(",")
    assert (truth, label) == made.names[:2]
    assert confusion.pixels[0, 1] == int(pixels)
    assert confusion.pixels.sum() == sum(int(line.split(",")[2]) for line in lines)


def test_pictures_and_weights(made: Run, facts: Facts) -> None:
    first = facts.panels[0]
    assert first.tags == SMALL
    assert [each.cell.of for each in first.pictures[1:3]] == list(SMALL)
    assert (first.pictures[0].width, first.pictures[0].height) == (256, 200)
    assert [swatch.name for swatch in facts.legend] == list(SMALL)
    assert facts.legend[0].colour == "#800000"
    digests = {file.file: file.sha256 for file in facts.weights}
    assert digests.keys() == {"affinity.pt", "backbone.pt", "cam.pt", "segmentation.pt", "cams.h5"}
    assert digests["affinity.pt"] is None
    assert len(digests["cam.pt"] or "") == 64
    assert facts.cams_digest == "c" * 64


def test_a_run_that_has_not_begun(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "shapes", SMALL)
    run.remove("metrics", "plots", "outputs")
    facts = gather(run.where)
    assert not facts.scores
    assert not facts.confusions
    assert not facts.trainings
    assert (facts.curve, facts.data, facts.panels, facts.weights) == (None, None, (), ())
    stages = [missing.stage for missing in facts.missing]
    assert stages[0] == "prepare_data"
    assert stages[-1] == "draw_panels"
    assert "train_affinity" not in stages
    change(run.folder / "params.yaml", psa__enabled=True)
    assert "train_affinity" in [missing.stage for missing in gather(run.where).missing]


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("metrics/val.json", "evaluate@val"),
        ("metrics/seeds_classes.json", "make_seeds"),
        ("plots/crf_confusion.csv", "evaluate@crf"),
        ("plots/threshold_curve.csv", "make_seeds"),
        ("plots/train_cam.csv", "train_cam"),
        ("outputs/panels", "draw_panels"),
        ("outputs/cams.h5", "infer_cams"),
    ],
)
def test_the_stage_that_makes_what_is_missing_is_named(run: Run, name: str, stage: str) -> None:
    run.remove(name)
    assert [missing.stage for missing in gather(run.where).missing] == [stage]


def test_without_masks_nothing_is_scored_and_nothing_missing(run: Run) -> None:
    for step in STEPS:
        path = run.folder / "metrics" / f"{step}.json"
        path.write_text(json.dumps({"split": "train", "images": 0, "mIoU": None}))
    (run.folder / "plots/threshold_curve.csv").write_text("threshold,mIoU,precision,recall,mark\n")
    for step in ("crf", "masks", "val"):
        path = run.folder / "plots" / f"{step}_confusion.csv"
        lines = [line.rsplit(",", 1)[0] + ",0" for line in path.read_text().splitlines()[1:]]
        path.write_text("\n".join(["truth,label,pixels", *lines]) + "\n")
    facts = gather(run.where)
    assert facts.curve is None
    assert not facts.confusions
    assert facts.missing == ()
    assert all(found.miou is None for found in facts.scores.values())


def test_an_imported_backbone_has_no_losses(run: Run) -> None:
    (run.folder / "plots/backbone.csv").write_text("step,lr,loss\n")
    facts = gather(run.where)
    assert "backbone" not in facts.trainings
    assert facts.missing == ()


def spoil(path: Path, change_text: Callable[[str], str]) -> None:
    path.write_text(change_text(path.read_text()))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("metrics/val.json", "{", "not valid JSON"),
        ("metrics/val.json", "[]", "(file)"),
        ("metrics/val.json", '{"split": "val", "images": 3}', "mIoU: Field required"),
        ("metrics/val.json", '{"split": "val", "images": "x", "mIoU": 1}', "images"),
        ("metrics/val_classes.json", '{"IoU": {"cat": "x"}}', "IoU.cat"),
        ("metrics/data.json", '{"images": 3}', "classes: Field required"),
        ("metrics/segmentation.json", "{}", "backbone"),
        ("plots/threshold_curve.csv", "threshold,mIoU,precision,recall\n", "no column mark"),
        ("plots/threshold_curve.csv", "", "no table"),
        ("plots/train_cam.csv", "step,lr,loss\n0,0.1\n", "line 2 has 2 cells, not 3"),
        ("plots/train_cam.csv", "step,lr,loss\n0,0.1,nan\n", "loss is 'nan'"),
        ("plots/train_cam.csv", "step,lr,loss\n0,0.1,x\n", "loss is 'x'"),
        ("plots/val_confusion.csv", "truth,label,pixels\na,b,3\n", "'b' is a label but no truth"),
        ("plots/val_confusion.csv", "truth,label,pixels\na,a,3\nb,b,3\n", "some pairs"),
        ("outputs/panels/panels.json", '{"pictures": []}', "legend"),
        ("outputs/panels/picture_0_0.png", "no picture", "cannot be read as a picture"),
        ("outputs/cams.h5", "no HDF5", "truncated or no HDF5 file"),
    ],
)
def test_what_cannot_be_read_is_named(run: Run, name: str, text: str, said: str) -> None:
    (run.folder / name).write_text(text)
    with pytest.raises(HscError) as caught:
        gather(run.where)
    message = str(caught.value)
    assert message.startswith(str(run.folder / name))
    assert said in message


def test_bytes_that_are_no_text(run: Run) -> None:
    path = run.folder / "plots/train_cam.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(HscError, match=r"cannot be read as text.*run train_cam again"):
        gather(run.where)


def test_a_missing_picture_of_the_panels(run: Run) -> None:
    run.remove("outputs/panels/picture_1_2.png")
    with pytest.raises(HscError, match=r"picture_1_2\.png"):
        gather(run.where)


def test_a_picture_elsewhere_is_refused(run: Run) -> None:
    spoil(
        run.folder / "outputs/panels/panels.json",
        lambda text: text.replace("picture_0_0.png", "../../secret.png"),
    )
    with pytest.raises(HscError, match="file: String should match pattern"):
        gather(run.where)


def test_confusion_of_many_pixels_is_exact(run: Run) -> None:
    path = run.folder / "plots/val_confusion.csv"
    count = 2**50 + 1
    spoil(path, lambda text: text.replace(text.splitlines()[1], f"background,background,{count}"))
    pixels = gather(run.where).confusions["val"].pixels
    assert pixels.dtype == np.int64
    assert pixels[0, 0] == count
