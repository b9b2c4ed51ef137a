"""CAM training as a whole on tiny pictures: determinism, interruption, kill -9, bad input."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hsc.base.errors import HscError
from hsc.cam.network import load_cam_network
from hsc.data.voc import VocFolder
from hsc.engine.checkpoints import ResumeFile, watched_state
from hsc.methods.method import Method
from hsc.methods.training import build_method, cam_optimiser, network_spec, train_cam
from hsc.params.method import MethodChoice
from hsc.params.recipe import NetworkParams, TrainCamParams
from tests.events import read_events, scalars

REPOSITORY = Path(__file__).resolve().parents[2]
Train = Callable[..., tuple[Path, list[dict[str, float]]]]
Run = Callable[..., MethodChoice]
Interrupt = Callable[[type, int, Callable[[], Any]], None]
Result = tuple[Path, list[dict[str, float]], dict[str, Tensor]]
"""Weights file, history, prototypes after the last step."""


def remember_prototypes(patch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """The contrast's buffers as they are after the last commit of any method, kept up to date."""
    seen: dict[str, Tensor] = {}
    commit = Method.commit

    def remembering(self: Method) -> None:
        commit(self)
        seen.update({name: value.clone() for name, value in self.contrast.state_dict().items()})

    patch.setattr(Method, "commit", remembering)
    return seen


@pytest.fixture(scope="module")
def training(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_folder: VocFolder,
    tiny_backbone: Path,
    tiny_run: Run,
    tiny_network: NetworkParams,
    tiny_cam_params: TrainCamParams,
    cpu: Any,
) -> Train:
    folder = tmp_path_factory.mktemp("training")

    def run(name: str, **changes: Any) -> tuple[Path, list[dict[str, float]]]:
        output = folder / f"{name}.pt"
        arguments: dict[str, Any] = {
            "folder": tiny_folder,
            "backbone": tiny_backbone,
            "choice": tiny_run(),
            "network": tiny_network,
            "params": tiny_cam_params,
            "runtime": cpu,
            "resume": ResumeFile(folder / "resume", name, "key"),
            "output": output,
            **changes,
        }
        return output, train_cam(**arguments)

    return run


@pytest.fixture(scope="module")
def undisturbed(training: Train) -> Result:
    """Weights, history and prototypes of SEAM with HSC, 12 steps."""
    with pytest.MonkeyPatch.context() as patch:
        prototypes = remember_prototypes(patch)
        output, history = training("undisturbed")
    return output, history, dict(prototypes)


@pytest.fixture(scope="module")
def short(tiny_cam_params: TrainCamParams) -> TrainCamParams:
    return tiny_cam_params.model_copy(update={"steps": 2, "checkpoint_every": 1})


def test_training_writes_a_whole_network(undisturbed: Result, tiny_folder: VocFolder) -> None:
    output, history, prototypes = undisturbed
    assert [row["step"] for row in history] == list(range(12))
    terms = ["classification", "minimum", "equivariance", "cross_equivariance"]
    assert list(history[0]) == ["step", "lr", "loss", *terms, "roi", "class", "pixel"]
    assert history[-1]["classification"] < history[0]["classification"]
    assert history[0]["class"] == 0, "no prototypes yet"
    assert history[-1]["class"] > 0
    assert history[0]["lr"] == pytest.approx(1e-3)
    assert history[6]["lr"] == pytest.approx(1e-3 * 0.5**0.9)
    assert prototypes["class1_present"].sum() > 3
    network, spec = load_cam_network(output)
    assert tuple(spec["class_names"]) == tiny_folder.class_names
    maps = network(torch.zeros(1, 3, 24, 32))
    assert maps.cam.shape == maps.refined.shape == (1, 9, 6, 8)


def test_looking_on_changes_no_byte(
    training: Train, undisturbed: Result, tiny_folder: VocFolder, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Events have every step and pictures of four training pictures, CAM and seeds beside them."""
    monkeypatch.setenv("HSC_TENSORBOARD", str(tmp_path / "events"))
    state = watched_state(tmp_path, "train_cam", "key", tmp_path / "losses.csv")
    output, _ = training("watched", resume=state)
    assert output.read_bytes() == undisturbed[0].read_bytes()
    folder = tmp_path / "events" / "train_cam-key"
    assert [step for step, _ in scalars(folder, "pixel")] == list(range(12))
    events = read_events(folder)
    names = events.Tags()["images"]
    assert len(set(names)) == 4
    assert set(names) <= set(tiny_folder.ids("train_aug"))
    height, width = tiny_folder.size(names[0])
    last = events.Images(names[0])[-1]
    assert (last.step, last.height, last.width) == (11, height, 3 * width)


@pytest.mark.parametrize(
    ("baseline", "contrast"),
    [
        ("cam", "none"),
        ("cam", "ppc"),
        ("cam", "hsc"),
        ("seam", "none"),
        ("seam", "ppc"),
        ("eps", "none"),
        ("eps", "ppc"),
        ("eps", "hsc"),
    ],
)
def test_every_method_trains(
    training: Train, tiny_run: Run, short: TrainCamParams, baseline: str, contrast: str
) -> None:
    run = tiny_run(baseline=baseline, contrast=contrast)
    output, history = training(f"{baseline}-{contrast}", choice=run, params=short)
    assert len(history) == 2
    _, spec = load_cam_network(output)
    needs_pcm = baseline == "seam" or (baseline == "eps" and contrast != "none")
    assert (spec["pcm"] is not None) == needs_pcm
    assert spec["projectors"] == {"none": None, "ppc": [None, 5], "hsc": [6, 5]}[contrast]


def test_interrupted_ppc_draws_what_the_undisturbed_run_draws(
    training: Train, tiny_run: Run, tiny_cam_params: TrainCamParams, interrupted: Interrupt
) -> None:
    changes = {
        "choice": tiny_run(contrast="ppc"),
        "params": tiny_cam_params.model_copy(update={"steps": 5, "checkpoint_every": 2}),
    }
    expected, its_history = training("ppc", **changes)
    terms = ["classification", "minimum", "equivariance", "cross_equivariance"]
    contrast = ["cross_prototype", "cross_label", "intra_view"]
    assert list(its_history[0]) == ["step", "lr", "loss", *terms, *contrast]
    assert all(row[name] > 0 for row in its_history for name in contrast)
    interrupted(Method, 3, lambda: training("ppc-interrupted", **changes))
    found, history = training("ppc-interrupted", **changes)
    assert history == its_history
    assert found.read_bytes() == expected.read_bytes()


def test_same_parameters_same_bytes(training: Train, undisturbed: Result) -> None:
    torch.manual_seed(123)  # whatever the process did before
    found, history = training("again")
    assert history == undisturbed[1]
    assert found.read_bytes() == undisturbed[0].read_bytes()


def test_other_seed_other_bytes(training: Train, tiny_run: Run, short: TrainCamParams) -> None:
    first, _ = training("seed0", params=short)
    second, _ = training("seed1", params=short, choice=tiny_run(seed=1))
    assert first.read_bytes() != second.read_bytes()


@pytest.mark.parametrize("stop_at", [1, 5, 11])
def test_interrupted_training_ends_in_the_same_bytes(
    training: Train,
    undisturbed: Result,
    interrupted: Interrupt,
    monkeypatch: pytest.MonkeyPatch,
    stop_at: int,
) -> None:
    expected, its_history, its_prototypes = undisturbed
    name = f"interrupted{stop_at}"
    interrupted(Method, stop_at, lambda: training(name))
    assert not (expected.parent / f"{name}.pt").exists()
    prototypes = remember_prototypes(monkeypatch)
    found, history = training(name)
    assert history == its_history
    assert found.read_bytes() == expected.read_bytes()
    for buffer in its_prototypes:
        assert torch.equal(prototypes[buffer], its_prototypes[buffer]), buffer


def test_checkpoint_holds_the_prototypes(
    training: Train,
    undisturbed: Result,
) -> None:
    folder = undisturbed[0].parent / "resume"
    state = ResumeFile(folder, "undisturbed", "key").load()
    assert state["step"] == 9
    assert state["objective"]["contrast.pixel2_vectors"].any()
    assert state["objective"]["contrast.class1_present"].dtype == torch.bool


# Killed processes

KILLED = """
import json, os, signal, sys
from pathlib import Path

import torch
from hsc.data.voc import VocFolder
from hsc.methods.training import train_cam
from hsc.engine.checkpoints import ResumeFile
from hsc.engine.runtime import Runtime
from hsc.methods.method import Method
from hsc.params.method import MethodChoice
from hsc.params.recipe import NetworkParams, TrainCamParams
from hsc.methods.baselines.seam import Seam
from hsc.methods.baseline import NoConstants
from hsc.methods.contrasts.hsc import HscContrast, HscParams

request = json.loads(sys.argv[1])
torch.set_num_threads(1)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def prepare(moment, output):
    commit, fsync, replace = Method.commit, os.fsync, Path.replace
    calls = []

    def commit_or_die(self):
        calls.append(1)
        if len(calls) == 5:
            die()
        commit(self)

    def fsync_or_die(descriptor):
        calls.append(1)
        if len(calls) == 2:
            die()
        fsync(descriptor)

    def replace_or_die(self, target):
        if target == output:
            die()
        return replace(self, target)

    if moment == "between step and commit":
        Method.commit = commit_or_die
    elif moment == "in a checkpoint":
        os.fsync = fsync_or_die
    elif moment == "before the weights are in place":
        Path.replace = replace_or_die


def train(moment, name):
    folder = Path(request["output"])
    prepare(moment, folder / f"{name}.pt")
    train_cam(
        VocFolder(Path(request["root"])),
        Path(request["backbone"]),
        MethodChoice(
            0, ("seam", "hsc"), Seam(NoConstants(), True), HscContrast,
            HscParams.model_validate(request["constants"]),
        ),
        NetworkParams.model_validate(request["network"]),
        TrainCamParams.model_validate(request["params"]),
        Runtime(torch.device("cpu"), bf16=False, workers=0),
        ResumeFile(folder / "resume", name, "key"),
        folder / f"{name}.pt",
    )


children = {}
for moment, name in request["moments"].items():
    child = os.fork()  # torch is loaded once, and no thread runs yet
    if child == 0:
        try:
            train(moment, name)
        finally:
            os._exit(0)
    children[moment] = child
ends = {moment: os.waitpid(child, 0)[1] for moment, child in children.items()}
print(json.dumps({moment: os.WTERMSIG(end) for moment, end in ends.items()}))
"""
MOMENTS = {
    "between step and commit": 3,
    "in a checkpoint": 3,
    "before the weights are in place": 9,
}
"""Where a process is killed, and the step of the checkpoint that is then the last whole one."""


@pytest.fixture(scope="module")
def killed(
    undisturbed: Result,
    tiny_root: Path,
    tiny_backbone: Path,
    tiny_run: Run,
    tiny_network: NetworkParams,
    tiny_cam_params: TrainCamParams,
) -> dict[str, str]:
    """Start a process for each moment, wait until all are dead; the names of their trainings."""
    settings = {
        "constants": tiny_run().contrast_params,
        "network": tiny_network,
        "params": tiny_cam_params,
    }
    names = {moment: f"killed{number}" for number, moment in enumerate(MOMENTS)}
    request = {
        "root": str(tiny_root),
        "backbone": str(tiny_backbone),
        "output": str(undisturbed[0].parent),
        "moments": names,
        **{key: value.model_dump(mode="json") for key, value in settings.items()},
    }
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, json.dumps(request)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert json.loads(done.stdout) == dict.fromkeys(MOMENTS, signal.SIGKILL), done.stderr
    return names


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_training_goes_on_to_the_same_bytes(
    training: Train,
    undisturbed: Result,
    killed: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    expected, its_history, its_prototypes = undisturbed
    name = killed[moment]
    folder = expected.parent
    assert not (folder / f"{name}.pt").exists(), "nothing that looks whole"
    resume = ResumeFile(folder / "resume", name, "key")
    assert resume.load()["step"] == MOMENTS[moment]
    if moment == "in a checkpoint":
        assert resume.path.with_name(resume.path.name + ".partial").exists()
    prototypes = remember_prototypes(monkeypatch)
    found, history = training(name)
    assert found.read_bytes() == expected.read_bytes()
    assert history == its_history
    for buffer in its_prototypes:
        assert torch.equal(prototypes[buffer], its_prototypes[buffer]), buffer
    assert not list(folder.rglob(f"{name}*.partial"))


# Bad input


@pytest.mark.parametrize("baseline", ["seam", "eps"])
def test_training_works_without_masks(
    training: Train,
    tmp_path: Path,
    tiny_root: Path,
    tiny_run: Run,
    short: TrainCamParams,
    baseline: str,
) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_root, root, ignore=shutil.ignore_patterns("SegmentationClass"))
    run = tiny_run(baseline=baseline)
    expected, _ = training(f"masks-{baseline}", choice=run, params=short)
    found, _ = training(f"no-masks-{baseline}", choice=run, params=short, folder=VocFolder(root))
    assert found.read_bytes() == expected.read_bytes()


def test_saliency_is_needed_by_eps_only(
    training: Train, tmp_path: Path, tiny_root: Path, tiny_run: Run, short: TrainCamParams
) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_root, root, ignore=shutil.ignore_patterns("Saliency"))
    training("no-saliency", params=short, folder=VocFolder(root))
    with pytest.raises(HscError, match=r"Saliency/train_0\d+.png: no such saliency map"):
        training("eps-no-saliency", choice=tiny_run(baseline="eps"), folder=VocFolder(root))


def test_missing_picture_is_an_error(
    training: Train, tmp_path: Path, tiny_root: Path, short: TrainCamParams
) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_root, root)
    for path in (root / "JPEGImages").glob("train_*"):
        path.unlink()
    with pytest.raises(HscError, match="no such picture"):
        training("no-picture", params=short, folder=VocFolder(root))


def test_backbone_of_another_width_is_an_error(
    training: Train, tiny_network: NetworkParams, tiny_backbone: Path
) -> None:
    wider = tiny_network.model_copy(update={"widths": (4, 4, 16, 8)})
    with pytest.raises(HscError) as error:
        training("wider", network=wider)
    assert str(error.value).startswith(f"{tiny_backbone}: its widths is [4, 4, 8, 8]")
    assert "[4, 4, 16, 8]" in str(error.value)


def test_unknown_backbone_is_an_error(training: Train, tiny_network: NetworkParams) -> None:
    with pytest.raises(HscError, match=r"'resnet1' is unknown; there are: .*small"):
        training("unknown", network=tiny_network.model_copy(update={"backbone": "resnet1"}))


def test_cam_weights_are_no_backbone(training: Train, undisturbed: Result) -> None:
    with pytest.raises(HscError, match=r"undisturbed\.pt: expected backbone weights"):
        training("cam-as-backbone", backbone=undisturbed[0])


def test_nan_in_a_loss_names_term_and_step_and_keeps_the_checkpoint(
    training: Train,
    undisturbed: Result,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    losses, steps = Method.losses, iter(range(100))

    def poisoned(self: Method, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        terms = losses(self, batch)
        if next(steps) == 7:
            terms["pixel"] = terms["pixel"] * float("nan")
            terms["loss"] = terms["loss"] + terms["pixel"]
        return terms

    with monkeypatch.context() as patch:
        patch.setattr(Method, "losses", poisoned)
        with pytest.raises(HscError, match="CAM training, step 7: not finite: loss, pixel; lower"):
            training("nan")
    resume = ResumeFile(undisturbed[0].parent / "resume", "nan", "key")
    assert resume.load()["step"] == 6
    found, _ = training("nan")  # the cause is gone: the state was sound
    assert found.read_bytes() == undisturbed[0].read_bytes()


def test_damaged_resume_file_is_an_error(training: Train, undisturbed: Result) -> None:
    folder = undisturbed[0].parent
    resume = ResumeFile(folder / "resume", "damaged", "key")
    whole = ResumeFile(folder / "resume", "undisturbed", "key").path.read_bytes()
    resume.path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(HscError) as error:
        training("damaged")
    assert str(error.value).startswith(f"{resume.path}: ")
    assert not (folder / "damaged.pt").exists()


# What the parameters become


def test_optimiser_has_the_rates_of_the_recipe(
    tiny_run: Run, tiny_network: NetworkParams, tiny_cam_params: TrainCamParams
) -> None:
    method = build_method(("a", "b"), tiny_run(), tiny_network, tiny_cam_params)
    optimiser = cam_optimiser(method, tiny_cam_params)
    rates = {}
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            rates[parameter] = (group["factor"], group["weight_decay"])
    network = method.network
    assert rates[network.backbone.stem.weight] == (1, 1e-2)
    assert rates[network.backbone.norm4.bias] == (2, 0)
    assert rates[network.head.weight] == (5, 1e-2)
    assert rates[network.pcm.embed.weight] == (5, 1e-2)
    assert rates[network.projector_pixel.layers[0].weight] == (3, 1e-2)
    assert rates[network.projector_class.layers[0].bias] == (6, 0)
    assert len(rates) == len(list(network.parameters())), "every parameter is trained"


def test_parameters_reach_the_contrast(
    tiny_run: Run, tiny_network: NetworkParams, tiny_cam_params: TrainCamParams
) -> None:
    run = tiny_run(**{"class": False, "crf": "pixel", "k_pixel": 9, "momentum": 0.5, "gamma": 0.3})
    contrast = build_method(("a", "b"), run, tiny_network, tiny_cam_params).contrast
    settings = contrast.params
    assert (settings.roi, settings.class_level, settings.pixel) == (True, False, True)
    assert (settings.crf, settings.k_pixel) == ("pixel", 9)
    assert (settings.momentum, settings.gamma) == (0.5, 0.3)
    assert contrast.memory("class1").vectors.shape == (2, 6)
    assert contrast.memory("pixel1").vectors.shape == (3, 5)


@pytest.mark.parametrize(
    ("contrast", "equivariance", "expected"),
    [
        ("none", "auto", False),
        ("hsc", "auto", True),
        ("ppc", "auto", True),
        ("none", True, True),
        ("hsc", False, False),
    ],
)
def test_equivariance_of_eps(
    tiny_run: Run,
    tiny_network: NetworkParams,
    tiny_cam_params: TrainCamParams,
    contrast: str,
    equivariance: str | bool,
    expected: bool,
) -> None:
    run = tiny_run(baseline="eps", contrast=contrast, equivariance=equivariance)
    method = build_method(("a", "b"), run, tiny_network, tiny_cam_params)
    assert method.baseline.needs_pcm is expected
    spec = network_spec(("a", "b"), run, tiny_network, tiny_cam_params)
    assert (spec["pcm"] == [3, 3, 4]) is expected
    assert (method.network.pcm is not None) is expected
