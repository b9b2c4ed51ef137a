"""A throwaway git repository with runs in it, as DVC commits them, without DVC."""

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

STAGES = {
    "make_seeds": ("outputs/cam.pt", "outputs/seeds", "metrics/seeds.json"),
    "refine_crf": ("outputs/seeds", "outputs/crf", None),
    "evaluate@crf": ("outputs/crf", None, "metrics/crf.json"),
    "evaluate@masks": ("outputs/crf", None, "metrics/masks.json"),
    "train_segmentation": ("outputs/crf", "outputs/segmentation.pt", None),
    "evaluate@val": ("outputs/segmentation.pt", None, "metrics/val.json"),
}
"""What a stage reads, what it writes, its metrics."""
REACHED_BY = {
    "seeds": {"make_seeds"},
    "crf": {"make_seeds", "refine_crf", "evaluate@crf"},
    "masks": {"make_seeds", "refine_crf", "evaluate@masks"},
    "val": {"make_seeds", "refine_crf", "train_segmentation", "evaluate@val"},
}


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def run_files(
    params: Mapping[str, Any],
    recipe: Mapping[str, Any],
    figures: Mapping[str, Mapping[str, Any]],
    left: Mapping[str, Mapping[str, Any]] | None = None,
    pictures: str | None = None,
) -> dict[str, str]:
    """The files that a run commits.

    figures: scores that the run came to, with `IoU` those of the classes. left: those that an
    earlier run left. pictures: what stands for the data set's bytes; by default they
    come from `prepare_data`.
    """
    recipe_path, settings = f"recipes/{params['data']}.yaml", yaml.safe_dump(dict(params))
    files = {
        "params.yaml": settings,
        recipe_path: yaml.safe_dump(dict(recipe)),
        **metric_files({**figures, **(left or {})}),
    }
    reached = set().union(*(REACHED_BY[name] for name in figures))
    data = f"outputs/data/{params['data']}"
    prepared = {"params.yaml": {"data": params["data"]}, recipe_path: {"prepare_data": {}}}
    prepared[recipe_path]["prepare_data"] = recipe.get("prepare_data", {})
    bytes_of = {data: pictures or json.dumps(prepared), "outputs/cam.pt": settings}
    stages: dict[str, Any] = {
        "prepare_data": {
            "cmd": "python -m stages.prepare_data",
            "params": prepared,
            "outs": [_entry(data, bytes_of[data])],
        },
        "train_cam": {
            "deps": [_entry("stages/train_cam.py", "code"), _entry(data, bytes_of[data])],
            "params": {"params.yaml": {"seed": params["seed"], "hsc": params.get("hsc")}},
            "outs": [_entry("outputs/cam.pt", settings)],
        },
    }
    for name, (source, target, metrics) in STAGES.items():
        ran_here = name in reached
        outs = []
        if target is not None:
            written = f"{target} of {settings if ran_here else 'an earlier run'}"
            bytes_of[target] = written
            outs.append(_entry(target, written))
        for path in (metrics, str(metrics).replace(".json", "_classes.json")):
            if path in files:
                outs.append(_entry(path, files[path]))
        read = bytes_of[source] if ran_here else f"{source} of an earlier run"
        stages[name] = {"deps": [_entry("hsc/x.py", "code"), _entry(source, read)], "outs": outs}
    if "refine_crf" in recipe:
        stages["refine_crf"]["params"] = {recipe_path: {"refine_crf": recipe["refine_crf"]}}
    files["dvc.lock"] = yaml.safe_dump({"schema": "2.0", "stages": stages})
    return files


def metric_files(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The scores of each figure, and in a file of their own those of its classes."""
    files = {}
    for name, content in figures.items():
        files[f"metrics/{name}.json"] = json.dumps(
            {key: value for key, value in content.items() if key != "IoU"}
        )
        files[f"metrics/{name}_classes.json"] = json.dumps({"IoU": content.get("IoU", {})})
    return files


def _entry(path: str, text: str) -> dict[str, str | int]:
    return {"path": path, "hash": "md5", "md5": md5(text), "size": len(text)}


class Repository:
    """A git repository with one commit of code, and experiments upon it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "--initial-branch=main")
        self.write({"code.py": "1"})
        self.parent = self.commit("code")

    def git(self, *words: str, day: int = 1) -> str:
        person = {"user.name": "A", "user.email": "a@example.org", "commit.gpgsign": "false"}
        options = [word for key, value in person.items() for word in ("-c", f"{key}={value}")]
        return subprocess.run(
            ["git", *options, *words], cwd=self.folder, check=True, capture_output=True, text=True,
            env=os.environ | {"GIT_COMMITTER_DATE": f"2026-01-{day:02}T10:00:00+0000"},
        ).stdout.strip()  # fmt: skip

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    def commit(self, message: str, day: int = 1) -> str:
        self.git("add", "--all")
        self.git("commit", "--message", message, day=day)
        return self.git("rev-parse", "HEAD")

    def experiment(self, name: str, files: Mapping[str, str], day: int = 1) -> str:
        """Commit the files upon the code as an experiment; its commit."""
        self.write(files)
        sha = self.commit(f"dvc: commit experiment {name}", day)
        self.git("update-ref", f"refs/exps/{self.parent[:2]}/{self.parent[2:]}/{name}", sha)
        self.git("reset", "--hard", self.parent)
        return sha

    def advance(self, text: str = "2") -> None:
        """Commit other code; later experiments are made from it."""
        self.write({"code.py": text})
        self.parent = self.commit("other code")
