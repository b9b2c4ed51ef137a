"""The inference stages in two processes (`HSC_GPUS=2`, on the CPU): the bytes of one."""

import shutil
from pathlib import Path

import pytest

from tests.stage_runs import change, contents, run_here, run_well, stage, stages, write_settings

pytestmark = pytest.mark.usefixtures("cpu")

NAMES = ("infer_cams", "refine_masks", "predict_segmentation")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every stage up to the predictions has run in one process, with PSA."""
    folder = tmp_path_factory.mktemp("whole")
    write_settings(folder)
    change(folder / "params.yaml", psa__enabled=True)
    names = [each.name for each in stages()]
    for name in names[: names.index("predict_segmentation") + 1]:
        run_well(stage(name), folder)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_write_what_one_writes(whole: Path, tmp_path: Path, name: str) -> None:
    work = shutil.copytree(whole, tmp_path / "work")
    before = contents(work)
    stage(name).clear(work)
    result = run_here(stage(name), work, HSC_GPUS="2", OMP_NUM_THREADS="1")
    assert result.exit_code == 0, result.output
    assert contents(work) == before
