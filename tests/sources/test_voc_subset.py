"""hsc.sources.voc_subset: chosen pictures and classes of VOC, from archives or as they lie."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hsc.base.errors import HscError
from hsc.base.made import MARK
from hsc.data.classes import VOC_CLASSES
from hsc.data.voc import VocFolder
from hsc.params.data import Voc2012Params
from hsc.sources.stage import Where, make
from hsc.sources.voc_subset import read_subset
from tests.sources import voc_archives as made
from tests.stage_runs import ROOT

CLASSES = ("person", "cat", "dog")
IDS = {"train": ("2007_000032", "2007_000039", "2008_000008"), "val": ("2007_000033",)}
"""One with another class besides, one of SBD; a picture of val shows no class at all."""


@pytest.fixture
def where(tmp_path: Path) -> Where:
    return Where(tmp_path / "downloads")


@pytest.fixture
def archives(tmp_path: Path) -> dict[str, Path]:
    return {
        "trainval": made.pack(tmp_path / "VOCtrainval_11-May-2012.tar", made.voc_files()),
        "sbd": made.pack(tmp_path / "benchmark.tgz", made.sbd_files()),
    }


def params(tmp_path: Path, archives: dict[str, Path], **changes: Any) -> Voc2012Params:
    ids = tmp_path / "ids.csv"
    lines = [f"{image_id},{split}" for split, of_split in IDS.items() for image_id in of_split]
    ids.write_text("\n".join(["id,split", *lines]))
    subset = {"ids": ids, "classes": CLASSES, "max_side": None, "folder": None}
    entries = {
        key: {"name": path.name, "sources": [path.as_posix()], "digest": None, "size": None}
        for key, path in archives.items()
    }
    values = {
        "saliency_archive": entries["sbd"], "test": None, "counts": made.COUNTS, "limit": None,
        "augmented_masks": False, "saliency": "none", **entries,
    }  # fmt: skip
    return Voc2012Params(**values, subset=subset | changes)


def expected(image_id: str) -> np.ndarray:
    """The picture's mask with the chosen classes alone; SBD's have no borders."""
    whole = made.mask(image_id)
    if image_id not in made.TRAIN + made.VAL:
        whole = whole % 255
    mask = np.where(whole == 255, 255, 0).astype(np.uint8)
    for index, name in enumerate(CLASSES, start=1):
        mask[whole == VOC_CLASSES.index(name) + 1] = index
    return mask


def test_from_archives(tmp_path: Path, archives: dict[str, Path], where: Where) -> None:
    root = tmp_path / "out"
    facts = make(params(tmp_path, archives), root, where)
    assert facts["splits"] == {"train_aug": 3, "train": 3, "val": 1}
    assert facts["saliency"] == {"source": "none"}
    assert set(facts["archives"]) == {path.name for path in archives.values()}
    data = VocFolder(root)
    assert data.class_names == CLASSES
    assert data.tag_names("2007_000032") == ("person",)  # and an aeroplane, which does not count
    assert data.tag_names("2007_000033") == ()
    for image_id in (*IDS["train"], *IDS["val"]):
        np.testing.assert_array_equal(data.mask(image_id), expected(image_id))
    kept = {path.name for path in root.iterdir()}
    assert kept - {MARK} == {
        "JPEGImages",
        "SegmentationClass",
        "ImageSets",
        "tags.csv",
        "classes.txt",
    }


def test_no_side_is_longer(tmp_path: Path, archives: dict[str, Path], where: Where) -> None:
    make(params(tmp_path, archives, max_side=24), tmp_path / "out", where)
    data = VocFolder(tmp_path / "out")
    for image_id in (*IDS["train"], *IDS["val"]):
        assert data.image(image_id).shape == (18, 24, 3)
        assert set(np.unique(data.mask(image_id))) <= set(np.unique(expected(image_id)))


def test_saliency_is_estimated(tmp_path: Path, archives: dict[str, Path], where: Where) -> None:
    how = params(tmp_path, archives).model_copy(update={"saliency": "estimated"})
    assert make(how, tmp_path / "out", where)["saliency"]["source"] == "estimated"
    assert VocFolder(tmp_path / "out").saliency("2008_000008").shape == made.SIZE


def test_published_saliency(tmp_path: Path, archives: dict[str, Path], where: Where) -> None:
    archive = made.pack(tmp_path / "maps.tar", made.saliency_files())
    how = params(tmp_path, archives | {"saliency_archive": archive}, max_side=24)
    how = how.model_copy(update={"saliency": "published"})
    facts = make(how, tmp_path / "out", where)
    assert facts["saliency"] == {"source": "published"}
    assert "maps.tar" in facts["archives"]
    assert VocFolder(tmp_path / "out").saliency("2008_000008").shape == (18, 24)


def test_from_a_folder(tmp_path: Path, archives: dict[str, Path], where: Where) -> None:
    first, again = tmp_path / "first", tmp_path / "again"
    make(params(tmp_path, archives), first, where)
    facts = make(
        params(tmp_path, {**archives, "trainval": Path("gone")}, folder=first), again, where
    )
    assert "archives" not in facts
    for path in first.rglob("*.*"):
        assert (again / path.relative_to(first)).read_bytes() == path.read_bytes()


def test_a_folder_of_other_pictures(
    tmp_path: Path, archives: dict[str, Path], where: Where
) -> None:
    first = tmp_path / "first"
    make(params(tmp_path, archives), first, where)
    how = params(tmp_path, archives, folder=first, classes=("cat", "dog"))
    with pytest.raises(HscError, match=r"classes\.txt: person, cat, dog, but .* has cat, dog"):
        make(how, tmp_path / "again", where)
    how = params(tmp_path, archives, folder=first)
    how.subset.ids.write_text("id,split\n2007_000032,train\n2007_000042,val\n")
    with pytest.raises(HscError, match=r"train_aug\.txt: has '?2007_000039"):
        make(how, tmp_path / "again", where)
    assert not (tmp_path / "again").exists()


def test_ids_that_voc_does_not_have(
    tmp_path: Path, archives: dict[str, Path], where: Where
) -> None:
    how = params(tmp_path, archives)
    how.subset.ids.write_text("id,split\n2007_000032,train\n2011_111111,train\n2007_000042,val\n")
    with pytest.raises(HscError, match=r"train_aug\.txt: lacks '?2011_111111"):
        make(how, tmp_path / "out", where)


def test_a_class_that_voc_does_not_have(
    tmp_path: Path, archives: dict[str, Path], where: Where
) -> None:
    with pytest.raises(HscError, match=r"classes: '?zebra'?: no class of VOC"):
        make(params(tmp_path, archives, classes=("zebra",)), tmp_path / "out", where)


@pytest.mark.parametrize(
    "text",
    ["", "id,split\n", "id,split\na,train\n", "id,split\na,train\na,val\n", "id,split\na,test\n",
     "a,train\nb,val\n"],
)  # fmt: skip
def test_lists_of_another_form(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ids.csv"
    path.write_text(text)
    with pytest.raises(HscError, match=r"ids\.csv: a line is 'id,split'"):
        read_subset(path)


def test_the_list_of_the_animals() -> None:
    ids = read_subset(ROOT / "hsc" / "sources" / "voc_animals.csv")
    assert {split: len(of_split) for split, of_split in ids.items()} == {"train": 869, "val": 443}
    assert not set(ids["train"]) & set(ids["val"])
