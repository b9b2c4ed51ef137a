"""hsc.data.prepare: dispatch, counts, and nothing half-written."""

from pathlib import Path

import numpy as np
import pytest

from hsc.data.prepare import counts, prepare
from hsc.data.shapes import ShapesConfig
from hsc.data.voc import VocFolder
from hsc.errors import HscError

SMALL = ShapesConfig(train=6, val=3, scored_train=4)


def test_shapes(tmp_path: Path) -> None:
    root = tmp_path / "data" / "shapes"
    found = prepare("shapes", root, shapes=SMALL)
    data = VocFolder(root)
    mean = np.mean([data.tags(i).sum() for i in data.ids("train_aug")])
    assert found == {
        "images": 9,
        "classes": 8,
        "tags_per_image": pytest.approx(mean),
        "splits": {"train_aug": 6, "train": 4, "val": 3},
    }
    assert found == counts(data)
    assert [path.name for path in root.parent.iterdir()] == ["shapes"]


def test_what_was_there_is_replaced(tmp_path: Path) -> None:
    root = tmp_path / "shapes"
    prepare("shapes", root, shapes=SMALL)
    (root / "JPEGImages" / "stale.jpg").write_bytes(b"")
    prepare("shapes", root, shapes=ShapesConfig(train=2, val=1, scored_train=1))
    assert len(list((root / "JPEGImages").iterdir())) == 3


def test_folder_reads_what_shapes_wrote(tmp_path: Path) -> None:
    made = prepare("shapes", tmp_path / "shapes", shapes=SMALL)
    read = prepare("folder", tmp_path / "folder", source=tmp_path / "shapes")
    assert read == made
    for path in (tmp_path / "shapes").rglob("*.*"):
        copy = tmp_path / "folder" / path.relative_to(tmp_path / "shapes")
        assert copy.read_bytes() == path.read_bytes()


def test_a_failure_leaves_the_old_data_set(tmp_path: Path) -> None:
    prepare("shapes", tmp_path / "source", shapes=SMALL)
    prepare("folder", tmp_path / "data", source=tmp_path / "source")
    (tmp_path / "source" / "JPEGImages" / "val_00002.jpg").write_bytes(b"broken")
    with pytest.raises(HscError, match=r"source/JPEGImages/val_00002\.jpg"):
        prepare("folder", tmp_path / "data", source=tmp_path / "source")
    VocFolder(tmp_path / "data").image("val_00002")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "source"]


def test_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(HscError, match="data: 'imagenet' is not known; choose one of shapes"):
        prepare("imagenet", tmp_path / "x")


def test_folder_without_a_path(tmp_path: Path) -> None:
    with pytest.raises(HscError, match="'folder' needs the path"):
        prepare("folder", tmp_path / "x")


def test_a_source_is_not_overwritten_by_itself(tmp_path: Path) -> None:
    prepare("shapes", tmp_path / "data", shapes=SMALL)
    with pytest.raises(HscError, match="lies in"):
        prepare("folder", tmp_path / "data", source=tmp_path / "data")
    VocFolder(tmp_path / "data").check()
