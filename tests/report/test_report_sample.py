"""Panels of a data set: which pictures, what is read of each, and what does not fit."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from hsc.base.errors import HscError
from hsc.data.lists import spread
from hsc.data.voc import VocFolder, write_mask
from hsc.engine.runtime import Runtime
from hsc.report.panels import Panel
from hsc.report.sample import make_panels
from hsc.store import CamReader

CPU = Runtime(torch.device("cpu"), bf16=False, workers=0)


class Bright(nn.Module):
    """Labels what is bright as the first class."""

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(image[:, :1]), image.mean(1, keepdim=True)], dim=1)


@pytest.fixture
def seeds(tiny_folder: VocFolder, tmp_path: Path) -> Path:
    """Labels of all training pictures: their masks, unsure border included."""
    for image_id in tiny_folder.ids("train_aug"):
        write_mask(tmp_path / "seeds" / f"{image_id}.png", tiny_folder.mask(image_id))
    return tmp_path / "seeds"


def panels_of(folder: VocFolder, cams: Path, seeds: Path, count: int = 4) -> list[Panel]:
    with CamReader(cams) as reader:
        labels = {"seed": seeds, "mask": seeds}
        ids = spread(folder.ids("train"), count)
        return make_panels(folder, reader, labels, Bright(), [1.0], False, ids, CPU)


def test_spread() -> None:
    ids = [str(number) for number in range(10)]
    assert spread(ids, 3) == ["0", "3", "6"]
    assert spread(ids, 20) == ids
    assert spread(ids[:1], 1) == ["0"]


def test_what_is_in_a_panel(tiny_folder: VocFolder, tiny_cams: Path, seeds: Path) -> None:
    panels = panels_of(tiny_folder, tiny_cams, seeds)
    assert [panel.image_id for panel in panels] == spread(tiny_folder.ids("train"), 4)
    with CamReader(tiny_cams) as cams:
        for panel in panels:
            image = tiny_folder.image(panel.image_id)
            assert np.array_equal(panel.image, image)
            maps, classes = cams.read(panel.image_id)
            assert list(panel.cams) == [tiny_folder.class_names[index - 1] for index in classes]
            assert np.array_equal([*panel.cams.values()], maps) or not len(maps)
            assert list(panel.labels) == ["seed", "mask", "prediction", "truth"]
            for title in ("seed", "mask", "truth"):
                assert np.array_equal(panel.labels[title], tiny_folder.mask(panel.image_id))
            assert panel.labels["prediction"].shape == image.shape[:2]
            assert set(np.unique(panel.labels["prediction"])) <= {0, 1}


@pytest.fixture
def folder(tiny_root: Path, tmp_path: Path) -> VocFolder:
    """A copy, to change."""
    return VocFolder(shutil.copytree(tiny_root, tmp_path / "data"))


def test_without_masks_there_is_no_truth(folder: VocFolder, tiny_cams: Path, seeds: Path) -> None:
    shutil.rmtree(folder.root / "SegmentationClass")
    for panel in panels_of(folder, tiny_cams, seeds):
        assert list(panel.labels) == ["seed", "mask", "prediction"]


def test_labels_that_are_not_there(tiny_folder: VocFolder, tiny_cams: Path, seeds: Path) -> None:
    (seeds / "train_00000.png").unlink()
    with pytest.raises(HscError, match=r"train_00000.png: no such file; run the stage that"):
        panels_of(tiny_folder, tiny_cams, seeds)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (np.zeros((36, 35), np.uint8), "35x36 pixels, but the picture"),
        (np.full((36, 36), 9, np.uint8), r"index 9, but the data set has 0\.\.8; run the stage"),
    ],
)
def test_labels_of_another_data_set(
    tiny_folder: VocFolder, tiny_cams: Path, seeds: Path, values: np.ndarray, problem: str
) -> None:
    write_mask(seeds / "train_00000.png", values)
    with pytest.raises(HscError, match=f"train_00000.png: {problem}"):
        panels_of(tiny_folder, tiny_cams, seeds)


def test_cams_of_another_size(folder: VocFolder, tiny_cams: Path, tmp_path: Path) -> None:
    image_id = folder.ids("train")[0]
    path = folder.image_path(image_id)
    Image.open(path).resize((40, 36)).save(path)
    write_mask(folder.mask_path(image_id), np.zeros((36, 40), np.uint8))
    write_mask(tmp_path / "seeds" / f"{image_id}.png", np.zeros((36, 40), np.uint8))
    with pytest.raises(HscError, match=r"cams.h5: train_00000: \(height, width\) is \(36, 36\)"):
        panels_of(folder, tiny_cams, tmp_path / "seeds")


def test_cams_of_other_classes(folder: VocFolder, tiny_cams: Path, seeds: Path) -> None:
    for name in ("classes.txt", "tags.csv"):
        path = folder.root / name
        path.write_text(path.read_text().replace("dotted", "spotted"))
    with pytest.raises(HscError, match=r"its classes are .*dotted.*, those of .*spotted"):
        panels_of(VocFolder(folder.root), tiny_cams, seeds)
