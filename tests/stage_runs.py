"""Running the stages of dvc.yaml on a tiny data set, as processes of their own or in this one."""

import contextlib
import importlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner, Result

ROOT = Path(__file__).resolve().parents[1]
BASELINES = ("cam", "seam", "eps")
CROP = 40
OWN = {"kind": "folder", "max_side": None, "saliency": "auto", "limit": None}
"""`prepare_data` of a folder of the user's own, but for its path."""


@dataclass(frozen=True)
class PlainStage:
    """A stage of dvc.yaml with its placeholders filled in."""

    name: str
    cmd: str
    inputs: tuple[str, ...]
    outs: tuple[str, ...]
    metrics: tuple[str, ...]
    persisted: tuple[str, ...]

    def clear(self, folder: Path) -> None:
        """Delete what the stage writes, as DVC does before it runs the stage."""
        for name in {*self.outs, *self.metrics} - {*self.persisted}:
            remove(folder / name)


def stages(data: str = "shapes") -> list[PlainStage]:
    """The stages of dvc.yaml in its order, `foreach` unrolled."""
    plain = []
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        for key, item in stage.get("foreach", {"": {}}).items():
            values = {"${data}": data, "${key}": key}
            values |= {f"${{item.{field}}}": value for field, value in item.items()}
            body = stage.get("do", stage)
            paths = {
                kind: tuple(_fill(_path(entry), values) for entry in body.get(kind, []))
                for kind in ("deps", "outs", "metrics")
            }
            plain.append(
                PlainStage(
                    f"{name}_{key}" if key else name,
                    _fill(body["cmd"], values),
                    tuple(path for path in paths["deps"] if path.startswith("outputs/")),
                    paths["outs"],
                    paths["metrics"],
                    tuple(_fill(name, values) for name in _persisted(body.get("outs", []))),
                )
            )
    return plain


def error_line(stderr: str) -> str:
    """The last line of an error, behind which stands only the document that helps."""
    *_, line, page = stderr.splitlines()
    assert page.startswith("help: docs/"), stderr
    return line.removeprefix("Error: ")


def stage(name: str, data: str = "shapes") -> PlainStage:
    """One of `stages(data)`."""
    return next(stage for stage in stages(data) if stage.name == name)


def write_settings(folder: Path) -> None:
    """Write params.yaml and recipes/shapes.yaml, the repository's with tiny numbers."""
    recipe = json.loads(json.dumps(yaml.safe_load((ROOT / "recipes/shapes.yaml").read_text())))
    recipe["prepare_data"] |= {"size": CROP, "train": 12, "scored_train": 8, "val": 4}
    recipe["network"] |= {"widths": [4, 4, 8, 8], "pcm_low": 4, "pcm_mid": 4, "pcm_out": 8}
    recipe["network"] |= {"projector_class": 8, "projector_pixel": 8}
    recipe["prepare_backbone"] |= {"epochs": 1, "batch_size": 4, "sizes": [CROP]}
    short = {"steps": 6, "batch_size": 4, "checkpoint_every": 2}
    for baseline in BASELINES:
        recipe["train_cam"][baseline] |= {**short, "view2_size": 24}
        recipe["infer_cams"][baseline]["scales"] = [1.0]
    recipe["segmentation_network"]["widths"] = recipe["network"]["widths"]
    recipe["segmentation_network"]["head"]["channels"] = 8
    segmentation = recipe["train_segmentation"]
    segmentation["deeplab"] |= {**short, "steps": 4}
    segmentation["auxsegnet"] |= {**short, "steps": 4, "rounds": 2, "channels": 8}
    recipe["train_affinity"] |= {**short, "steps": 4, "radius": 3, "widths": [3, 4, 5]}
    for network in recipe["predict_segmentation"].values():
        network["scales"] = [1.0]
    trainings = [recipe["train_cam"][baseline] for baseline in BASELINES]
    trainings += [recipe["train_affinity"], *segmentation.values()]
    for training in [recipe["prepare_backbone"], *trainings]:
        training["augmentation"] |= {"crop_size": CROP, "resize_longest": [36, 44]}
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    write_yaml(folder / "params.yaml", params)
    write_yaml(folder / "recipes" / "shapes.yaml", recipe)


def write_yaml(path: Path, value: Any) -> None:
    """Write a YAML file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(value))


def change(path: Path, **changes: Any) -> None:
    """Set keys of a YAML file; `train_cam__seam__lr=1` goes down."""
    values = yaml.safe_load(path.read_text())
    for name, value in changes.items():
        *way, last = name.split("__")
        section = values
        for key in way:
            section = section[key]
        section[last] = value
    write_yaml(path, values)


def environment(**changes: str) -> dict[str, str]:
    """This process's environment for a stage: the CPU, one thread, our package, no dvc in sight.

    The records of its runs go where this process's go: no test may write into the user's home.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HSC_")}
    system = "/usr/bin:/bin"
    fixed = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HSC_DEVICE": "cpu", "PATH": system}
    fixed["HSC_RUNS"] = os.environ["HSC_RUNS"]
    return {**kept, **fixed, **changes}


def run_process(stage: PlainStage, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the stage's command in `folder` as a process of its own."""
    python, *arguments = shlex.split(stage.cmd)
    assert python == "python"
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(HSC_PROCESSES="2"),
        capture_output=True,
        text=True,
        timeout=300,
    )


def run_here(stage: PlainStage, folder: Path, **variables: str) -> Result:
    """Run the stage's command in `folder` in this process (much faster: torch is loaded once)."""
    _, _, module, *arguments = shlex.split(stage.cmd)
    main = importlib.import_module(module).main
    fixed = {"HSC_DEVICE": "cpu", "HSC_PROCESSES": "1", "HSC_WORKERS": "0"}
    with contextlib.chdir(folder):
        return CliRunner(env={**fixed, **variables}).invoke(main, arguments)


def run_well(stage: PlainStage, folder: Path) -> str:
    """Run the stage here; its summary line. Fails unless it ends well."""
    result = run_here(stage, folder)
    assert result.exit_code == 0, f"{stage.name}: {result.output} {result.exception!r}"
    return result.stdout


def remove(path: Path) -> None:
    """Delete a file or a folder, there or not."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`: its path and its bytes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _fill(text: str, values: dict[str, str]) -> str:
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    assert "${" not in text, text
    return text


def _persisted(entries: list[str | dict[str, Any]]) -> list[str]:
    return [
        name
        for entry in entries
        if isinstance(entry, dict)
        for name, options in entry.items()
        if options.get("persist")
    ]


def _path(entry: str | dict[str, Any]) -> str:
    return entry if isinstance(entry, str) else next(iter(entry))
