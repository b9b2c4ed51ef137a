"""The mean field with exact kernels, against a plain computation and against pydensecrf's."""

from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from hsc.crf import mean_field
from hsc.crf.dense import TRAINING_CRF, CrfConfig, refine_labels
from tests.golden import cases, load

KERNELS = ("exact", "lattice")
AGREEMENT = {"exact": 0.98, "lattice": 1.0}
CONFIG = CrfConfig(iterations=5, bilateral_sxy=20, bilateral_srgb=12)


def plain(picture: np.ndarray, labels: np.ndarray, count: int, config: CrfConfig) -> np.ndarray:
    """Krähenbühl & Koltun's algorithm 1 as it is written, every label on its own, in float64."""
    rows, columns = np.indices(labels.shape)
    place = np.stack([rows, columns], -1).reshape(-1, 2).astype(float)
    colour = picture.reshape(-1, 3).astype(float)
    kernels = []
    for features, weight in (
        (place / config.gaussian_sxy, config.gaussian_compat),
        (
            np.hstack([place / config.bilateral_sxy, colour / config.bilateral_srgb]),
            config.bilateral_compat,
        ),
    ):
        squares = ((features[:, None] - features[None]) ** 2).sum(-1)
        kernel = np.exp(-squares / 2)
        root = np.sqrt(kernel.sum(1))
        kernels.append(weight * kernel / root[:, None] / root[None])
    unary = np.full((labels.size, count), -np.log(0.3 / (count - 1)))
    unary[np.arange(labels.size), labels.ravel()] = -np.log(0.7)
    q = np.exp(-unary)
    for _ in range(config.iterations):
        energy = unary - sum(kernel @ q for kernel in kernels)
        q = np.exp(energy.min(1, keepdims=True) - energy)
        q /= q.sum(1, keepdims=True)
    return q.argmax(1).reshape(labels.shape)


def random_case(seed: int, pictures: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures with a bright part and two noisy labellings of each."""
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 90, (pictures, 11, 9, 3))
    image[:, 3:8, 2:7] += 120
    labels = np.zeros((2, pictures, 11, 9), dtype=np.int64)
    labels[:, :, 3:8, 2:7] = generator.integers(1, 5, (2, pictures, 1, 1))
    wrong = generator.random(labels.shape) < 0.2
    labels[wrong] = generator.integers(0, 5, wrong.sum())
    return torch.from_numpy(image).float(), torch.from_numpy(labels)


@pytest.mark.parametrize("count", [5, 8, 21])
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_the_plain_computation(seed: int, count: int) -> None:
    image, labels = random_case(seed)
    refined = mean_field.refine_labels(image, labels, count, CONFIG)
    assert (refined != labels).any()
    for view, i in np.ndindex(2, 3):
        expected = plain(image[i].numpy(), labels[view, i].numpy(), count, CONFIG)
        np.testing.assert_array_equal(refined[view, i].numpy(), expected)


def test_every_label_of_the_data_set_in_the_picture() -> None:
    image, labels = random_case(2)
    labels[:, :, 0, :5] = torch.arange(5)
    refined = mean_field.refine_labels(image, labels, 5, CONFIG)
    expected = plain(image[1].numpy(), labels[1, 1].numpy(), 5, CONFIG)
    np.testing.assert_array_equal(refined[1, 1].numpy(), expected)


@pytest.mark.parametrize("kernels", KERNELS)
def test_pictures_and_views_do_not_touch_each_other(kernels: str) -> None:
    image, labels = random_case(3)
    together = mean_field.refine_labels(image, labels, 9, CONFIG, kernels=kernels)
    for view, i in np.ndindex(2, 3):
        alone = mean_field.refine_labels(
            image[i : i + 1], labels[view, i][None, None], 9, CONFIG, kernels=kernels
        )
        assert torch.equal(alone[0, 0], together[view, i])


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    image, labels = random_case(4, pictures=5)
    whole = mean_field.refine_labels(image, labels, 9, CONFIG)
    for pictures in (1, 2):
        monkeypatch.setattr(mean_field, "_PAIRS_AT_ONCE", pictures * 99**2)
        assert torch.equal(mean_field.refine_labels(image, labels, 9, CONFIG), whole)


@pytest.mark.parametrize("kernels", KERNELS)
def test_arguments_stay_and_one_label_stays(kernels: str) -> None:
    image, labels = random_case(5)
    copies = image.clone(), labels.clone()
    mean_field.refine_labels(image, labels, 9, CONFIG, kernels=kernels)
    assert torch.equal(image, copies[0])
    assert torch.equal(labels, copies[1])
    same = torch.full_like(labels, 4)
    assert torch.equal(mean_field.refine_labels(image, same, 9, CONFIG, kernels=kernels), same)


@pytest.mark.parametrize("kernels", KERNELS)
def test_colours_far_apart_do_not_underflow(kernels: str) -> None:
    """Black beside white under a narrow kernel: exp(-1e4) is 0 for all that matters."""
    image = torch.zeros(1, 8, 8, 3)
    image[:, :, 4:] = 255
    labels = torch.zeros(1, 1, 8, 8, dtype=torch.int64)
    labels[..., 4:] = 2
    labels[..., 2, 1] = 2
    refined = mean_field.refine_labels(image, labels, 3, TRAINING_CRF, kernels=kernels)
    expected = torch.zeros_like(labels)
    expected[..., 4:] = 2
    assert torch.equal(refined, expected)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("path", cases("05e_crf_label"))
def test_agrees_with_the_published_code(path: Path, kernels: str) -> None:
    """On its lattice in every pixel; the lattice is an approximation of the exact kernels."""
    inputs, outputs, meta = load(path)
    image = torch.from_numpy(inputs["img"])[None].float()
    labels = torch.from_numpy(inputs["labels"].astype(np.int64))
    how = meta["params"]
    config = CrfConfig(iterations=how["t"], bilateral_sxy=50, bilateral_srgb=5)
    refined = mean_field.refine_labels(
        image, labels[None, None], how["n_labels"], config, how["gt_prob"], kernels
    )[0, 0]
    assert (refined.numpy() == outputs["labels"]).mean() >= AGREEMENT[kernels]


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("seed", range(6, 12))
def test_agrees_with_pydensecrf_on_random_pictures(seed: int, kernels: str) -> None:
    image, labels = random_case(seed)
    refined = mean_field.refine_labels(image, labels, 9, TRAINING_CRF, kernels=kernels).numpy()
    expected = pydensecrf_labels(image, labels)
    assert (refined == expected).mean() >= AGREEMENT[kernels] - 0.01


def test_the_lattice_agrees_with_pydensecrf_on_photographs() -> None:
    """Of 96 x 96 pixels: what pydensecrf needs a pass a picture and view for, in one."""
    pictures = (skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee())
    image = torch.stack([torch.from_numpy(each.copy()).float() for each in map(small, pictures)])
    rows, columns = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
    labels = torch.zeros(2, 3, 96, 96, dtype=torch.int64)
    for (view, i), (top, left) in zip(
        np.ndindex(2, 3), torch.randint(20, 76, (6, 2)).tolist(), strict=True
    ):
        labels[view, i][(rows - top) ** 2 + (columns - left) ** 2 < 400] = 1 + i
    refined = mean_field.refine_labels(image, labels, 9, TRAINING_CRF, kernels="lattice")
    assert (refined != labels).float().mean() > 0.01
    assert (refined.numpy() == pydensecrf_labels(image, labels)).mean() > 0.9999


def small(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((96, 96)))


def pydensecrf_labels(image: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """A picture and a view at a time, nine labels."""
    return np.array(
        [
            [
                refine_labels(picture.numpy().astype(np.uint8), one.numpy(), 9)
                for picture, one in zip(image, view, strict=True)
            ]
            for view in labels
        ]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": torch.zeros(3, 9, 11, 3)}, "image must be"),
        ({"image": torch.zeros(2, 11, 9, 3)}, "image must be"),
        ({"gt_prob": 1.0}, "gt_prob 1.0"),
        ({"num_labels": 1}, "num_labels 1"),
    ],
)
def test_misuse_raises(change: dict, message: str) -> None:
    image, labels = random_case(7)
    arguments = {"image": image, "labels": labels, "num_labels": 9, "config": CONFIG, **change}
    with pytest.raises(ValueError, match=message):
        mean_field.refine_labels(**arguments)
