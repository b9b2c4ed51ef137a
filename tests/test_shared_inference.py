"""Stages whose pictures are shared out among processes, also of several machines: the bytes of one.

Two agents of torchrun stand for two machines.
"""

import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hsc.nets.weights import load_whole
from tests.stage_runs import (
    PlainStage,
    change,
    contents,
    environment,
    run_well,
    stage,
    stages,
    write_settings,
)

pytestmark = pytest.mark.usefixtures("cpu")


def beside(name: str, options: str, out: str) -> PlainStage:
    """A command that is no stage of the pipeline."""
    return PlainStage(name, f"python -m stages.{name} {options}", (), (out,), (), ())


BESIDE = {
    each.name: each
    for each in (
        beside("predict", "outputs/data/shapes/JPEGImages --out predicted --quiet", "predicted"),
        beside("saliency_from_cams", "--out outputs/saliency", "outputs/saliency"),
    )
}
BY_GPUS = ("infer_cams", "refine_masks", "predict_segmentation", "predict")
SHARED = (*BY_GPUS[:3], "refine_crf", "label_affinity", "saliency_from_cams")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every stage up to the predictions has run in one process, with PSA."""
    folder = tmp_path_factory.mktemp("whole")
    write_settings(folder)
    change(folder / "params.yaml", psa__enabled=True)
    sgd = {"train_cam__seam__optimiser": "sgd", "train_cam__seam__momentum": 0.9}
    change(folder / "recipes/shapes.yaml", **sgd)  # its steps are as exact as the gradients
    names = [each.name for each in stages()]
    for name in names[: names.index("predict_segmentation") + 1]:
        run_well(stage(name), folder)
    for each in BESIDE.values():
        run_well(each, folder)
    return folder


def shared(name: str, work: Path) -> PlainStage:
    """The command, whose results are not there."""
    it = BESIDE[name] if name in BESIDE else stage(name)
    it.clear(work)
    return it


def variables(**more: str) -> dict[str, str]:
    return environment(GLOO_SOCKET_IFNAME="lo", HSC_PROCESSES="1", **more)


@pytest.mark.parametrize("name", BY_GPUS)
def test_two_processes_write_what_one_writes(whole: Path, tmp_path: Path, name: str) -> None:
    work = shutil.copytree(whole, tmp_path / "work")
    it = shared(name, work)
    done = subprocess.run(
        [sys.executable, *shlex.split(it.cmd)[1:]],
        cwd=work,
        env=variables(HSC_GPUS="2"),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"{it.outs[0]}: ")
    assert contents(work) == contents(whole)


@pytest.mark.parametrize("name", SHARED)
def test_two_machines_write_what_one_writes(whole: Path, tmp_path: Path, name: str) -> None:
    work = shutil.copytree(whole, tmp_path / "work")
    ends = on_two_machines(work, *shlex.split(shared(name, work).cmd)[1:])
    assert [code for code, _ in ends] == [0, 0], ends
    assert contents(work) == contents(whole)


def test_a_training_on_two_machines(whole: Path, tmp_path: Path) -> None:
    work = shutil.copytree(whole, tmp_path / "work")
    it = shared("train_cam", work)
    ends = on_two_machines(work, *shlex.split(it.cmd)[1:])
    assert [code for code, _ in ends] == [0, 0], ends
    assert contents(work).keys() == contents(whole).keys()
    found, expected = (load_whole(each / it.outs[0])["state"] for each in (work, whole))
    for key, value in expected.items():
        assert (found[key] - value).abs().max() < 1e-5, key


def on_two_machines(work: Path, *what: str) -> list[tuple[int, str]]:
    """Exit code and stderr of two agents that find each other by a rendezvous."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    launcher = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1",
        "--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", "test",
    ]  # fmt: skip
    agents = [
        subprocess.Popen(
            [*launcher, "--local-addr", "127.0.0.1", *what],
            cwd=work,
            env=variables(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        said = [agent.communicate(timeout=200)[1] for agent in agents]
    finally:
        for agent in agents:
            agent.kill()
    return [(agent.returncode, text) for agent, text in zip(agents, said, strict=True)]
