"""Where a run happens, from environment variables."""

import subprocess
import sys

import pytest
import torch

from hsc.base.errors import HscError
from hsc.engine import runtime
from hsc.engine.runtime import Runtime, detect_runtime, idle_gpus, one_thread, seed_torch
from tests.stage_runs import ROOT


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(runtime.os, "cpu_count", lambda: 64)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("no_gpu")
def test_defaults_on_a_cpu() -> None:
    assert detect_runtime({}) == Runtime(torch.device("cpu"), bf16=False, workers=0)


@pytest.mark.usefixtures("gpu")
def test_defaults_beside_a_gpu() -> None:
    assert detect_runtime({}) == Runtime(torch.device("cuda"), bf16=True, workers=8)
    # the CPU on purpose: its own defaults
    assert detect_runtime({"HSC_DEVICE": "cpu"}) == Runtime(torch.device("cpu"), False, 0)


@pytest.mark.usefixtures("gpu")
def test_the_environment_decides() -> None:
    environment = {"HSC_DEVICE": "cuda:1", "HSC_PRECISION": "fp32", "HSC_WORKERS": "3"}
    assert detect_runtime(environment) == Runtime(torch.device("cuda:1"), False, 3)


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("HSC_DEVICE", "gpu", "'gpu' is no device"),
        ("HSC_DEVICE", "", "'' is no device"),
        ("HSC_DEVICE", "meta", "'meta' is no device"),
        ("HSC_DEVICE", "cuda:x", "'cuda:x' is no device"),
        ("HSC_DEVICE", "cuda:1000", "'cuda:1000' is no device"),
        ("HSC_DEVICE", "cuda", "no GPU is usable; use cpu"),
        ("HSC_PRECISION", "fp16", "'fp16' is unknown; use fp32 or bf16"),
        ("HSC_WORKERS", "-1", "'-1' is no number of processes"),
        ("HSC_WORKERS", "many", "'many' is no number of processes"),
        ("HSC_WORKERS", "1.5", "'1.5' is no number of processes"),
        ("HSC_WORKERS", "", "'' is no number of processes"),
    ],
)
def test_values_that_make_no_sense(name: str, value: str, part: str) -> None:
    with pytest.raises(HscError) as caught:
        detect_runtime({name: value})
    assert str(caught.value).startswith(f"{name}: ")
    assert part in str(caught.value)


@pytest.mark.usefixtures("gpu")
def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(HscError, match="HSC_DEVICE: 'cuda:2' asked for, but cuda:1 is the last"):
        detect_runtime({"HSC_DEVICE": "cuda:2"})


def torchruns(rank: int, processes: int, **others: str) -> dict[str, str]:
    """What torchrun sets on one machine."""
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes}
    return {key: str(n) for key, n in {**names, "LOCAL_WORLD_SIZE": processes}.items()} | others


@pytest.mark.usefixtures("gpu")
def test_each_process_has_its_own_gpu() -> None:
    for rank in (0, 1):
        found = detect_runtime(torchruns(rank, 2, HSC_DEVICE="cuda"))
        assert found == detect_runtime(torchruns(rank, 2))
        assert found == Runtime(torch.device(f"cuda:{rank}"), bf16=True, workers=8)
    on_cpu = detect_runtime(torchruns(5, 6, HSC_DEVICE="cpu"))
    assert on_cpu == Runtime(torch.device("cpu"), bf16=False, workers=0)
    assert detect_runtime(torchruns(0, 1, HSC_DEVICE="cuda:1")).device == torch.device("cuda:1")


@pytest.mark.usefixtures("gpu")
def test_loaders_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, workers in ((64, 8), (12, 6), (1, 1)):
        monkeypatch.setattr(runtime.os, "cpu_count", lambda cores=cores: cores)
        assert detect_runtime(torchruns(0, 2)).workers == workers


@pytest.mark.usefixtures("gpu")
def test_processes_and_gpus_that_do_not_fit() -> None:
    with pytest.raises(HscError, match="HSC_DEVICE: 'cuda:1' is one GPU for 2 processes; use cuda"):
        detect_runtime(torchruns(0, 2, HSC_DEVICE="cuda:1"))
    with pytest.raises(HscError, match="3 processes on a machine with 2 GPUs: give a smaller"):
        detect_runtime(torchruns(2, 3))


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    ("device", "environment", "idle"),
    [
        ("cuda", {}, 1),
        ("cuda:0", {}, 0),
        ("cpu", {}, 0),
        ("cuda", {"HSC_GPUS": "1"}, 0),
        ("cuda", {"CUDA_VISIBLE_DEVICES": "0,1"}, 0),
    ],
)
def test_gpus_that_are_left_aside(device: str, environment: dict[str, str], idle: int) -> None:
    """Of two; whoever named a number or a GPU is not told."""
    assert idle_gpus(torch.device(device), environment) == idle


@pytest.mark.parametrize(("bf16", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_autocast(bf16: bool, expected: torch.dtype) -> None:
    with Runtime(torch.device("cpu"), bf16, 0).autocast():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == expected


def test_seed_torch() -> None:
    was = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        seed_torch(3)
        first = torch.rand(4)
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert not torch.backends.cudnn.benchmark
        seed_torch(3)
        assert torch.equal(torch.rand(4), first)
        seed_torch(4)
        assert not torch.equal(torch.rand(4), first)
    finally:
        torch.use_deterministic_algorithms(was, warn_only=warned)


def test_one_thread_and_the_caller_s_again() -> None:
    def fail() -> None:
        assert torch.get_num_threads() == 1
        raise RuntimeError

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(RuntimeError), one_thread():
            fail()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


DENORMAL = """
import torch
from hsc.engine.runtime import detect_runtime
detect_runtime({})
torch.set_num_threads(2)
print((torch.full((1 << 20,), 1e-30) * 1e-10).count_nonzero().item())
"""


def test_no_thread_computes_with_denormal_numbers() -> None:
    """They make it five times as slow. Of this size each thread has a part."""
    done = subprocess.run(
        [sys.executable, "-c", DENORMAL], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "0\n"
