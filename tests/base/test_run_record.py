"""Records of what runs took."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hsc.base.errors import HscError
from hsc.base.run_record import (
    RunRecord,
    digest_product,
    find_record,
    measure,
    peak_bytes,
    product_bytes,
    records_folder,
    write_record,
)
from tests.stage_runs import ROOT, environment, run_here, run_process, stage, write_settings

MIB = 1 << 20


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """A folder with files in it."""
    folder = tmp_path / "seeds"
    (folder / "b").mkdir(parents=True)
    for name in ("a.png", "c.png", "b/d.png"):
        (folder / name).write_text(f"content of {name}")
    return folder


@pytest.fixture
def record(product: Path) -> RunRecord:
    return measure("make_seeds", product, 3.21049)


# The folder


def test_no_test_writes_into_the_home() -> None:
    for variables in (os.environ, environment()):
        assert not records_folder(variables).is_relative_to(Path.home() / ".cache")


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"HSC_RUNS": "/big/runs"}, Path("/big/runs")),
        ({"HSC_RUNS": "~/runs"}, Path.home() / "runs"),
        ({"HSC_RUNS": " ", "XDG_CACHE_HOME": "/caches"}, Path("/caches/hsc/runs")),
        ({}, Path.home() / ".cache" / "hsc" / "runs"),
    ],
)
def test_the_folder(variables: dict[str, str], folder: Path) -> None:
    assert records_folder(variables) == folder


# Digests


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "cams.h5"
    content = os.urandom(5 * MIB // 2)
    path.write_bytes(content)
    assert digest_product(path) == hashlib.sha256(content).hexdigest()
    other = path.rename(tmp_path / "other.h5")
    assert digest_product(other) == hashlib.sha256(content).hexdigest()


def test_the_digest_of_a_folder_is_that_of_its_names_and_contents(
    product: Path, tmp_path: Path
) -> None:
    found = digest_product(product)
    again = shutil.copytree(product, tmp_path / "another name")
    assert digest_product(again) == found
    (again / "a.png").write_text("changed")
    changed = digest_product(again)
    (again / "a.png").write_text("content of a.png")
    assert digest_product(again) == found
    (again / "a.png").rename(again / "a2.png")  # in the same place of the order
    renamed = digest_product(again)
    (again / "f.png").touch()
    assert len({found, changed, renamed, digest_product(again)}) == 4


def test_names_and_contents_do_not_run_into_each_other(tmp_path: Path) -> None:
    digests = set()
    folders = ({"a": "bc", "d": ""}, {"a": "b", "cd": ""}, {"abc": "", "d": ""})
    for number, files in enumerate(folders):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_text(content)
        digests.add(digest_product(folder))
    assert len(digests) == 3


def test_the_links_that_dvc_makes_count_as_files(product: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    (linked / "b").mkdir(parents=True)
    for name in ("a.png", "c.png", "b/d.png"):
        (linked / name).symlink_to(product / name)
    assert digest_product(linked) == digest_product(product)


def test_the_progress_of_a_digest_is_in_bytes(product: Path) -> None:
    (product / "large").write_bytes(bytes(2 * MIB + 1))
    calls: list[tuple[int, int]] = []
    digest_product(product, lambda *done: calls.append(done))
    total = product_bytes(product)
    assert total == sum(path.stat().st_size for path in product.rglob("*.png")) + 2 * MIB + 1
    assert calls == sorted(calls)
    assert (calls[0], calls[-1]) == ((0, total), (total, total))
    assert len(set(calls)) == 7  # the start, three pictures, three blocks


def test_a_product_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(HscError, match=r"none: cannot be read \(No such file.*run its stage again"):
        digest_product(tmp_path / "none")


# Records


def test_a_record_says_what_the_run_took(record: RunRecord, product: Path) -> None:
    assert (record.stage, record.product) == ("make_seeds", product.as_posix())
    assert record.digest == digest_product(product)
    assert record.seconds == 3.21
    assert 10 * MIB < record.peak_bytes < 100_000 * MIB
    finished = datetime.fromisoformat(record.finished)
    assert finished.tzinfo == UTC
    assert abs((datetime.now(UTC) - finished).total_seconds()) < 60
    assert record.versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"torch", "numpy", "h5py", "pydensecrf2"} <= record.versions.keys()
    assert all(re.match(r"\d+\.\d", version) for version in record.versions.values())


def test_a_record_is_found_by_its_product(record: RunRecord, product: Path, tmp_path: Path) -> None:
    """Also where the product is a copy of it, as out of DVC's cache."""
    folder = tmp_path / "runs"
    assert find_record("make_seeds", product, folder) is None
    write_record(record, folder)
    assert find_record("make_seeds", product, folder) == record
    copy = shutil.copytree(product, tmp_path / "copy")
    assert find_record("make_seeds", copy, folder) == record
    assert find_record("refine_crf", product, folder) is None
    assert find_record("make_seeds", tmp_path / "none", folder) is None
    (product / "a.png").write_text("another run's")
    assert find_record("make_seeds", product, folder) is None


def test_a_later_run_of_the_same_product_replaces_the_record(
    record: RunRecord, product: Path, tmp_path: Path
) -> None:
    write_record(record, tmp_path / "runs")
    later = record.model_copy(update={"seconds": 9.0})
    write_record(later, tmp_path / "runs")
    assert find_record("make_seeds", product, tmp_path / "runs") == later
    assert len(list((tmp_path / "runs").iterdir())) == 1


def broken(text: str) -> list[str]:
    values = json.loads(text)
    return [
        "",
        text[: len(text) // 2],
        "[]",
        "\0",
        json.dumps(values | {"seconds": "long"}),
        json.dumps(values | {"more": 1}),
        json.dumps({key: value for key, value in values.items() if key != "device"}),
        json.dumps(values | {"stage": "refine_crf"}),
        json.dumps(values | {"digest": "0" * 64}),
        text.replace('"seconds": 3.21', '"seconds": NaN'),
    ]


@pytest.mark.parametrize("case", range(10))
def test_a_damaged_record_is_none(
    record: RunRecord, product: Path, tmp_path: Path, case: int
) -> None:
    write_record(record, tmp_path / "runs")
    (path,) = (tmp_path / "runs").iterdir()
    text = broken(path.read_text())[case]
    assert text != path.read_text()
    path.write_text(text)
    assert find_record("make_seeds", product, tmp_path / "runs") is None
    path.write_bytes(b"\xff\xfe")
    assert find_record("make_seeds", product, tmp_path / "runs") is None


# Memory


def memory_of(program: str) -> dict[str, Any]:
    """What a process of its own has after `program`, which may set `extra`."""
    told = """
import json, resource
from hsc.base.run_record import _maximum, peak_bytes
print(json.dumps([peak_bytes(), _maximum(resource.RUSAGE_CHILDREN)]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program + told],
        capture_output=True, text=True, env=environment(), cwd=ROOT, check=True,
    )  # fmt: skip
    own, child = json.loads(done.stdout)
    return {"own": own, "child": child}


def test_the_peak_is_what_was_used_at_once_not_what_is_left() -> None:
    plain = memory_of("")
    peak = memory_of("x = b'1' * (200 << 20)\ndel x\n")
    assert 150 * MIB < peak["own"] - plain["own"] < 250 * MIB
    assert plain["child"] == 0


def test_the_peak_of_a_child_is_apart() -> None:
    child = """
import subprocess, sys
for size in (200, 20):
    subprocess.run([sys.executable, "-c", f"x = b'1' * ({size} << 20)"], check=True)
"""
    found = memory_of(child)
    assert found["child"] > 200 * MIB
    assert found["own"] < 150 * MIB


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_the_peak_is_not_that_of_the_process_which_started_this_one() -> None:
    """As `ru_maxrss` would say."""
    large = """
import subprocess, sys
x = b'1' * (300 << 20)
told = "from hsc.base.run_record import peak_bytes; print(peak_bytes())"
print(subprocess.run([sys.executable, "-c", told], capture_output=True, text=True).stdout)
"""
    done = subprocess.run(
        [sys.executable, "-c", large], capture_output=True, text=True, env=environment(), cwd=ROOT
    )
    assert 0 < int(done.stdout) < 200 * MIB


def test_without_proc_there_is_the_systems_word(tmp_path: Path) -> None:
    assert peak_bytes(tmp_path / "none") >= peak_bytes() * 0.9
    (tmp_path / "status").write_text("Name:\tpython\nVmHWM:\t  123 kB\nVmRSS:\t 99 kB\n")
    assert peak_bytes(tmp_path / "status") == 123 * 1024
    (tmp_path / "status").write_text("Name:\tpython\n")
    assert peak_bytes(tmp_path / "status") >= peak_bytes() * 0.9


# The device


class Cuda:
    """What torch.cuda says on a machine with two GPUs."""

    def __init__(self, *peaks: int, initialised: bool = True) -> None:
        self.peaks, self.initialised = peaks, initialised

    def is_initialized(self) -> bool:
        return self.initialised

    def device_count(self) -> int:
        return len(self.peaks)

    def max_memory_allocated(self, index: int) -> int:
        assert self.initialised, "this would initialise CUDA"
        return self.peaks[index]

    def get_device_name(self, index: int) -> str:
        return f"GPU {index}"


@pytest.mark.parametrize(
    ("cuda", "device", "peak"),
    [
        (Cuda(), "cpu", None),
        (Cuda(5, 7, initialised=False), "cpu", None),
        (Cuda(0, 0), "cpu", None),  # asked for its random state, and no more
        (Cuda(512, 0), "GPU 0", 512),
        (Cuda(0, 1024), "GPU 1", 1024),
    ],
)
def test_the_device(
    product: Path, monkeypatch: pytest.MonkeyPatch, cuda: Cuda, device: str, peak: int | None
) -> None:
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    found = measure("train_cam", product, 1.0)
    assert (found.device, found.peak_gpu_bytes) == (device, peak)


def test_without_torch_there_is_no_device_and_none_is_imported(product: Path) -> None:
    program = """
import sys
from pathlib import Path
from hsc.base.run_record import measure
record = measure("make_seeds", Path(sys.argv[1]), 1.0)
print(record.device, record.peak_gpu_bytes, {"torch", "numpy"} & sys.modules.keys())
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(product)],
        capture_output=True, text=True, env=environment(), cwd=ROOT, check=True,
    )  # fmt: skip
    assert done.stdout == "None None set()\n"


def test_on_a_gpu(product: Path) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    torch.zeros(64 * MIB, device="cuda")
    found = measure("train_cam", product, 1.0)
    assert found.device == torch.cuda.get_device_name()
    assert found.peak_gpu_bytes >= 256 * MIB


# Stages


@pytest.mark.parametrize("how", [run_process, run_here])
def test_a_stage_leaves_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Any
) -> None:
    """Under its own name, also where `python -m` calls its module `__main__`."""
    monkeypatch.setenv("HSC_RUNS", str(tmp_path / "runs"))
    write_settings(tmp_path)
    how(stage("prepare_data"), tmp_path)
    product = tmp_path / "metrics" / "data.json"
    found = find_record("prepare_data", product, tmp_path / "runs")
    assert found.product == "metrics/data.json"
    assert 0 < found.seconds < 60
    if how is run_process:
        assert found.peak_child_bytes > 10 * MIB
