"""How the parts grow: their lines at small sizes, the table, the command."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from benchmarks import growth
from benchmarks.part_table import between
from benchmarks.parts import cam_inference
from hsc.base.files import read_json
from hsc.cam.network import cam_network
from hsc.compare.table import NONE
from hsc.data.classes import VOC_CLASSES

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL = growth.Sizes(count=2, picture=(24, 32), side=16, cells=8, channels=16)
CONTENT = {
    "lines": {
        "pictures": {"CAM file": [0.5, 2.0, 8.25]},
        "pixels": {"labels of a batch, exact CRF": [0.001234, 0.02]},
    },
    "measured": {
        "date": "2026-01-02", "device": "A processor", "cpus": 2, "load": 0.25, "repeats": 5,
        "python": "3.11.7",
    },
}  # fmt: skip


@pytest.fixture
def small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = {
        "backbone": "small", "widths": [4, 4, 8, 8], "output_stride": 4, "projectors": None,
        "class_names": VOC_CLASSES, "pcm": (4, 4, 8),
    }  # fmt: skip
    monkeypatch.setattr(cam_inference, "resnet38", lambda: cam_network(spec).eval())


def test_every_line_is_measured_at_every_size(small_network: None) -> None:
    found = growth.measure(1, SMALL)
    assert list(found) == ["pictures", "pixels"]
    for by, sizes in (("pictures", growth.PICTURES), ("pixels", growth.PIXELS)):
        for line, times in found[by].items():
            assert len(times) == len(sizes), line
            assert min(times) > 0
    assert found["pixels"].keys() > growth.WHY.keys()


def test_sizes_are_what_they_are_called(
    small_network: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice the sides, four times the pixels; and as many pictures as asked for."""
    seen = []
    monkeypatch.setattr(growth, "refine_by_par", lambda planes, maps, rounds: seen.append(maps))
    for times in growth.PIXELS:
        growth.by_pixels(round(times**0.5), SMALL)["labels of a batch, PAR"]()
    assert [maps.numel() // seen[0].numel() for maps in seen] == list(growth.PIXELS)
    crops = growth.by_pictures(tmp_path, 3, SMALL)["training crops"]()
    assert [crop["image"].shape for crop in crops] == [torch.Size([3, 24, 24])] * 3


def test_the_least_of_the_runs_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([9, 9, 3, 8, 2, 7, 4, 6])
    monkeypatch.setattr(growth, "seconds", lambda run: next(clock))
    assert growth.least([{"a": int}, {"a": int}], 3) == {"a": [2, 6]}


def test_the_table() -> None:
    assert growth.table(CONTENT).splitlines() == [
        "| part | grows with | takes | 4 times | 16 times | why not linear |",
        "| --- | --- | --- | --- | --- | --- |",
        "| CAM file | pictures | 0.5 s | 4.0 | 16.5 |  |",
        "| labels of a batch, exact CRF | pixels | 0.00123 s | 16.2 "
        f"| {NONE} | all pairs of pixels |",
        "",
        "A processor, 2 CPUs, load 0.25 before; 5 repeats; python 3.11.7; 2026-01-02",
    ]


def test_the_command_writes_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "measure", lambda repeats, sizes: CONTENT["lines"])
    out, page = tmp_path / "growth.json", tmp_path / "page.md"
    page.write_text("\n".join(["# Page", *growth.MARKS, "end\n"]))
    given = ["--out", str(out), "--readme", str(page), "--repeats", "2"]
    result = CliRunner().invoke(growth.main, given)
    assert result.exit_code == 0, result.output
    assert read_json(out)["lines"] == CONTENT["lines"]
    assert "| CAM file | pictures | 0.5 s |" in page.read_text()
    assert page.read_text().endswith("end\n")


def test_the_committed_table_is_that_of_the_committed_results() -> None:
    page = REPOSITORY / "benchmarks" / "README.md"
    found = growth.table(read_json(REPOSITORY / growth.RESULTS))
    assert page.read_text(encoding="utf-8") == between(page, growth.MARKS, found)
