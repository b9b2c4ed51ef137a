"""What a resume state belongs to: everything a training depends on, and nothing else."""

from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest

from hsc.base.errors import HscError
from hsc.data.voc import VocFolder, layout, write_grey, write_mask
from hsc.engine.resume_key import resume_key
from tests.tiny_folder import tiny_folder
from tests.watched import Watched


class Schedule(pydantic.BaseModel):
    steps: int = 3
    lr: float = 0.1


class Case:
    """A data set and an input file, and the key of a training on them."""

    def __init__(self, root: Path) -> None:
        self.root = root / "data"
        self.weights = root / "backbone.pt"
        tiny_folder(self.root)
        self.weights.write_bytes(b"weights")

    def key(self, saliency: bool = False, schedule: Schedule | None = None, **more: Any) -> str:
        settings = [schedule or Schedule()]
        return resume_key(VocFolder(self.root), [self.weights], settings, saliency, **more)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_the_same_training_has_the_same_key(case: Case, tmp_path: Path) -> None:
    key = case.key()
    assert len(key) == 64
    assert case.key() == key
    (tmp_path / "elsewhere").mkdir()
    assert Case(tmp_path / "elsewhere").key() == key  # paths do not count


def test_progress_counts_the_files(case: Case) -> None:
    """Pictures, tags and inputs."""
    watched = Watched()
    key = case.key(progress=watched.bars("inputs", "file"))
    count = len(VocFolder(case.root).ids("train_aug")) + 2
    assert watched.done() == {"inputs": (count, count)}
    assert key == case.key(), "it changes nothing"


def test_changes_with_the_parameters(case: Case) -> None:
    keys = [
        case.key(),
        case.key(schedule=Schedule(steps=4)),
        case.key(schedule=Schedule(lr=0.2)),
        case.key(seed=1),
    ]
    assert len(set(keys)) == 4


def test_changes_with_the_inputs(case: Case) -> None:
    key = case.key()
    case.weights.write_bytes(b"other weights")
    assert case.key() != key


def test_changes_with_pictures_tags_split_and_classes(case: Case) -> None:
    keys = {case.key()}
    picture = layout(case.root, "b", ".png").image
    picture.write_bytes(picture.read_bytes() + b"x")
    keys.add(case.key())
    tags = case.root / "tags.csv"
    tags.write_text(tags.read_text().replace("a,cat", "a,dog"))
    keys.add(case.key())
    split = case.root / "ImageSets" / "Segmentation" / "train_aug.txt"
    split.write_text("a\nb\nc\n")  # the order decides which sample stands where
    keys.add(case.key())
    (case.root / "classes.txt").write_text("dog\ncat\nowl\n")  # another order, other indices
    keys.add(case.key())
    assert len(keys) == 5


def test_changes_with_the_saliency_only_if_it_is_read(case: Case) -> None:
    plain, with_saliency = case.key(), case.key(saliency=True)
    assert plain != with_saliency
    write_grey(layout(case.root, "a").saliency, np.full((12, 16), 9, dtype=np.uint8))
    assert case.key() == plain
    assert case.key(saliency=True) != with_saliency


def test_masks_and_other_splits_do_not_count(case: Case) -> None:
    key = case.key()
    write_mask(layout(case.root, "a").mask, np.ones((12, 16), dtype=np.uint8))
    layout(case.root, "d", ".png").image.write_bytes(b"of val")
    assert case.key() == key


def test_missing_files_are_named(case: Case) -> None:
    layout(case.root, "c").saliency.unlink()
    case.key()
    with pytest.raises(HscError, match=r"Saliency/c\.png: no such file"):
        case.key(saliency=True)
    case.weights.unlink()
    with pytest.raises(HscError, match=r"backbone\.pt: no such file"):
        case.key()
