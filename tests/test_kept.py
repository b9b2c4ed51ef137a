"""What a person put into the place of an output is never removed: with real DVC."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from hsc.data import voc
from tests.command_blocks import copy_repository, reader_environment
from tests.sources.brought import IDS, bring
from tests.stage_runs import OWN, change, contents, write_yaml

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone whose `shapes` are made. Tests must not change it."""
    folder = tmp_path_factory.mktemp("kept") / "clone"
    copy_repository(folder)
    recipe = yaml.safe_load((folder / "recipes" / "shapes.yaml").read_text())
    recipe["prepare_data"] = OWN | {"path": "data/folder"}
    write_yaml(folder / "recipes" / "folder.yaml", recipe)
    for command in (["git", "init", "-q"], ["git", "add", "-A"], ["git", "commit", "-qm", "code"]):
        subprocess.run(command, cwd=folder, env=reader_environment(folder.parent), check=True)
    run_in(folder)("repro", "prepare_data", check=True)
    return folder


@pytest.fixture
def clone(made: Path, tmp_path: Path) -> Path:
    """A copy of it with a cache of its own, files linked into it as they were."""
    subprocess.run(["cp", "-a", str(made), str(tmp_path / "clone")], check=True)
    return tmp_path / "clone"


@pytest.fixture
def dvc(clone: Path) -> Run:
    return run_in(clone)


def run_in(folder: Path) -> Run:
    def run(*words: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        variables = reader_environment(folder.parent)
        done = subprocess.run(
            ["dvc", *words], cwd=folder, env=variables, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stdout
        return done

    return run


def refused(done: subprocess.CompletedProcess[str], said: str) -> None:
    assert done.returncode != 0
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("Error: "))
    assert said in line
    assert "nothing was removed" in line
    assert "Traceback" not in done.stdout


def digest_of(clone: Path, stage: str) -> str:
    return yaml.safe_load((clone / "dvc.lock").read_text())["stages"][stage]["outs"][0]["md5"]


# Data sets

COMMANDS = pytest.mark.parametrize(
    "command",
    [["repro", "prepare_data"], ["exp", "run", "-S", "data=folder", "prepare_data"]],
    ids=["repro", "exp run"],
)


@COMMANDS
def test_pictures_where_the_recipe_has_them(clone: Path, dvc: Run, command: list[str]) -> None:
    mine = bring(clone / "data" / "folder")
    change(clone / "params.yaml", data="folder")
    before = contents(clone / "data")
    for options in ([], ["--force"]):
        dvc(*command, *options, check=True)
        assert contents(clone / "data") == before
    assert voc.VocFolder(clone / "outputs/data/folder").num_classes == 2
    (mine / "p00.jpg").write_bytes(b"broken")
    assert dvc(*command, "--force").returncode != 0
    assert len(contents(clone / "data")) == len(before)


@COMMANDS
def test_pictures_that_nothing_names(clone: Path, dvc: Run, command: list[str]) -> None:
    for name in ("folder", "shapes", "mine"):
        bring(clone / "data" / name)
    change(clone / "params.yaml", data="folder")
    change(clone / "recipes" / "folder.yaml", prepare_data__path="nowhere")
    before = contents(clone / "data")
    done = dvc(*command)
    assert done.returncode != 0
    assert "Error: nowhere: no such folder; put pictures and tags.csv there" in done.stdout
    dvc("exp", "run", "--force", "-S", "data=shapes", "prepare_data", check=True)
    dvc("checkout", "--force")
    dvc("gc", "--force", "--workspace", check=True)
    assert contents(clone / "data") == before


def test_pictures_in_the_place_of_an_output(clone: Path, dvc: Run) -> None:
    bring(clone / "outputs" / "data" / "folder")
    change(clone / "params.yaml", data="folder")
    before = contents(clone / "outputs" / "data" / "folder")
    refused(dvc("repro", "prepare_data"), "outputs/data/folder: 25 files in it were put there")
    assert contents(clone / "outputs" / "data" / "folder") == before
    shutil.move(clone / "outputs" / "data" / "folder", clone / "data" / "folder")
    dvc("repro", "prepare_data", check=True)


def test_pictures_that_join_a_data_set_that_was_made(clone: Path, dvc: Run) -> None:
    root = clone / "outputs/data/shapes"
    (root / "JPEGImages" / "mine.jpg").write_bytes(b"a picture that exists nowhere else")
    corrected = root / "SegmentationClass" / "train_00000.png"
    corrected.unlink()
    corrected.write_bytes(b"a mask that was corrected")
    before = contents(root)
    refused(
        dvc("repro", "prepare_data"), "(JPEGImages/mine.jpg, SegmentationClass/train_00000.png)"
    )
    assert contents(root) == before
    (root / "JPEGImages" / "mine.jpg").unlink()
    corrected.unlink()
    dvc("repro", "prepare_data", check=True)


def test_what_was_made_and_not_touched_is_made_anew(clone: Path, dvc: Run) -> None:
    before = (clone / "dvc.lock").read_text(), contents(clone / "outputs/data/shapes")
    dvc("repro", "--force", "prepare_data", check=True)
    assert ((clone / "dvc.lock").read_text(), contents(clone / "outputs/data/shapes")) == before
    change(clone / "recipes" / "shapes.yaml", prepare_data__seed=1)
    dvc("repro", "prepare_data", check=True)
    assert contents(clone / "outputs/data/shapes") != before[1]


def test_weights_are_never_touched(clone: Path, dvc: Run) -> None:
    (clone / "weights").mkdir()
    (clone / "weights" / "mine.pth").write_bytes(b"weights")
    dvc("repro", "--force", "prepare_data", check=True)
    dvc("exp", "run", "-S", "recipes/shapes.yaml:prepare_data.seed=2", "prepare_data", check=True)
    assert (clone / "weights" / "mine.pth").read_bytes() == b"weights"


def test_an_experiment_puts_outputs_back(clone: Path, dvc: Run) -> None:
    """As outputs/README.md warns: DVC does this first, and no code of ours can prevent it."""
    mine = clone / "outputs/data/shapes" / "JPEGImages" / "mine.jpg"
    mine.write_bytes(b"a picture")
    dvc("exp", "run", "prepare_data", check=True)
    assert not mine.exists()


# Masks


@pytest.fixture
def masks(clone: Path, dvc: Run) -> Path:
    """The pseudo labels, and what the next stage would see of them; `refine_masks` is as it is."""
    for number, image_id in enumerate(IDS):
        label = np.full((3, 4), number, np.uint8)
        voc.write_mask(clone / "outputs/crf" / f"{image_id}.png", label)
    pipeline = yaml.safe_load((clone / "dvc.yaml").read_text())["stages"]
    stage = pipeline["refine_masks"] | {"deps": ["outputs/crf"]}
    see = {"cmd": "cp -r outputs/masks seen", "deps": ["outputs/masks"], "outs": ["seen"]}
    stages = {"prepare_data": pipeline["prepare_data"], "refine_masks": stage, "see": see}
    write_yaml(clone / "dvc.yaml", {"stages": stages})
    dvc("repro", check=True)
    return clone / "outputs" / "masks"


def correct(mask: Path) -> bytes:
    """As an editor saves: a new file takes the place of the link."""
    mask.unlink()
    voc.write_mask(mask, np.full((3, 4), 77, np.uint8))
    return mask.read_bytes()


def test_masks_that_were_corrected(clone: Path, masks: Path, dvc: Run) -> None:
    corrected = correct(masks / "p03.png")
    done = dvc("repro")
    refused(done, "outputs/masks: 1 files in it were put there or changed by hand")
    assert "(p03.png)" in done.stdout
    assert (masks / "p03.png").read_bytes() == corrected
    # and where the stage would run in any case
    (clone / "outputs" / "crf" / "p05.png").unlink()
    refused(dvc("repro"), "dvc commit --force refine_masks")
    assert (masks / "p03.png").read_bytes() == corrected


def test_corrected_masks_are_used_once_dvc_knows_them(clone: Path, masks: Path, dvc: Run) -> None:
    """As docs/data.md tells to do it; nothing of it reaches the CRF's labels and the cache."""
    first, crf = digest_of(clone, "refine_masks"), contents(clone / "outputs" / "crf")
    voc.write_mask(clone / "data" / "corrected" / "p03.png", np.full((3, 4), 77, np.uint8))
    corrected = (clone / "data" / "corrected" / "p03.png").read_bytes()
    dvc("unprotect", "outputs/masks", check=True)
    shutil.copyfile(clone / "data" / "corrected" / "p03.png", masks / "p03.png")
    dvc("commit", "--force", "refine_masks", check=True)
    assert contents(clone / "outputs" / "crf") == crf
    assert digest_of(clone, "refine_masks") != first
    done = dvc("repro", check=True)
    assert "refine_masks" not in done.stdout.replace("Stage 'refine_masks' didn't change", "")
    assert (clone / "seen" / "p03.png").read_bytes() == corrected
    dvc("exp", "run", check=True)  # puts back what the lock file says, which is the corrected one
    assert (masks / "p03.png").read_bytes() == corrected
    (clone / "outputs" / "crf" / "p05.png").unlink()
    refused(dvc("repro"), "p03.png")
    assert (masks / "p03.png").read_bytes() == corrected


def test_masks_that_were_not_touched_are_made_anew(clone: Path, masks: Path, dvc: Run) -> None:
    (clone / "outputs" / "crf" / "p05.png").unlink()
    dvc("repro", check=True)
    assert not (masks / "p05.png").exists()
    names = json.loads((masks / ".made.json").read_text())["files"]
    assert sorted(names) == sorted(path.name for path in masks.glob("*.png"))
