"""The whole pipeline as dvc.yaml writes it, on a tiny data set: outputs, metrics, hygiene,
variants, the same bytes again, and after `kill -9`.
"""

import csv
import dataclasses
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml

from hsc.base.made import MARK
from hsc.data.classes import SHAPES_CLASSES
from hsc.data.label_maps import read_labels
from hsc.data.voc import VocFolder
from hsc.store import CamReader
from tests.sources.brought import bring
from tests.stage_runs import (
    BASELINES,
    OWN,
    ROOT,
    change,
    contents,
    environment,
    remove,
    run_here,
    run_process,
    run_well,
    stage,
    stages,
    write_settings,
    write_yaml,
)

pytestmark = pytest.mark.usefixtures("cpu")

DATA = "outputs/data/shapes"
MASKS = f"{DATA}/SegmentationClass"


class Finished(NamedTuple):
    """A folder in which every stage has run as a process of its own, and what they printed."""

    folder: Path
    printed: dict[str, str]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Tests must not change it."""
    folder = tmp_path_factory.mktemp("finished")
    write_settings(folder)
    printed = {}
    for each in stages():
        each.clear(folder)
        done = run_process(each, folder)
        assert done.returncode == 0, f"{each.name}: {done.stderr}"
        printed[each.name] = done.stdout
    return Finished(folder, printed)


@pytest.fixture
def work(finished: Finished, tmp_path: Path) -> Path:
    """A copy of it, to run stages in."""
    return shutil.copytree(finished.folder, tmp_path / "work")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def header(path: Path) -> list[str]:
    return path.read_text().splitlines()[0].split(",")


# What is written


@pytest.mark.parametrize("name", [each.name for each in stages()])
def test_everything_declared_is_written(finished: Finished, name: str) -> None:
    it = stage(name)
    for path in (*it.outs, *it.metrics):
        target = finished.folder / path
        assert target.exists(), path
        assert list(target.iterdir()) if target.is_dir() else target.stat().st_size, path


def test_nothing_else_is_written(finished: Finished) -> None:
    declared = [path for each in stages() for path in (*each.outs, *each.metrics)]
    given = ["params.yaml", "recipes"]
    for path in contents(finished.folder):
        assert path.startswith(tuple(declared + given)), f"{path}: left behind"


@pytest.mark.parametrize("name", [each.name for each in stages()])
def test_one_summary_line(finished: Finished, name: str) -> None:
    it = stage(name)
    *table, line = finished.printed[name].splitlines()
    assert bool(table) == (name == "prepare_data")
    subject = it.inputs[0] if name.startswith("evaluate") else it.outs[0]
    assert line.startswith(f"{subject}: ")
    assert line.endswith(" s)")


READ_BY_TEMPLATES = {
    "threshold_curve": {"threshold", "mark"},
    "precision_recall": {"threshold", "mark"},
    "pixel_confusion": {"pixels"},
    "class_iou": set(),
    "training": {"lr"},
    "rounds": {"precision", "recall", "labelled"},
}
"""The columns that a template needs beside x and y."""


def test_what_dvc_plots_is_there(finished: Finished) -> None:
    for plot in yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]:
        if isinstance(plot, str):
            assert (finished.folder / plot).read_bytes().startswith(b"\x89PNG")
            continue
        (it,) = plot.values()
        ((path, column),) = it["y"].items()
        columns = set(header(finished.folder / path))
        assert {it["x"], column} | READ_BY_TEMPLATES[it["template"]] <= columns
        if it["template"] == "training":
            assert columns - {"step"} <= plotted_terms()


def plotted_terms() -> set[str]:
    """The columns of a training's table that the template shows."""
    template = read_json(ROOT / ".dvc" / "plots" / "training.json")
    (terms,) = [step["fold"] for step in template["transform"] if "fold" in step]
    return set(terms)


def test_loss_tables_have_a_line_a_step(finished: Finished) -> None:
    for name, steps in {"backbone": 3, "train_cam": 6, "train_segmentation": 4}.items():
        with (finished.folder / "plots" / f"{name}.csv").open() as stream:
            rows = list(csv.DictReader(stream))
        assert [row["step"] for row in rows] == [str(step) for step in range(steps)]
        assert all(np.isfinite(float(row["loss"])) for row in rows)


@pytest.mark.parametrize(
    ("name", "split", "images"),
    [("seeds", "train", 8), ("crf", "train", 8), ("masks", "train", 8), ("val", "val", 4)],
)
def test_metrics_say_of_what(finished: Finished, name: str, split: str, images: int) -> None:
    scores = read_json(finished.folder / "metrics" / f"{name}.json")
    assert scores["split"] == split
    assert scores["images"] == images
    classes = read_json(finished.folder / "metrics" / f"{name}_classes.json")
    names = ["background", *SHAPES_CLASSES]
    assert sorted([*classes["IoU"], *classes["absent"]]) == sorted(names)
    assert all(0 <= value <= 100 for value in classes["IoU"].values())
    assert scores["mIoU"] == pytest.approx(np.mean(list(classes["IoU"].values())), abs=1e-3)


def test_seeds_metrics_have_both_thresholds(finished: Finished) -> None:
    scores = read_json(finished.folder / "metrics" / "seeds.json")
    assert scores["threshold"] == scores["best_threshold"], "params.yaml: best"
    assert scores["mIoU"] == scores["best_mIoU"]
    with (finished.folder / "plots" / "threshold_curve.csv").open() as stream:
        curve = {float(row["threshold"]): float(row["mIoU"]) for row in csv.DictReader(stream)}
    assert max(curve.values()) == pytest.approx(scores["best_mIoU"], abs=1e-3)
    assert curve[scores["threshold"]] == pytest.approx(scores["mIoU"], abs=1e-3)


def test_data_metrics_count(finished: Finished) -> None:
    counts = read_json(finished.folder / "metrics" / "data.json")
    assert counts["images"] == 16
    assert counts["classes"] == 8
    assert counts["splits"] == {"train_aug": 12, "train": 8, "val": 4}


def test_labels_for_every_picture(finished: Finished) -> None:
    folder = VocFolder(finished.folder / DATA)
    outputs = finished.folder / "outputs"
    for name, split in {
        "seeds": "train_aug", "crf": "train_aug", "masks": "train_aug", "predictions": "val",
    }.items():  # fmt: skip
        ids = folder.ids(split)
        files = {path.name for path in (outputs / name).iterdir()} - {MARK}
        assert files == {f"{image_id}.png" for image_id in ids}
        for image_id in ids:
            labels = read_labels(outputs / name, image_id)
            assert labels.shape == folder.size(image_id)
            assert labels.max() <= folder.num_classes
            if name == "seeds":
                tagged = np.flatnonzero(folder.tags(image_id)) + 1
                assert set(np.unique(labels)) <= {0, *tagged}


def test_cams_of_every_tagged_class(finished: Finished) -> None:
    folder = VocFolder(finished.folder / DATA)
    with CamReader(finished.folder / "outputs" / "cams.h5") as cams:
        assert cams.ids == sorted(folder.ids("train_aug"))
        for image_id in cams.ids:
            cam, classes = cams.read(image_id)
            assert classes.tolist() == (np.flatnonzero(folder.tags(image_id)) + 1).tolist()
            assert cam.shape == (len(classes), *folder.size(image_id))


def test_masks_are_the_linked_files_of_the_crf(finished: Finished) -> None:
    outputs = finished.folder / "outputs"
    for mask in (outputs / "masks").glob("*.png"):
        assert mask.samefile(outputs / "crf" / mask.name)


@pytest.mark.parametrize(
    "name",
    [
        "make_seeds", "refine_crf", "label_affinity", "refine_masks", "predict_segmentation",
        "draw_panels",
    ],
)  # fmt: skip
def test_a_folder_of_a_person_given_as_out(finished: Finished, tmp_path: Path, name: str) -> None:
    """A script that is run by hand replaces no folder that a stage did not make."""
    work = shutil.copytree(finished.folder, tmp_path / "work")
    mine = bring(work / "mine")
    before = contents(mine)
    it = stage(name)
    result = run_here(dataclasses.replace(it, cmd=f"{it.cmd} --out mine"), work)
    assert result.exit_code == 1
    assert "Error: mine: 25 files in it were put there" in result.stderr
    assert contents(mine) == before


# The same bytes again


def test_a_second_run_gives_the_same_bytes(finished: Finished, tmp_path: Path) -> None:
    """In one process with one CRF process, where the first had a process a stage and two."""
    write_settings(tmp_path)
    for each in stages():
        run_well(each, tmp_path)
    first, second = contents(finished.folder), contents(tmp_path)
    assert sorted(second) == sorted(first)
    assert [path for path in first if second[path] != first[path]] == []


KILLER = """
import importlib, json, os, shlex, signal, sys

import torch._dynamo  # which the first optimiser of a process would load


def kill_at(target, call):
    module, _, way = target.partition(":")
    *way, name = way.split(".")
    owner = importlib.import_module(module)
    for step in way:
        owner = getattr(owner, step)
    original, before = getattr(owner, name), iter(range(1, call))

    def deadly(*arguments, **options):
        if next(before, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)

    setattr(owner, name, deadly)

moments = json.loads(sys.argv[1])
mains = {m["cmd"]: importlib.import_module(shlex.split(m["cmd"])[2]).main for m in moments}
ends = []
for moment in moments:
    child = os.fork()  # torch is loaded once, and no thread runs yet
    if child == 0:
        try:
            os.chdir(moment["folder"])
            kill_at(moment["target"], moment["call"])
            mains[moment["cmd"]](shlex.split(moment["cmd"])[3:])
        finally:
            os._exit(0)
    ends.append(os.WTERMSIG(os.waitpid(child, 0)[1]))
print(json.dumps(ends))
"""
IMAGE_SAVE = "PIL.Image:Image.save"
MOMENTS = {
    "prepare_data": ("prepare_data", IMAGE_SAVE, 10),
    "prepare_backbone": ("prepare_backbone", "hsc.weights.warmup:_TagObjective.commit", 2),
    "train_cam between checkpoints": ("train_cam", "hsc.methods.method:Method.commit", 6),
    "train_cam in a checkpoint": ("train_cam", "os:fsync", 3),
    "train_cam after the weights": ("train_cam", "stages.train_cam:write_history", 1),
    "infer_cams": ("infer_cams", "hsc.store:CamWriter.add", 5),
    "infer_cams before a part's rename": ("infer_cams", "pathlib:Path.replace", 1),
    "infer_cams when it joins the parts": ("infer_cams", "hsc.store:CamWriter.extend", 1),
    "infer_cams before the rename": ("infer_cams", "pathlib:Path.replace", 2),
    "make_seeds": ("make_seeds", IMAGE_SAVE, 5),
    "make_seeds before the scores": ("make_seeds", "stages.make_seeds:write_scores", 1),
    "refine_crf": ("refine_crf", IMAGE_SAVE, 5),
    "refine_masks": ("refine_masks", "os:link", 5),
    "train_segmentation": (
        "train_segmentation", "hsc.segmentation.training:SegmentationObjective.commit", 4,
    ),
    "predict_segmentation": ("predict_segmentation", IMAGE_SAVE, 3),
    "evaluate": ("evaluate_val", "pathlib:Path.replace", 3),
    "draw_panels": ("draw_panels", "pathlib:Path.replace", 1),
}  # fmt: skip
"""The stage, the function at which it gets SIGKILL, and at which call of it."""
HALF_WRITTEN = {
    "prepare_data": "outputs/data/shapes.partial",
    "infer_cams when it joins the parts": "outputs/cams.h5.partial",
    "infer_cams before the rename": "outputs/cams.h5.partial",
    "make_seeds": "outputs/seeds.partial",
    "refine_crf": "outputs/crf.partial",
    "refine_masks": "outputs/masks.partial",
    "predict_segmentation": "outputs/predictions.partial",
    "evaluate": "plots/val_iou.csv.partial",
    "draw_panels": "plots/panels.png.partial",
}
STEPS = {
    "prepare_backbone": 1,
    "train_cam between checkpoints": 4,
    "train_cam in a checkpoint": 2,
    "train_cam after the weights": 4,
    "train_segmentation": 2,
}
"""The step of the last whole checkpoint."""


@pytest.fixture(scope="session")
def killed(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A copy of the finished folder for each moment, in which the stage was killed then."""
    folders, requests = {}, []
    for number, (moment, (name, target, call)) in enumerate(MOMENTS.items()):
        folder = tmp_path_factory.mktemp("killed") / str(number)
        folders[moment] = shutil.copytree(finished.folder, folder)
        it = stage(name)
        it.clear(folder)
        requests.append({"folder": str(folder), "cmd": it.cmd, "target": target, "call": call})
    done = subprocess.run(
        [sys.executable, "-c", KILLER, json.dumps(requests)],
        env=environment(HSC_PROCESSES="1"),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    ends = dict(zip(MOMENTS, json.loads(done.stdout), strict=True))
    assert ends == dict.fromkeys(MOMENTS, signal.SIGKILL), done.stderr
    return folders


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_and_started_again(
    finished: Finished, killed: dict[str, Path], tmp_path: Path, moment: str
) -> None:
    work = shutil.copytree(killed[moment], tmp_path / "work")
    it = stage(MOMENTS[moment][0])
    if moment in HALF_WRITTEN:
        assert (work / HALF_WRITTEN[moment]).exists()
    if moment in STEPS:
        assert resume_step(work) == STEPS[moment]
    made = {*it.outs, *it.metrics} - {*it.persisted}
    everything = bool(made) and all((work / path).exists() for path in made)
    assert everything == (moment == "train_cam after the weights")
    it.clear(work)  # DVC does so
    run_well(it, work)
    assert contents(work) == contents(finished.folder), "the same bytes, nothing left behind"


def resume_step(work: Path) -> int:
    """The step of the only resume state."""
    import torch

    (path,) = (work / ".hsc" / "resume").glob("*.pt")
    return torch.load(path, weights_only=True)["step"]


@pytest.mark.parametrize("change_it", ["parameter", "picture"])
def test_state_of_another_run_is_not_used(
    killed: dict[str, Path], work: Path, tmp_path: Path, change_it: str
) -> None:
    """A changed parameter or picture makes it another training, which starts at its beginning."""
    interrupted = shutil.copytree(killed["train_cam between checkpoints"], tmp_path / "interrupted")
    for folder in (work, interrupted):
        if change_it == "parameter":
            change(folder / "params.yaml", hsc__temperature=0.2)
        else:
            pictures = folder / DATA / "JPEGImages"
            shutil.copyfile(pictures / "val_00000.jpg", pictures / "train_00003.jpg")
        stage("train_cam").clear(folder)
        run_well(stage("train_cam"), folder)
    fresh, other = (folder / "outputs" / "cam.pt" for folder in (work, interrupted))
    assert fresh.read_bytes() == other.read_bytes()


# Supervision hygiene


@pytest.mark.parametrize(
    "name", ["prepare_backbone", "train_cam", "infer_cams", "refine_crf", "train_segmentation"]
)
def test_training_never_reads_masks(finished: Finished, work: Path, name: str) -> None:
    remove(work / MASKS)
    stage(name).clear(work)
    run_well(stage(name), work)
    masks = {path for path in contents(finished.folder) if path.startswith(MASKS)}
    kept = {k: v for k, v in contents(finished.folder).items() if k not in masks}
    assert contents(work) == kept, "the same bytes as with the masks"


def test_own_folder_without_masks_saliency_and_splits(work: Path) -> None:
    """Pictures and tags are enough for everything but scores."""
    source = work / "source"
    shutil.copytree(work / DATA / "JPEGImages", source / "JPEGImages")
    shutil.copyfile(work / DATA / "tags.csv", source / "tags.csv")
    recipe = yaml.safe_load((work / "recipes" / "shapes.yaml").read_text())
    recipe["prepare_data"] = OWN | {"path": str(source)}
    write_yaml(work / "recipes" / "folder.yaml", recipe)
    change(work / "params.yaml", data="folder", seeds__threshold=0.3)
    for each in stages("folder"):
        each.clear(work)
        run_well(each, work)
    for path in [path for each in stages("folder") for path in (*each.outs, *each.metrics)]:
        assert (work / path).exists(), path
    for name in ("seeds", "crf", "masks", "val"):
        scores = read_json(work / "metrics" / f"{name}.json")
        assert scores["mIoU"] is None, name


# Variants


@pytest.mark.parametrize("contrast", ["none", "hsc", "ppc"])
@pytest.mark.parametrize("baseline", BASELINES)
def test_every_variant_runs_without_masks(work: Path, baseline: str, contrast: str) -> None:
    remove(work / MASKS)
    change(work / "params.yaml", baseline=baseline, contrast=contrast)
    for name in ("train_cam", "infer_cams"):
        stage(name).clear(work)
        run_well(stage(name), work)
    columns = set(header(work / "plots" / "train_cam.csv"))
    assert {"step", "lr", "loss", "classification"} <= columns
    assert columns - {"step"} <= plotted_terms()
    assert ("pixel" in columns) == (contrast == "hsc")
    assert ("cross_label" in columns) == (contrast == "ppc")
    assert ("saliency" in columns) == (baseline == "eps")
    with CamReader(work / "outputs" / "cams.h5") as cams:
        assert len(cams.ids) == 12


def test_the_saliency_loss_on_the_refined_maps_is_plotted(work: Path) -> None:
    change(work / "params.yaml", baseline="eps", eps__refined_saliency=True)
    stage("train_cam").clear(work)
    run_well(stage("train_cam"), work)
    columns = set(header(work / "plots" / "train_cam.csv"))
    assert "refined_saliency" in columns
    assert columns - {"step"} <= plotted_terms()


def test_variants_share_the_backbone_and_differ_after_it(work: Path) -> None:
    found = set()
    for baseline in BASELINES:
        change(work / "params.yaml", baseline=baseline, contrast="none")
        stage("train_cam").clear(work)
        run_well(stage("train_cam"), work)
        found.add((work / "outputs" / "cam.pt").read_bytes())
    assert len(found) == len(BASELINES)


def test_numeric_threshold_is_used(finished: Finished, work: Path) -> None:
    change(work / "params.yaml", seeds__threshold=0.65)
    stage("make_seeds").clear(work)
    assert "at threshold 0.65" in run_well(stage("make_seeds"), work)
    best = read_json(finished.folder / "metrics" / "seeds.json")
    scores = read_json(work / "metrics" / "seeds.json")
    assert scores["threshold"] == 0.65
    assert scores["best_threshold"] == best["best_threshold"] != 0.65
    assert scores["best_mIoU"] == best["best_mIoU"] > scores["mIoU"]
    with CamReader(work / "outputs" / "cams.h5") as cams:
        for image_id in cams.ids:
            cam, classes = cams.read(image_id)
            expected = np.where(cam.max(0) > np.float32(0.65), classes[cam.argmax(0)], 0)
            np.testing.assert_array_equal(
                read_labels(work / "outputs" / "seeds", image_id), expected
            )
