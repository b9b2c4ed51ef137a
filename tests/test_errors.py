"""What bad input gets, stage by stage: one line that names what is wrong, and nothing half-written.

Each test breaks one thing in a folder in which the whole pipeline has run.
"""

import errno
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image

from hsc.nets.weights import load_weights, save_weights
from tests.stage_runs import (
    OWN,
    PlainStage,
    change,
    contents,
    remove,
    run_here,
    run_well,
    stage,
    stages,
    write_settings,
    write_yaml,
)

pytestmark = pytest.mark.usefixtures("cpu")

DATA = Path("outputs/data/shapes")
PICTURE = DATA / "JPEGImages" / "train_00003.jpg"
RESUME = ".hsc/resume/"
TRAININGS = ("prepare_backbone", "train_cam", "train_affinity", "train_segmentation")
READ_TRAIN = (*TRAININGS, "infer_cams", "refine_crf", "label_affinity", "refine_masks")
"""The stages that read the pictures of train_aug."""


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory, cpu: Any) -> Path:
    """A folder in which all stages have run, those of PSA too. Tests must not change it."""
    folder = tmp_path_factory.mktemp("ready")
    write_settings(folder)
    change(folder / "params.yaml", psa__enabled=True)
    for each in stages():
        run_well(each, folder)
    return folder


@pytest.fixture
def work(ready: Path, tmp_path: Path) -> Path:
    """A copy of it, to break."""
    return shutil.copytree(ready, tmp_path / "work")


@pytest.fixture
def source(work: Path) -> Path:
    """A user's own folder, which `data: folder` of the settings in `work` points to."""
    source = shutil.copytree(work / DATA, work / "source")
    recipe = yaml.safe_load((work / "recipes" / "shapes.yaml").read_text())
    recipe["prepare_data"] = OWN | {"path": "source"}
    write_yaml(work / "recipes" / "folder.yaml", recipe)
    change(work / "params.yaml", data="folder")
    return source


def fail(work: Path, name: str, data: str = "shapes", **variables: str) -> str:
    """Run a stage that must fail; its error line.

    It ends with code 1 and one line with its document, no traceback, and leaves every file as it
    was: no output and no part of one. (Resume states, which no later stage reads, and a training's
    table of losses, which people read meanwhile, may stay.)
    """
    it = stage(name, data)
    it.clear(work)
    before = without_states(work, it)
    result = run_here(it, work, **variables)
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    *bars, line, page = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert page.startswith("help: docs/")
    assert not [bar for bar in bars if "Error" in bar]
    assert not list(work.rglob("*.partial"))
    assert without_states(work, it) == before
    return line.removeprefix("Error: ")


def without_states(work: Path, it: PlainStage) -> dict[str, bytes]:
    """All files but the resume states and the table of losses that a training writes as it goes."""
    growing = {path for path in it.outs if path.startswith("plots/") and it.name in TRAININGS}
    return {
        name: data
        for name, data in contents(work).items()
        if not name.startswith(RESUME) and name not in growing
    }


def cut(path: Path) -> None:
    """Leave the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def labels(path: Path, values: NDArray[np.uint8]) -> None:
    """Replace a label map or a saliency map."""
    path.unlink()  # never through a hard link into another folder
    Image.fromarray(values).save(path)


def replace(path: Path, old: str, new: str) -> None:
    """Replace words in a text file."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# Pictures


@pytest.mark.parametrize("name", READ_TRAIN)
def test_missing_picture(work: Path, name: str) -> None:
    (work / PICTURE).unlink()
    assert fail(work, name).startswith(f"{PICTURE}: no such picture")


@pytest.mark.parametrize("name", READ_TRAIN)
def test_truncated_picture(work: Path, name: str) -> None:
    cut(work / PICTURE)
    assert fail(work, name).startswith(f"{PICTURE}: cannot be read as a picture")


@pytest.mark.parametrize("break_it", [Path.unlink, cut], ids=["missing", "truncated"])
def test_bad_picture_of_val(work: Path, break_it: Callable[[Path], None]) -> None:
    path = DATA / "JPEGImages" / "val_00001.jpg"
    break_it(work / path)
    assert fail(work, "predict_segmentation").startswith(f"{path}: ")


def test_truncated_picture_in_a_loader_process(work: Path) -> None:
    cut(work / PICTURE)
    error = fail(work, "infer_cams", HSC_WORKERS="1")
    assert error.startswith(f"{PICTURE}: cannot be read as a picture")


@pytest.mark.parametrize("break_it", [Path.unlink, cut], ids=["missing", "truncated"])
def test_bad_picture_in_an_own_folder(
    work: Path, source: Path, break_it: Callable[[Path], None]
) -> None:
    break_it(source / "JPEGImages" / "train_00003.jpg")
    error = fail(work, "prepare_data", "folder")
    assert error.startswith("source/JPEGImages")
    assert "train_00003" in error


# Splits, tags, saliency, masks


def test_id_in_two_splits(work: Path, source: Path) -> None:
    path = source / "ImageSets" / "Segmentation" / "val.txt"
    path.write_text(path.read_text() + "train_00003\n")
    error = fail(work, "prepare_data", "folder")
    assert "val.txt: id 'train_00003' is in train_aug too" in error


def test_tag_with_no_class(work: Path, source: Path) -> None:
    replace(source / "tags.csv", "dotted", "spotted")
    error = fail(work, "prepare_data", "folder")
    assert error.startswith("source/tags.csv: tag 'spotted' of ")
    assert "is no class of source/classes.txt" in error


@pytest.mark.parametrize("name", ["prepare_backbone", "train_cam", "infer_cams"])
def test_tag_with_no_class_later(work: Path, name: str) -> None:
    replace(work / DATA / "tags.csv", "dotted", "spotted")
    assert "tags.csv: tag 'spotted' of id '" in fail(work, name)


@pytest.mark.parametrize("name", ["prepare_data", "train_cam"])
def test_saliency_of_another_size(work: Path, request: pytest.FixtureRequest, name: str) -> None:
    data = "shapes" if name == "train_cam" else "folder"
    root = DATA if name == "train_cam" else request.getfixturevalue("source").relative_to(work)
    change(work / "params.yaml", baseline="eps")
    path = root / "Saliency" / "train_00003.png"
    labels(work / path, np.zeros((40, 39), np.uint8))
    assert fail(work, name, data).startswith(f"{path}: 39x40 pixels, but the picture")


def test_missing_saliency(work: Path) -> None:
    change(work / "params.yaml", baseline="eps")
    path = DATA / "Saliency" / "train_00003.png"
    (work / path).unlink()
    assert fail(work, "train_cam").startswith(f"{path}: no such ")


@pytest.mark.parametrize("name", ["make_seeds", "evaluate_crf"])
@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (np.full((40, 40), 77, np.uint8), "index 77 is impossible with 8 classes"),
        (np.zeros((40, 39), np.uint8), "39x40 pixels, but the picture"),
    ],
    ids=["index", "size"],
)
def test_impossible_mask(work: Path, name: str, values: NDArray[np.uint8], problem: str) -> None:
    path = DATA / "SegmentationClass" / "train_00003.png"
    labels(work / path, values)
    assert fail(work, name).startswith(f"{path}: {problem}")


def test_impossible_mask_in_an_own_folder(work: Path, source: Path) -> None:
    labels(source / "SegmentationClass" / "train_00003.png", np.full((40, 40), 9, np.uint8))
    error = fail(work, "prepare_data", "folder")
    assert error.startswith("source/SegmentationClass/train_00003.png: index 9 is impossible")


@pytest.mark.parametrize(
    ("name", "folder", "picture"),
    [
        ("refine_crf", "seeds", "train_00003"),
        ("evaluate_crf", "crf", "train_00003"),
        ("train_segmentation", "masks", "train_00003"),
        ("evaluate_masks", "masks", "train_00003"),
        ("evaluate_val", "predictions", "val_00001"),
    ],
)
@pytest.mark.parametrize("break_it", ["index", "size", "cut", "missing"])
def test_impossible_labels_of_an_earlier_stage(
    work: Path, name: str, folder: str, picture: str, break_it: str
) -> None:
    path = Path("outputs") / folder / f"{picture}.png"
    if break_it == "missing":
        (work / path).unlink()
    elif break_it == "cut":
        cut(work / path)
    else:
        size = (40, 39) if break_it == "size" else (40, 40)
        labels(work / path, np.full(size, 77 if break_it == "index" else 0, np.uint8))
    error = fail(work, name)
    assert error.startswith(f"{path}: ")
    if break_it == "index":
        assert "77" in error


@pytest.mark.parametrize(
    ("name", "folder"),
    [("evaluate_crf", "crf"), ("evaluate_masks", "masks"), ("evaluate_val", "predictions")],
)
def test_labels_of_no_picture_of_the_split(work: Path, name: str, folder: str) -> None:
    path = Path("outputs") / folder / "other_00001.png"
    labels_of = "train_00003" if folder != "predictions" else "val_00001"
    shutil.copyfile(work / "outputs" / folder / f"{labels_of}.png", work / path)
    assert fail(work, name).startswith(f"{path}: of no picture of ")


# Artifacts of earlier stages

INPUTS = [(each.name, path) for each in stages() for path in each.inputs]
AUXSEGNET = {
    ("train_segmentation", "outputs/cam.pt"),
    ("train_segmentation", "outputs/cams.h5"),
    ("evaluate_rounds", "outputs/rounds"),
}
FILES = [(name, path) for name, path in INPUTS if Path(path).suffix]


def read(work: Path, name: str, path: str) -> None:
    """Choose the parameters with which a stage that declares an input reads it."""
    if (name, path) in AUXSEGNET:
        change(work / "params.yaml", segmentation="auxsegnet")
    if (name, path) == ("draw_panels", "outputs/cam.pt"):
        change(work / "params.yaml", contrast="dscnet")
    if path == "outputs/cams.h5":
        change(work / "recipes" / "shapes.yaml", refine_crf__seam__unary="alpha")
    if path == "outputs/crf":
        change(work / "params.yaml", psa__enabled=False)


@pytest.mark.parametrize(("name", "path"), INPUTS)
def test_missing_input_names_what_to_run(work: Path, name: str, path: str) -> None:
    read(work, name, path)
    remove(work / path)
    error = fail(work, name)
    assert error.startswith(path)
    assert re.search(r"no such file|no files in it", error)
    assert re.search(r"run (prepare_data|`dvc repro \w+`|the stage that writes)", error)


@pytest.mark.parametrize("break_it", ["cut", "empty", "other"])
@pytest.mark.parametrize(("name", "path"), FILES)
def test_truncated_input(work: Path, name: str, path: str, break_it: str) -> None:
    read(work, name, path)
    if break_it == "cut":
        cut(work / path)
    else:
        (work / path).write_bytes(b"" if break_it == "empty" else b"no such format" * 99)
    error = fail(work, name)
    assert error.startswith(f"{path}: ")
    assert re.search(r"truncated|no readable weights file", error)


@pytest.mark.parametrize(
    ("name", "found", "expected"),
    [
        ("predict_segmentation", "cam.pt", "segmentation.pt"),
        ("draw_panels", "backbone.pt", "segmentation.pt"),
        ("infer_cams", "segmentation.pt", "cam.pt"),
        ("train_cam", "cam.pt", "backbone.pt"),
        ("train_segmentation", "segmentation.pt", "backbone.pt"),
        ("train_affinity", "affinity.pt", "backbone.pt"),
        ("refine_masks", "backbone.pt", "affinity.pt"),
    ],
)
def test_weights_of_another_network(work: Path, name: str, found: str, expected: str) -> None:
    outputs = work / "outputs"
    shutil.copyfile(outputs / found, outputs / expected)
    error = fail(work, name)
    kinds = {"cam.pt": "cam", "segmentation.pt": "deeplab", "backbone.pt": "backbone"}
    kinds["affinity.pt"] = "affinity"
    asked = "deeplab or auxsegnet" if expected == "segmentation.pt" else kinds[expected]
    assert error.startswith(f"outputs/{expected}: expected {asked} weights")
    assert f"found '{kinds[found]}'" in error


@pytest.mark.parametrize("name", ["train_cam", "train_affinity", "train_segmentation"])
def test_backbone_of_other_widths(work: Path, name: str) -> None:
    other = {f"{network}__widths": [4, 4, 8, 9] for network in ("network", "segmentation_network")}
    change(work / "recipes" / "shapes.yaml", **other)
    error = fail(work, name)
    assert error.startswith("outputs/backbone.pt: its widths is [4, 4, 8, 8], the recipe's is")
    assert error.endswith("run prepare_backbone again")


def test_the_segmentation_network_on_another_backbone_than_the_prepared(work: Path) -> None:
    """Told before anything runs."""
    change(work / "recipes" / "shapes.yaml", segmentation_network__widths=[4, 4, 8, 9])
    error = fail(work, "prepare_data")
    assert error.startswith("recipes/shapes.yaml: (file): ")
    assert (
        "train_segmentation.deeplab.initial_weights is prepare_backbone, but backbone or widths"
        in error
    )


def test_weights_that_have_seen_masks(work: Path) -> None:
    """Our own segmentation network's, where the recipe does not admit them."""
    recipe = work / "recipes" / "shapes.yaml"
    shutil.copyfile(work / "outputs" / "segmentation.pt", work / "other.pt")
    initial = {"weights": "other.pt", "layout": "own"}
    change(recipe, train_segmentation__deeplab__initial_weights=initial)
    error = fail(work, "train_segmentation")
    assert error.startswith("other.pt: it holds deeplab weights, so its weights were trained on")
    change(recipe, prepare_backbone=initial)
    assert fail(work, "prepare_backbone") == error
    admitted = initial | {"supervision": "masks"}
    change(recipe, prepare_backbone=admitted, train_segmentation__deeplab__initial_weights=admitted)
    for name, metrics in (("prepare_backbone", "backbone"), ("train_segmentation", "segmentation")):
        run_well(stage(name), work)
        assert '"supervision": "masks"' in (work / "metrics" / f"{metrics}.json").read_text()


def test_weights_of_another_head(work: Path) -> None:
    path = work / "outputs" / "segmentation.pt"
    spec, state = load_weights(path, "deeplab")
    other = {"kind": "largefov", "channels": 8, "dilation": 12, "norm_momentum": 0.1}
    head = other | {"dropout": 0.5, "dropout_of": "values"}
    save_weights(path, "deeplab", spec | {"head": head}, state)
    for name in ("predict_segmentation", "draw_panels"):
        error = fail(work, name)
        assert error.startswith(
            "outputs/segmentation.pt: weights of another network: missing head."
        )
        assert "unexpected head.mix.0.weight" in error


def test_weights_with_missing_and_unexpected_keys(work: Path) -> None:
    path = work / "outputs" / "cam.pt"
    spec, state = load_weights(path, "cam")
    state["neck.weight"] = state.pop("head.weight")
    save_weights(path, "cam", spec, state)
    error = fail(work, "infer_cams")
    assert error.startswith("outputs/cam.pt: weights of another network: ")
    assert "missing head.weight" in error
    assert "unexpected neck.weight" in error


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("infer_cams", "cam.pt"),
        ("make_seeds", "cams.h5"),
        ("predict_segmentation", "segmentation.pt"),
        ("draw_panels", "segmentation.pt"),
    ],
)
def test_artifacts_of_other_classes(work: Path, name: str, path: str) -> None:
    for text in ("classes.txt", "tags.csv"):
        replace(work / DATA / text, "dotted", "spotted")
    error = fail(work, name)
    assert error.startswith(f"outputs/{path}: ")
    assert "dotted" in error
    assert "spotted" in error


def test_cams_of_another_split(work: Path) -> None:
    for split in ("train", "train_aug"):
        replace(work / DATA / "ImageSets/Segmentation" / f"{split}.txt", "train_00003", "val_00003")
    assert fail(work, "make_seeds").startswith("outputs/cams.h5: no map of val_00003")


def test_refined_maps_of_a_network_without_them(work: Path) -> None:
    change(work / "params.yaml", baseline="cam", contrast="none")
    run_well(stage("train_cam"), work)
    change(work / "recipes" / "shapes.yaml", infer_cams__cam__maps="refined")
    assert fail(work, "infer_cams").startswith("infer_cams: maps: refined, but this network has no")


# Parameters


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("gama", 1, "gama: Extra inputs are not permitted"),
        ("seed", -1, "seed: Input should be greater than or equal to 0"),
        (
            "baseline",
            "irn",
            "baseline: 'irn' has no settings in recipes/shapes.yaml under train_cam",
        ),
        ("data", "../shapes", "data: String should match pattern"),
        ("data", "coco", "data: 'coco' has no recipe recipes/coco.yaml; there are: shapes"),
    ],
)
def test_wrong_parameter(work: Path, key: str, value: Any, problem: str) -> None:
    change(work / "params.yaml", **{key: value})
    assert fail(work, "refine_masks").startswith(f"params.yaml: {problem}")


@pytest.mark.parametrize("name", ["prepare_data", "train_cam"])
@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("hsc__gama", 1, "hsc.gama: Extra inputs are not permitted"),
        ("hsc__gamma", "much", "hsc.gamma: Input should be a valid number"),
        ("hsc__roi", "perhaps", "hsc.roi: Input should be a valid boolean"),
        ("ppc__k", 0, "ppc.k: Input should be greater than or equal to 1"),  # not chosen
        ("contrast", "cpp", "contrast: 'cpp' is none; there are: dscnet, hsc, ppc, none"),
    ],
)
def test_wrong_constant_of_a_method(
    work: Path, name: str, key: str, value: Any, problem: str
) -> None:
    """The first stage says so, and the one that reads them; no stage between them reads them."""
    change(work / "params.yaml", **{key: value})
    assert fail(work, name).startswith(f"params.yaml: {problem}")


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("train_cam__seam__stepz", 1, "train_cam.seam.stepz: Extra inputs are not permitted"),
        ("train_cam__seam__steps", 1.5, "train_cam.seam.steps: Input should be a valid integer"),
        ("infer_cams__eps__scales", [], "infer_cams.eps.scales: Tuple should have at least 1"),
        ("prepare_data__sizes", 1, "prepare_data: sizes: "),
        ("prepare_data__size", "big", "prepare_data: size: Input should be a valid integer"),
    ],
)
def test_wrong_parameter_in_the_recipe(work: Path, key: str, value: Any, problem: str) -> None:
    change(work / "recipes" / "shapes.yaml", **{key: value})
    assert fail(work, "prepare_data").startswith(f"recipes/shapes.yaml: {problem}")


@pytest.mark.parametrize("name", ["prepare_backbone", "train_cam", "train_segmentation"])
def test_unknown_backbone(work: Path, name: str) -> None:
    other = {f"{net}__backbone": "resnet1" for net in ("network", "segmentation_network")}
    change(work / "recipes" / "shapes.yaml", **other)
    assert "'resnet1'" in fail(work, name)


@pytest.mark.parametrize("path", ["params.yaml", "recipes/shapes.yaml"])
@pytest.mark.parametrize("break_it", [Path.unlink, lambda path: path.write_text("a: [1")])
def test_parameter_file_that_cannot_be_read(
    work: Path, path: str, break_it: Callable[[Path], Any]
) -> None:
    break_it(work / path)
    result = run_here(stage("refine_masks"), work)
    assert result.exit_code == 1
    assert path in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("name", "variable", "value"),
    [
        ("train_cam", "HSC_DEVICE", "tpu"),
        ("infer_cams", "HSC_PRECISION", "fp8"),
        ("predict_segmentation", "HSC_WORKERS", "many"),
        ("refine_crf", "HSC_PROCESSES", "0"),
    ],
)
def test_wrong_environment(work: Path, name: str, variable: str, value: str) -> None:
    assert fail(work, name, **{variable: value}).startswith(f"{variable}: '{value}'")


# Numbers that are not finite


@pytest.mark.parametrize(
    ("key", "name", "title"),
    [
        ("prepare_backbone__lr", "prepare_backbone", "warm-up"),
        ("train_cam__seam__lr", "train_cam", "CAM training"),
        ("train_segmentation__deeplab__lr", "train_segmentation", "segmentation training"),
    ],
)
def test_loss_that_is_not_finite_names_term_and_step(
    work: Path, key: str, name: str, title: str
) -> None:
    change(work / "recipes" / "shapes.yaml", **{key: 1e30})
    error = fail(work, name)
    assert re.match(rf"{title}, step [1-3]: not finite: loss\b.*; lower the learning rate", error)


def test_nothing_is_written_when_the_last_step_goes_wrong(work: Path) -> None:
    """The loss of the only step is fine, the weights after it are not."""
    one_huge_step = {"steps": 1, "optimiser": "sgd", "lr": 3e38, "lr_new": 1, "lr_projector": 1}
    one_huge_step["clip_norm"] = None
    recipe = work / "recipes" / "shapes.yaml"
    change(recipe, **{f"train_cam__seam__{key}": value for key, value in one_huge_step.items()})
    assert "step 0: the weights are not finite" in fail(work, "train_cam")


# A full disk


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("prepare_backbone", "outputs/backbone.pt"),
        ("train_cam", "outputs/cam.pt"),
        ("infer_cams", "outputs/cams.h5"),
        ("train_segmentation", "outputs/segmentation.pt"),
        ("draw_panels", "plots/panels.png"),
        ("evaluate_val", "metrics/val.json"),
    ],
)
def test_full_disk(work: Path, ready: Path, name: str, path: str) -> None:
    partial = work / f"{path}.partial"
    partial.symlink_to("/dev/full")  # every write to it fails as on a full disk
    assert fail(work, name).startswith(f"{path}: no space left; free some and run the same command")
    assert not os.path.lexists(partial)
    run_well(stage(name), work)
    assert contents(work) == contents(ready), "as if there had been space from the start"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("prepare_data", "outputs/data/shapes"),
        ("make_seeds", "outputs/seeds"),
        ("refine_crf", "outputs/crf"),
        ("predict_segmentation", "outputs/predictions"),
    ],
)
def test_full_disk_half_way_through_a_folder(
    work: Path, ready: Path, monkeypatch: pytest.MonkeyPatch, name: str, path: str
) -> None:
    save, space = Image.Image.save, iter(range(3))

    def save_while_there_is_space(image: Image.Image, file: Path, **options: Any) -> None:
        save(image, file, **options)
        if next(space, None) is None:
            cut(file)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", save_while_there_is_space)
        assert fail(work, name).startswith(f"{path}: no space left")
    run_well(stage(name), work)
    assert contents(work) == contents(ready)


def test_full_disk_while_linking(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(work / "params.yaml", psa__enabled=False)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(shutil, "copyfile", full)
    assert fail(work, "refine_masks").startswith("outputs/masks: no space left")


def test_full_disk_at_a_checkpoint(
    work: Path, ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, space = os.fsync, iter(range(2))  # a state and the table of losses

    def sync_while_there_is_space(descriptor: int) -> None:
        if next(space, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", sync_while_there_is_space)
        error = fail(work, "train_cam")
    assert error.startswith(f"{RESUME}train_cam-")
    (kept,) = (work / RESUME).iterdir()
    assert torch.load(kept, weights_only=True)["step"] == 2, "the checkpoint before"
    run_well(stage("train_cam"), work)
    assert contents(work) == contents(ready)


# Resume states


def test_damaged_resume_state(work: Path, ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage("train_cam").clear(work)
    with monkeypatch.context() as patch:
        patch.setattr("stages.train_cam.write_history", lambda *_: exit(9))
        assert run_here(stage("train_cam"), work).exit_code == 9
    (state,) = (work / RESUME).iterdir()
    cut(state)
    error = fail(work, "train_cam")
    assert error.startswith(f"{RESUME}{state.name}: no readable weights file")
    assert error.endswith("Delete it to start this training again.")
    state.unlink()
    run_well(stage("train_cam"), work)
    assert contents(work) == contents(ready)
