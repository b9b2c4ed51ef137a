"""The crops of a round: what lies outside of a picture, what is salient."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hsc.auxsegnet.labels import RoundLabels
from hsc.auxsegnet.samples import AuxSamples, write_round
from hsc.base.errors import HscError
from hsc.data.voc import VocFolder, write_grey
from hsc.params.base import Augmentation

PLAIN = Augmentation(crop_size=48, resize_longest=(36, 36), flip=0.0)


@pytest.fixture
def labels(tmp_path: Path, tiny_folder: VocFolder) -> Path:
    for image_id in tiny_folder.ids("train_aug"):
        saliency = np.zeros(tiny_folder.size(image_id), dtype=np.uint8)
        saliency[:, :10], saliency[:, 10:20] = 128, 127
        label = np.full_like(saliency, 2)
        label[:5] = 255
        write_round(tmp_path, image_id, RoundLabels(label, saliency))
    return tmp_path


def sample(folder: VocFolder, labels: Path, padding: str, how: Augmentation = PLAIN) -> dict:
    ids = folder.ids("train_aug")
    return AuxSamples(folder, ids, labels, how, 0, padding)[0, 3]


def test_padding_is_ignored(tiny_folder: VocFolder, labels: Path) -> None:
    item = sample(tiny_folder, labels, "ignored")
    outside = (item["image"] == 0).all(dim=0)
    assert 0 < outside.sum() < outside.numel()
    assert (item["label"][outside] == 255).all()
    assert (item["saliency"][outside] == 255).all()
    assert (item["saliency"][~outside] != 255).all()
    assert item["tags"].tolist() == tiny_folder.tags(tiny_folder.ids("train_aug")[3]).tolist()


def test_or_background_as_published(tiny_folder: VocFolder, labels: Path) -> None:
    item = sample(tiny_folder, labels, "background")
    ignored = sample(tiny_folder, labels, "ignored")
    outside = ignored["saliency"] == 255
    assert (item["label"][outside] == 0).all()
    assert (item["saliency"][outside] == 0).all()
    assert torch.equal(item["label"][~outside], ignored["label"][~outside])
    assert (item["label"][~outside] == 255).any()  # the unsure stay so


def test_salient_is_what_is_above_a_half(tiny_folder: VocFolder, labels: Path) -> None:
    item = sample(tiny_folder, labels, "ignored", replace(PLAIN, crop_size=36))
    assert item["saliency"].dtype == torch.int64
    assert item["saliency"][:, :10].unique().tolist() == [1]
    assert item["saliency"][:, 10:].unique().tolist() == [0]


def test_maps_of_another_size_are_an_error(tiny_folder: VocFolder, labels: Path) -> None:
    image_id = tiny_folder.ids("train_aug")[3]
    write_grey(labels / "saliency" / f"{image_id}.png", np.zeros((5, 5), dtype=np.uint8))
    with pytest.raises(HscError, match=rf"saliency/{image_id}\.png: of another size"):
        sample(tiny_folder, labels, "ignored")
