"""The command that imports weights, and the pipeline's stage where a recipe asks for an import."""

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner, Result

from hsc.base.cli import bars
from hsc.base.errors import HscError
from hsc.data.classes import VOC_CLASSES
from hsc.nets.small_resnet import SmallResNet
from hsc.nets.weights import load_weights
from hsc.params.base import FetchParams
from hsc.params.reading import load
from hsc.params.recipe import WarmupParams
from hsc.weights import imported
from stages.import_weights import main
from tests.stage_runs import change, contents, run_here, stage, write_settings
from tests.weights.mxnet_writer import file_bytes

WIDTHS = (4, 6, 8, 10)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings, and a checkpoint of a small network that stands for torchvision's ResNet-50."""
    folder = tmp_path / "work"
    write_settings(folder)
    monkeypatch.setattr(imported, "build_backbone", lambda *_, **__: SmallResNet(WIDTHS))
    torch.manual_seed(0)
    torch.save({"state_dict": SmallResNet(WIDTHS).state_dict()}, folder / "resnet.pth")
    return folder


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run(work: Path, *arguments: str) -> Result:
    with contextlib.chdir(work):
        return CliRunner().invoke(main, list(arguments))


TORCHVISION = ("resnet.pth", "--layout", "torchvision", "--backbone", "resnet50")


def test_the_command_writes_weights_and_metrics(work: Path) -> None:
    result = run(work, *TORCHVISION, "--output", "out/b.pt", "--metrics", "metrics/import.json")
    assert result.exit_code == 0, result.output
    spec, state = load_weights(work / "out" / "b.pt", "backbone")
    assert (spec["backbone"], spec["widths"]) == ("resnet50", None)
    sha256 = digest(work / "resnet.pth")
    (line,) = result.stdout.splitlines()
    words = f"out/b.pt: {len(state)} tensors of resnet.pth, SHA-256 {sha256} ("
    assert line.startswith(words)
    assert json.loads((work / "metrics" / "import.json").read_text()) == {
        "layout": "torchvision",
        "sha256": sha256,
        "source": "resnet.pth",
        "supervision": "ImageNet",
        "tensors": len(state),
    }


def test_metrics_only_where_asked_for(work: Path) -> None:
    before = set(contents(work))
    assert run(work, *TORCHVISION, "--output", "b.pt").exit_code == 0
    assert set(contents(work)) - before == {"b.pt"}


def test_options_arrive(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def note(*arguments: Any, **options: Any) -> dict[str, Any]:
        assert options.pop("bars") is bars
        calls.append((arguments, options))
        return {"tensors": 0, "source": "", "sha256": ""}

    monkeypatch.setattr("stages.import_weights.import_weights", note)
    assert run(work, "a.pth", "--layout", "seam", "--output", "c.pt").exit_code == 0
    (work / "classes.txt").write_text("cat\ndog\n")
    more = ("--backbone-only", "--classes", "classes.txt", "--sha256", "0" * 64)
    more += ("--supervision", "masks")
    assert run(work, "a.pth", "--layout", "eps", "--output", "c.pt", *more).exit_code == 0
    assert calls == [
        (
            ("a.pth", "seam", Path("c.pt"), "resnet38"),
            {
                "backbone_only": False,
                "class_names": VOC_CLASSES,
                "sha256": None,
                "supervision": None,
            },
        ),
        (
            ("a.pth", "eps", Path("c.pt"), "resnet38"),
            {
                "backbone_only": True,
                "class_names": ("cat", "dog"),
                "sha256": "0" * 64,
                "supervision": "masks",
            },
        ),
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("none.pth", "--layout", "seam"), "none.pth: no such file; give the path of the weights"),
        (("resnet.pth", "--layout", "mxnet"), "resnet.pth: no MXNet NDArray list; give the"),
        (("resnet.pth", "--layout", "seam"), "resnet.pth: not in the layout seam: missing b2.bn_"),
        (("x.params", "--layout", "mxnet"), "x.params: not in the layout resnet38d: missing b2.bn"),
        ((*TORCHVISION, "--sha256", "0" * 64), "resnet.pth: its SHA-256 is "),
        (("a", "--layout", "torchvision"), "layout: torchvision holds resnet50 or resnet101, but"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    work: Path, arguments: tuple[str, ...], words: str
) -> None:
    (work / "x.params").write_bytes(file_bytes({"arg:conv1a_weight": np.ones(2, np.float32)}))
    before = contents(work)
    result = run(work, *arguments, "--output", "out.pt", "--metrics", "m.json")
    assert result.exit_code == 1
    assert result.stdout == ""
    line, _ = result.stderr.splitlines()
    assert line.startswith(f"Error: {words}")
    assert contents(work) == before


def test_an_unknown_layout_is_refused_by_the_command(work: Path) -> None:
    result = run(work, "resnet.pth", "--layout", "caffe", "--output", "out.pt")
    assert result.exit_code == 2
    assert "'caffe' is not one of 'mxnet'" in result.stderr


# In the pipeline


def ask(work: Path, **keys: str) -> None:
    """Make the recipe ask for an import into ResNet-50."""
    change(
        work / "recipes" / "shapes.yaml",
        network__backbone="resnet50",
        network__widths=None,
        prepare_backbone={"weights": "resnet.pth", "layout": "torchvision", **keys},
        segmentation_network__backbone="resnet50",
        segmentation_network__widths=None,
    )


def test_a_recipe_may_ask_for_an_import(work: Path) -> None:
    ask(work, sha256=digest(work / "resnet.pth"))
    result = run_here(stage("prepare_backbone"), work)
    assert result.exit_code == 0, result.output
    spec, state = load_weights(work / "outputs" / "backbone.pt", "backbone")
    assert (spec["backbone"], spec["widths"]) == ("resnet50", None)
    assert json.loads((work / "metrics" / "backbone.json").read_text()) == {
        "layout": "torchvision",
        "sha256": digest(work / "resnet.pth"),
        "source": "resnet.pth",
        "supervision": "ImageNet",
        "tensors": len(state),
    }
    assert (work / "plots" / "backbone.csv").read_text() == "step,lr,loss\n"
    assert result.stdout.startswith(
        f"outputs/backbone.pt: {len(state)} tensors of resnet.pth (torchvision)"
    )
    before = contents(work)
    stage("prepare_backbone").clear(work)
    assert run_here(stage("prepare_backbone"), work).exit_code == 0
    assert contents(work) == before, "the same bytes again"


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"sha256": "0" * 64}, "resnet.pth: its SHA-256 is "),
        ({"weights": "none.pth"}, "none.pth: no such file, and torchvision has no such weights"),
        ({"layout": "mxnet"}, "layout: mxnet holds resnet38, but the backbone is resnet50"),
        ({"layout": "caffe"}, "recipes/shapes.yaml: prepare_backbone.layout: Input should be 'm"),
        ({"sha256": "12"}, "recipes/shapes.yaml: prepare_backbone.sha256: String should match"),
        ({"epochs": "3"}, "recipes/shapes.yaml: prepare_backbone.epochs: Extra inputs are not"),
    ],
)
def test_an_import_that_cannot_be(work: Path, keys: dict[str, str], words: str) -> None:
    ask(work, **keys)
    before = contents(work)
    result = run_here(stage("prepare_backbone"), work)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines()[0].startswith(f"Error: {words}")
    assert contents(work) == before


def test_a_changed_file_is_noticed(work: Path) -> None:
    ask(work, sha256=digest(work / "resnet.pth"))
    torch.save({"state_dict": SmallResNet(WIDTHS).state_dict()}, work / "resnet.pth")
    result = run_here(stage("prepare_backbone"), work)
    assert result.exit_code == 1
    assert f"its SHA-256 is {digest(work / 'resnet.pth')}, not " in result.stderr


def test_a_recipe_s_backbone_is_one_or_the_other(work: Path) -> None:
    recipe = work / "recipes" / "shapes.yaml"
    warm_up = yaml.safe_load(recipe.read_text())["prepare_backbone"]
    _, loaded = load(work / "params.yaml", work / "recipes")
    assert isinstance(loaded.prepare_backbone, WarmupParams)
    ask(work)
    _, loaded = load(work / "params.yaml", work / "recipes")
    assert isinstance(loaded.prepare_backbone, FetchParams)
    ask(work, **warm_up)
    with pytest.raises(HscError, match=r"prepare_backbone\.epochs: Extra inputs"):
        load(work / "params.yaml", work / "recipes")
    change(recipe, prepare_backbone={"weights": "resnet.pth"})
    with pytest.raises(HscError, match=r"prepare_backbone\.layout: Field required"):
        load(work / "params.yaml", work / "recipes")
