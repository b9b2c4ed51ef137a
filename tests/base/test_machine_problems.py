"""Too little disk or memory is said in one line; what tells of it is faked."""

import errno
import os

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner

from hsc.base.cli import command
from hsc.base.machine_problems import describe_problem, is_out_of_memory
from tests.import_closure import ROOT

CUDA = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 15.77 GiB of"
ON_CPU = "[enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate memory"
KILLED = "DataLoader worker (pid 12) is killed by signal: Killed. "
NO_MEMORY = [
    torch.cuda.OutOfMemoryError(CUDA),
    RuntimeError(ON_CPU),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError(KILLED),
    MemoryError(),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
]
OTHERS = [
    RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
    ValueError("out of memory"),
    OSError(errno.EACCES, "Permission denied"),
    KeyError("memory"),
]


def names(errors: list[Exception]) -> list[str]:
    return [f"{type(error).__name__}: {str(error)[:24]}" for error in errors]


@pytest.mark.parametrize("error", NO_MEMORY, ids=names(NO_MEMORY))
def test_a_stage_without_memory_ends_in_one_line(error: Exception) -> None:
    def run() -> str:
        raise error

    result = CliRunner().invoke(command(run), [])
    assert result.exit_code == 1
    assert result.stdout == ""
    line, page = result.stderr.splitlines()
    assert line.startswith("Error: test_machine_problems: out of memory (")
    assert page == "help: docs/troubleshooting.md"


def test_what_numpy_raises_is_known() -> None:
    with pytest.raises(MemoryError) as problem:
        np.ones(1 << 60, dtype=np.uint8)
    text = describe_problem(problem.value, "make_seeds")
    assert text is not None
    assert "Unable to allocate 1.00 EiB" in text


@pytest.mark.parametrize("error", OTHERS, ids=names(OTHERS))
def test_other_errors_are_left_alone(error: Exception) -> None:
    assert describe_problem(error, "train_cam") is None
    assert not is_out_of_memory(error)


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("train_cam", ["batch_size", "crop_size", "crf_size", "HSC_PRECISION", "HSC_WORKERS"]),
        (
            "train_segmentation",
            ["train_segmentation.NETWORK.batch_size", "crop_size", "HSC_PRECISION"],
        ),
        ("infer_cams", ["infer_cams.BASELINE.scales", "HSC_PRECISION"]),
        ("refine_crf", ["HSC_PROCESSES"]),
        ("predict", ["--max-side", "--batch", "--scales"]),
        ("evaluate", ["take a machine with more"]),
    ],
)
def test_the_advice_is_that_of_the_stage(stage: str, words: list[str]) -> None:
    text = describe_problem(torch.cuda.OutOfMemoryError(CUDA), stage)
    assert text is not None
    assert text.startswith(f"{stage}: out of memory (CUDA out of memory. Tried to allocate 2.00")
    assert len(text.splitlines()) == 1
    for word in words:
        assert word in text.partition("); ")[2]


def test_stages_that_run_a_network_have_their_own_advice() -> None:
    """Those whose code depends on torch's runtime."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for name, stage in stages.items():
        if "hsc/engine/runtime.py" in stage.get("deps", []):
            text = describe_problem(MemoryError(), name)
            assert text is not None
            assert "HSC_PRECISION=bf16 or HSC_WORKERS=0" in text


@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EIO]
)
def test_a_path_that_cannot_be_used_is_named(number: int) -> None:
    text = describe_problem(OSError(number, os.strerror(number), "data/x"), "prepare_data")
    assert text is not None
    assert text.startswith(f"data/x: {os.strerror(number)}; ")


def test_a_full_disk_is_named() -> None:
    text = describe_problem(OSError(errno.ENOSPC, "full", "outputs/cam.pt"), "train_cam")
    assert text is not None
    assert text.startswith("outputs/cam.pt: no space left; free some")
    assert (describe_problem(OSError(errno.EDQUOT, "full"), "x") or "").startswith("the disk: no")
