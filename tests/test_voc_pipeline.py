"""VOC 2012 from its (miniature) archives on a server through every stage, with a tiny network."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.base.archive_server import ArchiveServer, serve
from tests.sources import voc_archives
from tests.stage_runs import ROOT, change, run_here, run_well, stage, stages, write_settings
from tests.stage_runs import write_yaml as write


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ArchiveServer]:
    with serve(tmp_path / "served") as running:
        voc_archives.pack(running.folder / "trainval.tar", voc_archives.voc_files())
        voc_archives.pack(running.folder / "benchmark.tgz", voc_archives.sbd_files())
        voc_archives.pack(running.folder / "SALImages.zip", voc_archives.saliency_files())
        yield running


@pytest.fixture
def work(tmp_path: Path, server: ArchiveServer) -> Path:
    """Settings for `data: voc2012` that fetch from the server."""
    folder = tmp_path / "work"
    write_settings(folder)
    recipe = yaml.safe_load((folder / "recipes" / "shapes.yaml").read_text())
    data = yaml.safe_load((ROOT / "recipes" / "voc2012.yaml").read_text())["prepare_data"]
    for key, name in (("trainval", "trainval.tar"), ("sbd", "benchmark.tgz")):
        data[key] = server.entry(server.folder / name)
    data["saliency_archive"] = server.entry(server.folder / "SALImages.zip")
    data["counts"] = voc_archives.COUNTS
    write(folder / "recipes" / "voc2012.yaml", recipe | {"prepare_data": data})
    change(folder / "params.yaml", data="voc2012", baseline="eps")
    return folder


def test_from_archives_to_scores(work: Path, server: ArchiveServer, tmp_path: Path) -> None:
    downloads = {"HSC_DOWNLOADS": str(tmp_path / "downloads")}
    first = run_here(stage("prepare_data", "voc2012"), work, **downloads)
    assert first.exit_code == 0, first.output
    assert "outputs/data/voc2012: 11 pictures, 20 classes, saliency: published" in first.stdout
    for each in stages("voc2012")[1:]:
        run_well(each, work)
    for name, images in (("seeds", 4), ("crf", 4), ("masks", 4), ("val", 3)):
        scores = json.loads((work / "metrics" / f"{name}.json").read_text())
        assert scores["images"] == images, name
        assert 0 <= scores["mIoU"] <= 100, name


def test_what_the_user_reads_when_a_mirror_serves_something_else(
    work: Path, server: ArchiveServer, tmp_path: Path
) -> None:
    path = server.folder / "trainval.tar"
    path.write_bytes(path.read_bytes()[:-512] + b"x" * 512)
    result = run_here(
        stage("prepare_data", "voc2012"), work, HSC_DOWNLOADS=str(tmp_path / "downloads")
    )
    assert result.exit_code == 1
    assert "trainval.tar: no source has it" in result.stderr
    assert "its sha256 is" in result.stderr
    assert not (work / "outputs/data").exists() or not list((work / "outputs/data").iterdir())


def test_an_archive_that_writes_outside(work: Path, server: ArchiveServer, tmp_path: Path) -> None:
    files = voc_archives.voc_files() | {"VOCdevkit/VOC2012/../../../JPEGImages/x.jpg": b"x"}
    path = voc_archives.pack(server.folder / "trainval.tar", files)
    change(work / "recipes" / "voc2012.yaml", prepare_data__trainval=server.entry(path))
    result = run_here(
        stage("prepare_data", "voc2012"), work, HSC_DOWNLOADS=str(tmp_path / "downloads")
    )
    assert result.exit_code == 1
    assert "would lie outside of the folder; do not trust this archive" in result.stderr
    assert not list(tmp_path.rglob("x.jpg"))
    assert not list((work / "outputs/data").iterdir())
