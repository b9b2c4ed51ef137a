"""hsc.sources.stage: the kinds of data sets, their counts, and nothing half-written."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hsc.base.errors import HscError
from hsc.base.progress import Progress
from hsc.data.voc import VocFolder
from hsc.params.data import FolderParams
from hsc.sources import saliency
from hsc.sources.shapes_config import ShapesConfig
from hsc.sources.stage import KINDS, Where, make, read_kind
from tests.base.archive_server import ArchiveServer, serve
from tests.sources import coco_archives, voc_archives
from tests.stage_runs import ROOT

SMALL = ShapesConfig(train=24, val=3, scored_train=4)  # every class is in train


def recipe(name: str) -> dict[str, Any]:
    """The `prepare_data` of a recipe of this repository."""
    return yaml.safe_load((ROOT / "recipes" / f"{name}.yaml").read_text())["prepare_data"]


def own(path: Path, **changes: Any) -> FolderParams:
    values = {"path": path, "max_side": None, "saliency": "own", "limit": None}
    return FolderParams(**(values | changes))


@pytest.fixture
def where(tmp_path: Path) -> Where:
    return Where(tmp_path / "downloads")


def test_shapes(tmp_path: Path, where: Where) -> None:
    root = tmp_path / "data" / "shapes"
    found = make(SMALL, root, where)
    data = VocFolder(root)
    mean = np.mean([data.tags(i).sum() for i in data.ids("train_aug")])
    assert (
        found.items()
        >= {
            "images": 27,
            "classes": 8,
            "tags_per_image": pytest.approx(mean),
            "splits": {"train_aug": 24, "train": 4, "val": 3},
            "saliency": {"source": "generated"},
        }.items()
    )
    assert [path.name for path in root.parent.iterdir()] == ["shapes"]


def test_what_was_there_is_replaced(tmp_path: Path, where: Where) -> None:
    root = tmp_path / "shapes"
    make(SMALL, root, where)
    make(ShapesConfig(train=2, val=1, scored_train=1), root, where)
    assert len(list((root / "JPEGImages").iterdir())) == 3


def test_what_a_person_put_there_is_not(tmp_path: Path, where: Where) -> None:
    root = tmp_path / "shapes"
    make(SMALL, root, where)
    (root / "JPEGImages" / "mine.jpg").write_bytes(b"")
    with pytest.raises(HscError, match=r"shapes: 1 files in it .*Move them to a folder outside"):
        make(SMALL, root, where)
    assert (root / "JPEGImages" / "mine.jpg").is_file()


def test_folder_reads_what_shapes_wrote(tmp_path: Path, where: Where) -> None:
    made = make(SMALL, tmp_path / "shapes", where)
    read = make(own(tmp_path / "shapes"), tmp_path / "folder", where)
    assert read == made | {"saliency": {"source": "own"}, "unused": []}
    for path in (tmp_path / "shapes").rglob("*.*"):
        copy = tmp_path / "folder" / path.relative_to(tmp_path / "shapes")
        assert copy.read_bytes() == path.read_bytes()


def test_a_failure_leaves_the_old_data_set(tmp_path: Path, where: Where) -> None:
    make(SMALL, tmp_path / "source", where)
    make(own(tmp_path / "source"), tmp_path / "data", where)
    (tmp_path / "source" / "JPEGImages" / "val_00002.jpg").write_bytes(b"broken")
    with pytest.raises(HscError, match=r"source/JPEGImages/val_00002\.jpg"):
        make(own(tmp_path / "source"), tmp_path / "data", where)
    VocFolder(tmp_path / "data").image("val_00002")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "source"]


def test_a_source_is_not_overwritten_by_itself(tmp_path: Path, where: Where) -> None:
    make(SMALL, tmp_path / "data", where)
    with pytest.raises(HscError, match="lies in"):
        make(own(tmp_path / "data"), tmp_path / "data", where)
    with pytest.raises(HscError, match="lies in"):
        make(own(tmp_path / "data/JPEGImages"), tmp_path / "data", where)
    VocFolder(tmp_path / "data").check()


@pytest.mark.parametrize(
    ("asked", "has", "source"),
    [
        ("own", True, "own"),
        ("auto", True, "own"),
        ("auto", False, "estimated"),
        ("estimated", True, "estimated"),
        ("none", True, "none"),
    ],
)
def test_the_saliency_of_a_folder(
    tmp_path: Path, where: Where, asked: str, has: bool, source: str
) -> None:
    made = tmp_path / "source"
    make(SMALL, made, where)
    if not has:
        for path in (made / "Saliency").iterdir():
            path.unlink()
    found = make(own(made, saliency=asked), tmp_path / "data", where)
    said = {"source": source} | ({"method": saliency.METHOD} if source == "estimated" else {})
    assert found["saliency"] == said
    data = VocFolder(tmp_path / "data")
    if source == "none":
        assert not (tmp_path / "data/Saliency").exists()
        return
    image_id = data.ids("train_aug")[0]
    same = np.array_equal(data.saliency(image_id), VocFolder(made).saliency(image_id)) if has else 0
    assert same == (source == "own")


@pytest.mark.parametrize("left", [0, 3])
def test_own_saliency_that_is_not_whole(tmp_path: Path, where: Where, left: int) -> None:
    made = tmp_path / "source"
    make(SMALL, made, where)
    for path in sorted((made / "Saliency").iterdir())[left:]:
        path.unlink()
    message = rf"source/Saliency: no map for {24 - left} pictures that train .train_0000{left}"
    with pytest.raises(HscError, match=message):
        make(own(made), tmp_path / "data", where)
    assert not (tmp_path / "data").exists()
    make(own(made, saliency="none"), tmp_path / "data", where)


# Archives


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ArchiveServer]:
    with serve(tmp_path / "served") as running:
        yield running


@pytest.fixture
def voc(server: ArchiveServer) -> dict[str, Any]:
    """The recipe of VOC 2012 with the miniature archives on this machine."""
    trainval = voc_archives.pack(
        server.folder / "VOCtrainval_11-May-2012.tar", voc_archives.voc_files()
    )
    sbd = voc_archives.pack(server.folder / "benchmark.tgz", voc_archives.sbd_files())
    maps = voc_archives.pack(server.folder / "SALImages.zip", voc_archives.saliency_files())
    changes = {"trainval": server.entry(trainval), "sbd": server.entry(sbd),
               "saliency_archive": server.entry(maps) | {"digest": None, "size": None},
               "counts": voc_archives.COUNTS}  # fmt: skip
    return recipe("voc2012") | changes


def made(values: dict[str, Any], root: Path, where: Where) -> dict[str, Any]:
    return make(read_kind(values, Path("recipe")), root, where)


def test_voc(tmp_path: Path, where: Where, voc: dict[str, Any], server: ArchiveServer) -> None:
    found = made(voc, tmp_path / "voc2012", where)
    assert found["splits"] == {"train": 4, "val": 3, "train_aug": 8}
    assert found["classes"] == 20
    assert found["saliency"] == {"source": "published"}
    assert found["archives"] == {path.name: server.digest(path) for path in server.folder.iterdir()}
    data = VocFolder(tmp_path / "voc2012")
    for image_id in data.ids("train_aug"):
        expected = voc_archives.saliency_map(image_id)
        np.testing.assert_array_equal(data.saliency(image_id), expected)
    asked = len(server.asked)
    assert made(voc, tmp_path / "again", where) == found
    assert len(server.asked) == asked, "nothing is loaded twice"


def test_without_archives_a_made_data_set_stays(
    tmp_path: Path, where: Where, voc: dict[str, Any]
) -> None:
    made(voc, tmp_path / "voc2012", where)
    for path in where.downloads.iterdir():
        path.unlink()
    VocFolder(tmp_path / "voc2012").check()


def test_voc_with_estimated_saliency(
    tmp_path: Path, where: Where, voc: dict[str, Any], server: ArchiveServer
) -> None:
    found = made(voc | {"saliency": "estimated"}, tmp_path / "voc2012", where)
    assert found["saliency"] == {"source": "estimated", "method": saliency.METHOD}
    assert not [path for path in server.asked if "SAL" in path]
    assert VocFolder(tmp_path / "voc2012").saliency("2008_000008").shape == voc_archives.SIZE


def test_saliency_that_cannot_be_had(
    tmp_path: Path, where: Where, voc: dict[str, Any], server: ArchiveServer
) -> None:
    (server.folder / "SALImages.zip").unlink()
    with pytest.raises(HscError, match=r"(?s)SALImages\.zip: no source has it.*estimated"):
        made(voc, tmp_path / "voc2012", where)
    assert not (tmp_path / "voc2012").exists()


def test_coco(tmp_path: Path, where: Where, server: ArchiveServer) -> None:
    archives = coco_archives.write_archives(server.folder, 5, 3)
    names = {"train_images": "train2014.zip", "val_images": "val2014.zip",
             "annotations": "annotations_trainval2014.zip"}  # fmt: skip
    assert {path.name for path in archives.values()} == set(names.values())
    values = recipe("coco2014") | {
        key: server.entry(server.folder / name) for key, name in names.items()
    }
    found = made(
        values | {"saliency": "none", "counts": {"train_aug": 5, "val": 3}},
        tmp_path / "coco2014", where,
    )  # fmt: skip
    assert found["splits"] == {"train_aug": 5, "train": 5, "val": 3}
    assert found["classes"] == 80
    assert set(found["archives"]) == set(names.values())


def test_a_bar_for_every_step(tmp_path: Path, voc: dict[str, Any]) -> None:
    shown: dict[str, list[tuple[int, int]]] = {}

    def bars(title: str, unit: str) -> Progress:
        return lambda *done: shown.setdefault(title, []).append(done)

    made(voc, tmp_path / "voc2012", Where(tmp_path / "downloads", bars=bars))
    for word in ("VOCtrainval_11-May-2012.tar", "checking benchmark.tgz", "unpacking"):
        assert [title for title in shown if word in title], word
    for title, calls in shown.items():
        assert calls == sorted(calls), title
        assert calls[-1][0] == calls[-1][1], title


# Recipes


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_recipe_names_a_data_set(path: Path) -> None:
    how = read_kind(recipe(path.stem), path)
    assert isinstance(how, KINDS[recipe(path.stem)["kind"]])


def test_a_folder_whose_name_is_a_number() -> None:
    how = read_kind(recipe("folder") | {"path": 2024}, Path("r.yaml"))
    assert how.path == Path("2024")
    with pytest.raises(HscError, match=r"r\.yaml: path"):
        read_kind(recipe("folder") | {"path": True}, Path("r.yaml"))


@pytest.mark.parametrize("kind", ["imagenet", None])
def test_unknown_kind(kind: str | None) -> None:
    with pytest.raises(HscError, match=r"r\.yaml: kind: .* is not known; choose one of shapes"):
        read_kind({"kind": kind}, Path("r.yaml"))


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("folder", "path", None),
        ("folder", "max_side", 0),
        ("folder", "saliency", "published"),
        ("voc2012", "saliency", "own"),
        ("voc2012", "limit", 0),
        ("voc2012", "counts", {"train": 4, "val": 3}),
        ("voc2012", "sbd", {"name": "a/b", "sources": ["x"], "digest": None, "size": None}),
        ("voc2012", "sbd", {"name": "b", "sources": [], "digest": None, "size": None}),
        ("voc2012", "sbd", {"name": "b", "sources": ["x"], "digest": "crc:1", "size": None}),
        ("coco2014", "scored_train", -1),
        ("shapes", "sizes", 3),
    ],
)
def test_wrong_values(name: str, key: str, value: Any) -> None:
    with pytest.raises(HscError, match=rf"r\.yaml: {key}"):
        read_kind(recipe(name) | {key: value}, Path("r.yaml"))
