"""The loader's part on tiny pictures: the plain samples, and that a wrong result is noticed."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from benchmarks import reference_loader
from benchmarks.part import Disagreement
from benchmarks.parts import loader
from benchmarks.reference_loader import plain_crop
from hsc.base.errors import HscError
from hsc.data.preprocessing import MEAN, STD
from hsc.data.transforms import Augmentation

HOW = Augmentation(32, (30, 48), 0.5, 0.3, 0.3, 0.3, 0.1)
TINY: dict[str, Any] = {
    "pictures": 5, "size": (30, 40), "how": HOW, "batches": 2, "workers": (0,),
}  # fmt: skip


def test_what_the_part_says() -> None:
    result = loader.measure(1, **TINY)
    assert (result.wanted, result.unit) == (1.2, "s")
    assert result.reference_seconds > 0
    for words in ("padding equal", "0 workers", "16 crops of 32 from JPEGs of 40x30"):
        assert words in result.agreement


def test_the_ratio_is_the_worse_of_the_numbers_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {1: loader.Rates(1, 10, 25), 2: loader.Rates(2, 20, 30)}
    monkeypatch.setattr(loader, "race", lambda both, workers, repeats: rates[workers])
    monkeypatch.setattr(loader, "process_count", lambda: 2)
    result = loader.measure(1, **TINY | {"workers": (1, 2)})
    assert result.ratio == pytest.approx(1.5)
    assert (result.reference_seconds, result.fast_seconds) == pytest.approx((16 / 20, 16 / 30))
    assert "1 worker 10.0 and 25.0; 2 workers 20.0 and 30.0" in result.agreement


def test_medians_of_runs_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = iter([1, 10, 5, 30, 2, 20])
    monkeypatch.setattr(loader, "rate", lambda batches: next(measured))
    assert loader.race([lambda workers: []] * 2, 2, 3) == loader.Rates(2, 2, 20)


def test_the_first_batches_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(loader.time, "perf_counter", lambda: clock[0])

    def batches() -> Any:
        for number in range(loader.WARM + 4):
            clock[0] += 100 if number < loader.WARM else 2
            yield {"image": torch.zeros(5, 3, 1, 1)}

    assert loader.rate(batches()) == pytest.approx(4 * 5 / 8)


def test_textured_pictures_weigh_what_those_of_voc_do(tmp_path: Path) -> None:
    folder, kilobytes = loader.write_pictures(tmp_path / "a", 3, (375, 500))
    assert 85 < kilobytes < 120
    again, _ = loader.write_pictures(tmp_path / "b", 3, (375, 500))
    pictures = [folder.image(image_id) for image_id in folder.ids("train_aug")]
    assert all(picture.shape == (375, 500, 3) for picture in pictures)
    assert not np.array_equal(pictures[0], pictures[1])
    assert np.array_equal(pictures[0], again.image("0000"))


@pytest.mark.parametrize("longest", [(20, 20), (40, 40), (64, 64)])
def test_the_plain_crop_by_hand(longest: tuple[int, int]) -> None:
    """A grey picture: its size and place are all there is to see."""
    picture = Image.new("RGB", (40, 30), (100, 100, 100))
    crop = plain_crop(picture, Augmentation(32, longest), random.Random(3))
    assert crop.shape == (3, 32, 32)
    assert crop.dtype == np.float32
    inside = crop.any(axis=0)
    assert inside.sum() == min(32, longest[0]) * min(32, round(longest[0] * 0.75))
    expected = (100 / 255 - np.array(MEAN)) / STD
    np.testing.assert_allclose(crop[:, inside], expected[:, None].repeat(inside.sum(), 1), 1e-5)


def batch(image: Tensor) -> list[dict[str, Tensor]]:
    return [{"image": image, "tags": torch.ones(len(image), 1)}]


def test_other_tags_are_noticed() -> None:
    image = torch.rand(2, 3, 8, 8)
    other = [{"image": image, "tags": torch.zeros(2, 1)}]
    assert loader.compare(batch(image), batch(image)) == 0
    with pytest.raises(Disagreement, match="tags"):
        loader.compare(batch(image), other)


def test_a_pixel_of_padding_is_noticed() -> None:
    image = torch.rand(2, 3, 8, 8)
    other = image.clone()
    other[0, :, 2, 3] = 0
    with pytest.raises(Disagreement, match="padding"):
        loader.compare(batch(image), batch(other))


@pytest.mark.parametrize("change", [lambda image: image + 0.02, lambda image: image.flip(3)])
def test_other_colours_and_places_are_noticed(change: Callable[[Tensor], Tensor]) -> None:
    image = 1 + torch.rand(2, 3, 32, 32)
    with pytest.raises(Disagreement, match="grey levels on average"):
        loader.compare(batch(image), batch(change(image)))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_noticed(value: float) -> None:
    image = 1 + torch.rand(2, 3, 8, 8)
    other = image.clone()
    other[0, 0, 0, 0] = value
    with pytest.raises(Disagreement, match="grey levels on average"):
        loader.compare(batch(image), batch(other))


def test_few_wrong_pixels_are_noticed() -> None:
    image = 1 + torch.rand(2, 3, 64, 64)
    other = image.clone()
    other[0, :, 4, 8:10] += 1
    with pytest.raises(Disagreement, match="more than 16 in a share"):
        loader.compare(batch(image), batch(other))


def test_a_wrong_step_of_the_plain_version_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference_loader, "adjust_hue", lambda picture, shift: picture)
    with pytest.raises(Disagreement, match="grey levels"):
        loader.measure(1, **TINY)


def test_fewer_cpus_than_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "process_count", lambda: 1)
    with pytest.raises(HscError, match="loader: needs 2 CPUs"):
        loader.measure(1, **TINY | {"workers": (1, 2)})
