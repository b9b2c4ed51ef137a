"""dvc.yaml against the code: what each stage depends on, writes and runs."""

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml

from hsc.scoring.metrics import report
from hsc.scoring.tables import write_scores
from tests.import_closure import ROOT, code_dependencies
from tests.stage_runs import change, stages

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())
COMMANDS = {
    "compare",
    "demo",
    "export_labels",
    "export_model",
    "import_labels",
    "import_weights",
    "predict",
    "report",
    "saliency_from_cams",
    "submit_voc",
}  # scripts that people run and the pipeline does not
STAGES = {name: stage.get("do", stage) for name, stage in PIPELINE["stages"].items()}


def script_of(stage: dict) -> Path:
    module = stage["cmd"].split()[2]
    return ROOT / (module.replace(".", "/") + ".py")


@pytest.mark.parametrize("name", STAGES)
def test_deps_are_the_rooms_of_what_is_imported(name: str) -> None:
    stage = STAGES[name]
    code = [path for path in stage["deps"] if path.startswith(("hsc/", "stages/"))]
    assert sorted(code) == code_dependencies(script_of(stage))


def test_every_script_is_a_stage_or_a_command_for_people() -> None:
    commands = {ROOT / "stages" / f"{name}.py" for name in COMMANDS}
    stages = {script_of(stage) for stage in STAGES.values()}
    assert stages | commands == set((ROOT / "stages").glob("*.py"))
    assert not stages & commands


def test_training_stages_do_not_depend_on_scores() -> None:
    for name in ("prepare_backbone", "train_cam", "train_affinity", "train_segmentation"):
        assert not [d for d in STAGES[name]["deps"] if d.startswith("metrics/")]


def test_no_output_path_contains_the_variant() -> None:
    for stage in STAGES.values():
        for output in [*stage.get("outs", []), *stage.get("metrics", [])]:
            path = output if isinstance(output, str) else next(iter(output))
            assert "baseline" not in path
            assert "contrast" not in path


def test_metrics_fit_a_screen(tmp_path: Path) -> None:
    """Whatever the number of classes: DVC has a column for each number of every metric."""
    names = [f"class {number}" for number in range(81)]
    scores = report(np.eye(81, dtype=np.int64), names, "train", 82081)
    seeds = {f"{kind}_{what}": 0.25 for kind in ("best", "auto") for what in ("threshold", "mIoU")}
    metrics = [
        metric if isinstance(metric, str) else next(iter(metric))
        for each in stages() for metric in each.metrics
    ]  # fmt: skip
    for path in metrics:
        more = {"threshold": 0.25, **seeds} if "seeds" in path else {}
        write_scores(scores | more, tmp_path / path, tmp_path / "classes.json")
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"metrics": metrics}))
    run = partial(subprocess.run, cwd=tmp_path, check=True, capture_output=True, text=True)
    run([sys.executable, "-m", "dvc", "init", "--no-scm"])
    shown = run([sys.executable, "-m", "dvc", "metrics", "show"]).stdout
    assert len(shown.splitlines()) == 5
    assert max(map(len, shown.splitlines())) <= 140
    assert "best_mIoU" in shown


def test_only_cheap_stages_give_up_the_run_cache() -> None:
    uncached = {
        name
        for name, stage in STAGES.items()
        for output in stage.get("metrics", [])
        if isinstance(output, dict) and not next(iter(output.values())).get("cache", True)
    }
    assert uncached == {"make_seeds", "evaluate"}


def test_the_artifact_is_what_the_training_writes() -> None:
    (artifact,) = PIPELINE["artifacts"].values()
    assert artifact["path"] in STAGES["train_segmentation"]["outs"]


def test_other_peoples_files_name_what_is_there() -> None:
    """GitHub's workflow and the container: they were never run, but what they start exists."""
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    _, target = container["postCreateCommand"].split()
    assert f"\n{target}:" in (ROOT / "Makefile").read_text()
    workflow = yaml.safe_load((ROOT / ".github/workflows/checks.yaml").read_text())
    commands = [
        step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step
    ]
    assert "bash .ci/run" in commands
    for command in commands:
        subprocess.run(["bash", "-n", "-c", command], check=True)
    (diff,) = [line for line in "\n".join(commands).splitlines() if "dvc metrics diff" in line]
    words = diff.split(" >> ")[0].replace('"origin/$GITHUB_BASE_REF"', "HEAD").split()
    shown = subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert shown.stderr == ""


def test_data_are_stored_once(tmp_path: Path) -> None:
    """With this repository's configuration, what a stage writes and the cache has is one file.

    With `reflink` first DVC 3.67 leaves every folder as a copy on a disk that has no reflinks.
    """
    run = partial(subprocess.run, cwd=tmp_path, check=True, capture_output=True, text=True)
    dvc = [sys.executable, "-m", "dvc"]
    run([*dvc, "init", "--no-scm"])
    shutil.copyfile(ROOT / ".dvc" / "config", tmp_path / ".dvc" / "config")
    run([*dvc, "config", "core.no_scm", "true"])
    write = "mkdir -p out/inner && echo 1 > out/a && echo 2 > out/inner/b"
    stage = {"cmd": write, "outs": ["out"]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"write": stage}}))
    run([*dvc, "repro"])
    kept = [path for path in (tmp_path / ".dvc/cache").rglob("*") if path.is_file()]
    for path in (tmp_path / "out/a", tmp_path / "out/inner/b"):
        copies = [other for other in kept if other.read_bytes() == path.read_bytes()]
        assert len(copies) == 1
        assert path.samefile(copies[0]) or shares_blocks(tmp_path)


@pytest.mark.parametrize("data", ["voc2012", "coco2014", "folder"])
def test_the_stages_of_a_real_data_set_can_be_listed(data: str, tmp_path: Path) -> None:
    """In order, and without anything being downloaded or run."""
    for name in ("dvc.yaml", "params.yaml", "recipes"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, tmp_path / name)
    change(tmp_path / "params.yaml", data=data, baseline="eps")
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "--no-scm", "--quiet"], cwd=tmp_path, check=True)
    listed = subprocess.run(
        [*dvc, "repro", "--dry", "--force"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    found = [line.removeprefix("> ") for line in listed.stdout.splitlines() if line[:2] == "> "]
    assert sorted(found) == sorted(each.cmd for each in stages(data))
    assert found.index("python -m stages.prepare_data") == 0
    assert not (tmp_path / "outputs" / "data").exists()


def shares_blocks(folder: Path) -> bool:
    """Whether the disk has reflinks but no hard links, where this cannot be seen from names."""
    (folder / "x").write_text("x")
    try:
        os.link(folder / "x", folder / "y")
    except OSError:
        return True
    return False


@pytest.mark.parametrize("script", sorted((ROOT / "stages").glob("*.py")), ids=lambda p: p.stem)
def test_help_of_every_stage(script: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"stages.{script.stem}", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--params" in done.stdout or script.stem in COMMANDS


@pytest.mark.parametrize("script", sorted((ROOT / "stages").glob("*.py")), ids=lambda p: p.stem)
def test_a_stage_is_short(script: Path) -> None:
    assert len(script.read_text().splitlines()) <= 70
