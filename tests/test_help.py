"""What each script says of itself: what it reads and writes, of which parameters, in 80 columns."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tests.import_closure import ROOT, import_closure

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
SCRIPTS = sorted(path.stem for path in (ROOT / "stages").glob("*.py"))
IMPORTED_ONLY = {
    "predict": {"HSC_DOWNLOADS"},
    "import_weights": {"HSC_DOWNLOADS"},  # torchvision's weights go into torch's own cache
    "train_segmentation": {"HSC_DOWNLOADS"},
    "infer_cams": {"HSC_PROCESSES"},
    "train_cam": {"HSC_PROCESSES", "HSC_CRF_DEVICE"},
    "draw_panels": {"HSC_PROCESSES", "HSC_CRF_DEVICE", "HSC_TENSORBOARD"},
    "demo": {"HSC_DOWNLOADS", "HSC_PROCESSES", "HSC_WORKERS"},
    "export_labels": {"HSC_PROCESSES"},
    "import_labels": {"HSC_PROCESSES"},
}
"""Variables that a script's imports read, but nothing that it calls."""
SHARED = {
    "prepare_backbone", "train_cam", "train_affinity", "train_segmentation", "infer_cams",
    "refine_masks", "predict_segmentation", "predict", "submit_voc",
}  # fmt: skip
"""`HSC_GPUS` is read in what every script imports, for these alone."""


def page(name: str) -> str:
    """The file that the help shows."""
    return (ROOT / "stages" / "help" / f"{name}.txt").read_text(encoding="utf-8")


def shown(name: str) -> str:
    """The whole help, as in a terminal of 80 columns."""
    main = importlib.import_module(f"stages.{name}").main
    result = CliRunner().invoke(main, ["--help"], terminal_width=80)
    assert result.exit_code == 0, result.output
    return result.stdout


def paths_of(name: str) -> set[str]:
    """Dependencies but code, outputs and metrics of a stage, as its help writes them."""
    stage = PIPELINE[name]
    paths = set()
    for item in (stage.get("foreach") or {"KEY": {}}).values():
        body = stage.get("do", stage)
        entries = [*body["deps"], *body["outs"], *body.get("metrics", [])]
        for entry in entries:
            path = entry if isinstance(entry, str) else next(iter(entry))
            for word, value in item.items():
                path = path.replace(f"${{item.{word}}}", value)
            paths.add(path.replace("${data}", "DATA").replace("${key}", "KEY"))
    return {path for path in paths if not path.startswith(("hsc/", "stages/"))}


def parameters_of(name: str) -> set[str]:
    """Parameters of a stage in dvc.yaml, as its help writes them."""
    stage = PIPELINE[name]
    found: set[str] = set()
    entries: list[Any] = stage.get("do", stage)["params"]
    for entry in entries:
        found |= {entry} if isinstance(entry, str) else set().union(*entry.values())
    words = {
        "${baseline}": "BASELINE",
        "${contrast}": "CONTRAST",
        "${segmentation}": "NETWORK",
        "${segmentation_contrast}": "SEGMENTATION_CONTRAST",
    }
    for placeholder, word in words.items():
        found = {key.replace(placeholder, word) for key in found}
    return found


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_help_is_whole_and_fits_a_terminal(name: str) -> None:
    text = shown(name)
    assert page(name) in text
    assert re.search(r"^Reads", text, re.MULTILINE)
    assert re.search(r"^Writes", text, re.MULTILINE)
    assert text.index("Reads") < text.index("Options:")
    assert [line for line in text.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("name", PIPELINE)
def test_files_are_those_of_the_pipeline(name: str) -> None:
    reads, writes = re.split(r"^Writes.*$", page(name), flags=re.MULTILINE)
    writes = writes.split("Parameters:\n")[0]
    named = set(re.findall(r"\b(?:data|outputs|metrics|plots)/[\w./]+", reads + writes))
    assert named == paths_of(name)
    body = PIPELINE[name].get("do", PIPELINE[name])
    for entry in [*body["outs"], *body.get("metrics", [])]:
        path = entry if isinstance(entry, str) else next(iter(entry))
        assert path.replace("${data}", "DATA").replace("${key}", "KEY") in writes


@pytest.mark.parametrize("name", PIPELINE)
def test_parameters_are_those_of_the_pipeline(name: str) -> None:
    text = page(name).split("Parameters:\n")[1].split("\n\n")[0]
    words = re.findall(r"[\w.]+", re.sub(r"params\.yaml|recipes/DATA\.yaml", "", text))
    assert set(words) == parameters_of(name)


@pytest.mark.parametrize("name", PIPELINE)
def test_each_input_is_named_with_its_stage(name: str) -> None:
    reads = " ".join(re.split(r"^Writes", page(name), flags=re.MULTILINE)[0].split())
    makers = {path: other for other in PIPELINE for path in outputs(other)}
    for path in paths_of(name) & makers.keys() - outputs(name):
        assert makers[path] in reads, f"{path} is made by {makers[path]}"


def outputs(name: str) -> set[str]:
    entries = PIPELINE[name].get("do", PIPELINE[name])["outs"]
    paths = {entry if isinstance(entry, str) else next(iter(entry)) for entry in entries}
    return {path.replace("${data}", "DATA") for path in paths}


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_variables_that_matter_are_named(name: str) -> None:
    read = set()
    for path in import_closure(ROOT / "stages" / f"{name}.py"):
        read |= set(re.findall(r'"(HSC_[A-Z_]+)"', path.read_text(encoding="utf-8")))
    read -= IMPORTED_ONLY.get(name, set()) | (set() if name in SHARED else {"HSC_GPUS"})
    if name not in PIPELINE and name != "report":
        read -= {"HSC_RUNS"}  # only stages keep records
    assert set(re.findall(r"HSC_[A-Z_]+", page(name))) == read


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_documents_named_are_there(name: str) -> None:
    found = re.findall(r"docs/\w+\.md", page(name))
    assert found
    for each in found:
        assert (ROOT / each).is_file()


def test_a_script_without_a_page_shows_its_options(tmp_path: Path) -> None:
    from hsc.base.cli import command

    def main() -> str:
        """Do the thing."""
        return "done"

    text = CliRunner().invoke(command(main), ["--help"]).stdout
    assert "Do the thing." in text
    assert "--help" in text
