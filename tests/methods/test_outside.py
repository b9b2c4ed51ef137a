"""A contrast and a baseline from outside of the package, through the door of our own."""

import csv
from pathlib import Path
from typing import Any

import pytest
import yaml

from hsc.base.errors import HscError
from hsc.params.method import choose
from hsc.params.reading import parse_run
from tests.stage_runs import change, run_process, stage, write_settings

TOY = '''
from hsc.methods.contrast import Contrast, ContrastParams, driving_cam


class ToyParams(ContrastParams):
    margin: float = 0.5


class Toy(Contrast):
    """Pixels of the classes are as long as the margin says."""

    Params = ToyParams
    projectors = ("pixel",)

    def forward(self, maps, embeddings, image, tags):
        size = tuple(embeddings[1][1].shape[2:])
        sure = driving_cam(maps[1], tags, size).amax(dim=1)
        length = embeddings[1][1].norm(dim=1)
        return {"toy": (sure * (length - self.params.margin) ** 2).mean()}


CONTRAST = Toy
'''
QUIET = '''
from hsc.methods.baselines.cam import Cam


class Quiet(Cam):
    """CAM whose loss counts half."""

    def terms(self, views):
        return {name: value / 2 for name, value in super().terms(views).items()}


BASELINE = Quiet
'''


def losses(folder: Path) -> list[dict[str, str]]:
    with (folder / "plots" / "train_cam.csv").open() as table:
        return list(csv.DictReader(table))


def test_a_module_beside_params_yaml_is_a_contrast(tmp_path: Path) -> None:
    """Two things are written: the module, and the section of its name."""
    write_settings(tmp_path)
    (tmp_path / "toy.py").write_text(TOY)
    change(tmp_path / "params.yaml", contrast="toy", toy={"gamma": 2.0, "margin": 0.5})
    for name in ("prepare_data", "prepare_backbone", "train_cam", "infer_cams"):
        done = run_process(stage(name), tmp_path)
        assert done.returncode == 0, done.stderr
    for step in losses(tmp_path):
        own = ("classification", "minimum", "equivariance", "cross_equivariance")
        expected = sum(float(step[term]) for term in own) + 2 * float(step["toy"])
        assert float(step["loss"]) == pytest.approx(expected, rel=1e-4)
        assert float(step["toy"]) > 0


def test_a_baseline_may_come_from_outside_too(tmp_path: Path) -> None:
    """Besides, a recipe says how it is trained: a key for it in three sections."""
    write_settings(tmp_path)
    (tmp_path / "quiet.py").write_text(QUIET)
    run = {"seed": 0, "data": "shapes", "debug": False, "baseline": "quiet", "contrast": "none"}
    rest = {"quiet": {}, "none": {}, "seeds": {"threshold": 0.3}, "segmentation": "deeplab"}
    rest |= {"segmentation_contrast": "none", "refine": "crf"}
    psa = {"psa": {"enabled": False}}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        choice = choose(parse_run(Path("params.yaml"), run | rest | psa), Path("params.yaml"))
    assert type(choice.baseline).__name__ == "Quiet"
    assert not choice.baseline.needs_pcm


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"contrast": "toy", "toy": None}, "toy: Input should be a valid dictionary"),
        ({"contrast": "toy"}, "toy: Field required"),
        ({"contrast": "toy", "toy": {"gamma": 1.0}}, "toy.margin: Field required"),
        ({"contrast": "toy", "toy": {"gamma": -1.0, "margin": 1}}, "toy.gamma: Input should be"),
        ({"contrast": "toy", "toy": {"gamma": 1, "margin": 1, "x": 1}}, "toy.x: Extra inputs"),
        (
            {"contrast": "yaml", "yaml": {}},
            "contrast: 'yaml' is none; there are: dscnet, hsc, ppc, none, and",
        ),
        ({"contrast": "toys"}, "contrast: 'toys' is none; there are: dscnet, hsc, ppc, none, and"),
        ({"baseline": "hsc"}, "baseline: 'hsc' is none; there are: cam, eps, seam, and"),
        ({"toy": {}}, "toy: Extra inputs"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    write_settings(tmp_path)
    (tmp_path / "toy.py").write_text(TOY)
    source = tmp_path / "params.yaml"
    values = yaml.safe_load(source.read_text()) | changes
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        with pytest.raises(HscError) as caught:
            choose(parse_run(source, values), source)
    assert f"{source}: " in str(caught.value)
    assert said in str(caught.value)


def test_an_error_inside_a_module_is_not_taken_for_its_absence(tmp_path: Path) -> None:
    write_settings(tmp_path)
    (tmp_path / "broken.py").write_text("import not_there_at_all\n")
    source = tmp_path / "params.yaml"
    values = yaml.safe_load(source.read_text()) | {"contrast": "broken", "broken": {}}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        with pytest.raises(ModuleNotFoundError, match="not_there_at_all"):
            choose(parse_run(source, values), source)
