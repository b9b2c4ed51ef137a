"""A user's folder of photographs, without masks, saliency and splits: to a network, and back.

With the recipe for photographs, its network and ImageNet weights too, but for a few small steps.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from hsc.base.files import read_json
from hsc.data.voc import VocFolder
from hsc.store import CamReader
from tests.photographs import TAGS, write_photographs
from tests.stage_runs import ROOT, PlainStage, change, run_well, stages, write_settings, write_yaml

SIDE = 96
CROPS = {"crop_size": 64, "resize_longest": [64, 80]}


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    return write_photographs(tmp_path / "photographs")


@pytest.fixture
def settings(photographs: Path, tmp_path: Path) -> Path:
    """The settings of photographs, of a few small steps."""
    folder = tmp_path / "work"
    write_settings(folder)
    recipe = json.loads(json.dumps(yaml.safe_load((ROOT / "recipes/photos.yaml").read_text())))
    recipe["prepare_data"] |= {"path": str(photographs), "max_side": SIDE}
    crop = {"augmentation": {**recipe["train_segmentation"]["deeplab"]["augmentation"], **CROPS}}
    short = {"steps": 2, "batch_size": 4, "checkpoint_every": 2, **crop}
    for training in (*recipe["train_cam"].values(), recipe["train_segmentation"]["deeplab"]):
        training |= short
    write_yaml(folder / "recipes" / "photos.yaml", recipe)
    change(folder / "params.yaml", data="photos", contrast="hsc")
    return folder


@pytest.mark.parametrize("baseline", ["seam", "eps"])
def test_photographs_to_a_network_and_back(
    baseline: str, photographs: Path, settings: Path
) -> None:
    work = settings
    change(work / "params.yaml", baseline=baseline)
    for each in stages("photos"):
        run_well(each, work)
    data = VocFolder(work / "outputs/data/photos")
    assert data.class_names == (
        "cat", "clock", "coin", "cup", "eye", "motorcycle", "person", "rocket", "space",
    )  # fmt: skip
    ids = {*data.ids("train_aug"), *data.ids("val")}
    assert ids == {Path(name).stem for name in TAGS}
    assert max(max(data.size(image_id)) for image_id in ids) == SIDE
    made = read_json(work / "metrics" / "data.json")
    assert made["saliency"]["source"] == "estimated"
    assert made["saliency"]["method"]
    seeds = read_json(work / "metrics" / "seeds.json")
    assert seeds["mIoU"] is None
    assert 0 < seeds["threshold"] == seeds["auto_threshold"] < 1

    command = f"python -m stages.predict {photographs} --out predicted --max-side 64"
    said = run_well(PlainStage("predict", command, (), (), (), ()), work)
    assert "predicted: 12 predictions" in said
    for name in TAGS:
        with Image.open(photographs / name) as picture:
            size = picture.size
        with Image.open(work / "predicted" / f"{Path(name).stem}.png") as found:
            assert found.size == size
            assert found.mode == "P"
            assert np.asarray(found).max() <= data.num_classes
        assert (work / "predicted" / "overlays" / f"{Path(name).stem}.jpg").is_file()


def test_saliency_for_a_second_round(photographs: Path, settings: Path) -> None:
    """A run's CAMs become the folder's own maps, which EPS then reads."""
    change(settings / "params.yaml", baseline="seam")
    first = {each.name: each for each in stages("photos")}
    for name in ("prepare_data", "prepare_backbone", "train_cam", "infer_cams"):
        run_well(first[name], settings)
    command = f"python -m stages.saliency_from_cams --out {photographs / 'Saliency'}"
    said = run_well(PlainStage("saliency_from_cams", command, (), (), (), ()), settings)
    train = VocFolder(settings / "outputs/data/photos").ids("train_aug")
    assert f"Saliency: {len(train)} maps" in said

    change(settings / "params.yaml", baseline="eps")
    run_well(first["prepare_data"], settings)
    assert read_json(settings / "metrics" / "data.json")["saliency"] == {"source": "own"}
    data = VocFolder(settings / "outputs/data/photos")
    with CamReader(settings / "outputs" / "cams.h5") as cams:
        for image_id in train:
            cam, classes = cams.read(image_id)
            saliency = data.saliency(image_id)
            assert saliency.shape == cam.shape[1:]
            # the mean of the map and of a cut, 0 or 255
            rough = 255 * cam.max(axis=0, initial=0)
            if len(classes):
                away = np.minimum(abs(saliency - rough / 2), abs(saliency - (rough + 255) / 2))
                assert min(np.median(away), np.median(abs(saliency - rough))) < 2
            else:
                assert not saliency.any()
    run_well(first["train_cam"], settings)
