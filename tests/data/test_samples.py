"""Training items: shapes, values, and the same item in any process."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ImageFile
from torch.utils.data import StackDataset

from hsc.base.errors import HscError
from hsc.data.classes import IGNORE
from hsc.data.preprocessing import normalise
from hsc.data.samples import CamSamples, SegmentationSamples, sample_rng
from hsc.data.transforms import Augmentation, augment, image_plane
from hsc.data.voc import VocFolder, write_mask
from hsc.engine.loading import in_order, step_batches
from hsc.engine.runtime import Runtime
from tests.tiny_folder import tiny_folder

HOW = Augmentation(14, (12, 20), 0.5, brightness=0.2, hue=0.05)
WHOLE = Augmentation(20, (17, 17), flip=0.0)  # the width of picture b: nothing is resampled


@pytest.fixture
def folder(tmp_path: Path) -> VocFolder:
    return tiny_folder(tmp_path)


def cam_samples(
    folder: VocFolder, how: Augmentation = HOW, seed: int = 0, with_saliency: bool = True
) -> CamSamples:
    return CamSamples(folder, folder.ids("train_aug"), how, seed, with_saliency)


def segmentation_samples(folder: VocFolder, how: Augmentation = HOW) -> SegmentationSamples:
    """Of label maps with 0 and the three classes."""
    ids, labels = folder.ids("train_aug"), folder.root / "labels"
    for image_id in ids:
        write_mask(labels / f"{image_id}.png", folder.saliency(image_id) % 4)
    return SegmentationSamples(folder, ids, labels, how, seed=0)


def runtime(workers: int) -> Runtime:
    return Runtime(torch.device("cpu"), bf16=False, workers=workers)


def test_a_cam_item(folder: VocFolder) -> None:
    samples = cam_samples(folder)
    assert len(samples) == 3
    item = samples[0, 0]
    assert set(item) == {"image", "tags", "saliency"}
    assert item["image"].shape == (3, 14, 14)
    assert item["image"].dtype == torch.float32
    assert item["tags"].tolist() == [0, 1, 1]  # b: dog, owl
    assert item["tags"].dtype == torch.float32
    assert item["saliency"].shape == (1, 14, 14)
    assert item["saliency"].dtype == torch.float32
    assert samples[1, 1]["tags"].tolist() == [1, 0, 0]  # a: cat


def test_saliency_lies_on_the_picture(folder: VocFolder) -> None:
    item = cam_samples(folder, WHOLE)[0, 0]
    image, saliency = item["image"], item["saliency"][0]
    inside = image.ne(0).any(dim=0)
    assert inside.sum() == 12 * 17
    red = image[0] * 0.229 + 0.485  # the saliency of the tiny folder is the red channel
    assert torch.allclose(red[inside], saliency[inside], atol=1e-6)
    assert not saliency[~inside].any()


def test_no_mask_is_read(folder: VocFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not (folder.root / "SegmentationClass").exists()
    monkeypatch.delattr(VocFolder, "mask")
    monkeypatch.delattr(VocFolder, "mask_path")
    assert cam_samples(folder)[0, 0]["image"].shape == (3, 14, 14)
    assert segmentation_samples(folder)[0, 0]["image"].shape == (3, 14, 14)


def test_saliency_is_read_only_where_asked_for(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path, saliency=False)
    assert set(cam_samples(folder, with_saliency=False)[0, 0]) == {"image", "tags"}
    with pytest.raises(HscError, match=r"b\.png: no such saliency map"):
        cam_samples(folder, with_saliency=True)[0, 0]


def test_asking_for_saliency_does_not_change_the_crop(folder: VocFolder) -> None:
    for g in range(6):
        with_map = cam_samples(folder, with_saliency=True)[g, g % 3]
        without = cam_samples(folder, with_saliency=False)[g, g % 3]
        assert torch.equal(with_map["image"], without["image"])


def test_a_segmentation_item(folder: VocFolder) -> None:
    item = segmentation_samples(folder, WHOLE)[0, 0]
    assert set(item) == {"image", "label"}
    assert item["label"].shape == (20, 20)
    assert item["label"].dtype == torch.int64
    inside = item["image"].ne(0).any(dim=0)
    assert (item["label"][~inside] == IGNORE).all()
    red = (item["image"][0] * 0.229 + 0.485) * 255
    assert torch.equal(red[inside].round().long() % 4, item["label"][inside])


def test_an_item_depends_on_seed_and_position_alone(folder: VocFolder) -> None:
    samples = cam_samples(folder)
    first = samples[7, 1]["image"]
    random.seed(1)
    torch.manual_seed(1)
    np.random.seed(1)
    samples[3, 2]
    assert torch.equal(samples[7, 1]["image"], first)
    assert torch.equal(cam_samples(folder)[7, 1]["image"], first)
    assert not torch.equal(samples[8, 1]["image"], first)
    assert not torch.equal(cam_samples(folder, seed=1)[7, 1]["image"], first)


def test_an_item_leaves_the_global_random_states_alone(folder: VocFolder) -> None:
    before = random.getstate(), torch.get_rng_state()
    cam_samples(folder)[7, 1]
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_the_numbers_of_an_item(folder: VocFolder) -> None:
    (expected,) = augment([image_plane(folder.image("a"))], HOW, sample_rng(0, 5))
    assert torch.equal(cam_samples(folder)[5, 1]["image"], expected)
    assert sample_rng(1, 23).random() != sample_rng(12, 3).random()


def test_worker_processes_read_the_same_batches(folder: VocFolder) -> None:
    both = StackDataset(cam=cam_samples(folder), labels=segmentation_samples(folder))
    found = [list(step_batches(both, 0, 2, 3, runtime(workers))(0)) for workers in (0, 1, 2)]
    assert [len(batches) for batches in found] == [3, 3, 3]
    for here, *there in zip(*found, strict=True):
        for kind in ("cam", "labels"):
            assert here[kind]["image"].shape == (2, 3, 14, 14)
            for other in there:
                assert other[kind].keys() == here[kind].keys()
                assert all(torch.equal(other[kind][key], here[kind][key]) for key in here[kind])


@pytest.mark.parametrize("kind", [cam_samples, segmentation_samples])
def test_each_file_is_decoded_once_a_sample(
    folder: VocFolder, kind: Callable[[VocFolder], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    load = ImageFile.ImageFile.load

    def counted(image: ImageFile.ImageFile) -> Any:
        if image.tile:  # nothing is left to decode in a picture that was
            decoded.append(Path(image.filename).parent.name)
        return load(image)

    samples = kind(folder)
    monkeypatch.setattr(ImageFile.ImageFile, "load", counted)
    samples[0, 0]
    assert sorted(decoded) == ["JPEGImages", "Saliency" if kind is cam_samples else "labels"]


@pytest.mark.parametrize("how", [HOW, WHOLE])
def test_items_are_plain_contiguous_tensors(folder: VocFolder, how: Augmentation) -> None:
    for item in cam_samples(folder, how)[2, 0], segmentation_samples(folder, how)[2, 0]:
        for value in item.values():
            assert type(value) is torch.Tensor
            assert value.is_contiguous()


def test_batches_go_on_where_they_stopped(folder: VocFolder) -> None:
    batches = step_batches(cam_samples(folder), 0, 2, 4, runtime(0))
    whole = list(batches(0))
    rest = list(batches(2))
    assert len(rest) == 2
    for one, other in zip(whole[2:], rest, strict=True):
        assert torch.equal(one["image"], other["image"])


def test_starting_a_loader_draws_no_random_number(folder: VocFolder) -> None:
    # A resumed training starts one loader more; its dropout must be the undisturbed run's.
    before = torch.get_rng_state()
    list(step_batches(cam_samples(folder), 0, 2, 1, runtime(0))(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_in_order_yields_every_item_unbatched(folder: VocFolder) -> None:
    class Sizes(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> torch.Tensor:
            return torch.full((index, 2), index)

    found = list(in_order(Sizes(), runtime(0)))
    assert [item.shape for item in found] == [(0, 2), (1, 2), (2, 2), (3, 2)]


def test_normalised_padding_is_the_mean_colour(folder: VocFolder) -> None:
    item = cam_samples(folder, WHOLE)[0, 0]["image"]
    assert torch.equal(item.flatten(1).eq(0).all(dim=0).sum(), torch.tensor(400 - 12 * 17))
    inside = item[:, item.ne(0).any(dim=0)]
    expected = torch.from_numpy(normalise(folder.image("b"))).flatten(1)
    assert torch.equal(inside, expected)
