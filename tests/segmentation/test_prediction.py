"""Prediction of new pictures: batches, failures, and the same labels as predict_segmentation's."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from hsc.base.errors import HscError
from hsc.cam.inference import scale_picture
from hsc.crf.dense import CrfConfig
from hsc.data.preprocessing import normalise as normalise_array
from hsc.data.voc import VocFolder
from hsc.engine.runtime import Runtime
from hsc.nets.deeplab import Aspp, DeepLab
from hsc.nets.small_resnet import SmallResNet
from hsc.params.segmentation import PredictParams
from hsc.segmentation.inference import predict_labels, predict_logits
from hsc.segmentation.prediction import (
    Batch,
    PictureBatches,
    normalise,
    override,
    plan_batches,
    predict_pictures,
)
from hsc.segmentation.prediction_files import Failure, Output, Summary
from tests.stage_runs import contents
from tests.tiny_folder import tiny_folder

CPU = Runtime(torch.device("cpu"), bf16=False, workers=0)
GPU = Runtime(torch.device("cuda"), bf16=True, workers=0)  # for plans only
ONCE = PredictParams(scales=(1.0,), flip=False, crf=None)
TWICE = PredictParams(scales=(0.5, 1.0), flip=True, crf=None)

pytestmark = pytest.mark.usefixtures("cpu")


class Seeing(nn.Module):
    """Logits are the picture's channels."""

    def forward(self, image: Tensor) -> Tensor:
        return image


@pytest.fixture
def network() -> DeepLab:
    """Random weights, the classifier's such that every class is found somewhere."""
    torch.manual_seed(0)
    network = DeepLab(SmallResNet((4, 6, 8, 10)), 3, Aspp(10, 5, (1, 2)), dropout=0.5).eval()
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=(8, 3, 12, 16))).float()
    with torch.no_grad():
        network.classifier.bias -= network(noise).mean(dim=(0, 2, 3))
        network.classifier.weight *= 20
        network.classifier.bias *= 20
    return network.train()


def save(path: Path, height: int, width: int, seed: int = 0, **how: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **how)
    return path


def labels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Seven of two sizes, mixed."""
    sizes = [(12, 16), (9, 9), (12, 16), (12, 16), (9, 9), (12, 16), (12, 16)]
    return [save(tmp_path / "in" / f"{n}.png", *size, seed=n) for n, size in enumerate(sizes)]


# Which pictures share a batch


def names(chunks: Iterable[Iterable[Path]]) -> list[str]:
    return ["".join(path.stem for path in chunk) for chunk in chunks]


def test_pictures_of_one_size_share_a_batch(pictures: list[Path]) -> None:
    assert names(plan_batches(pictures, 2, None, CPU)) == ["02", "35", "6", "14"]
    assert names(plan_batches(pictures, 4, None, CPU)) == ["0235", "6", "14"]
    assert names(plan_batches(pictures, 1, None, GPU)) == list("0123456")


def test_one_at_once_on_a_cpu_and_eight_on_a_gpu(tmp_path: Path, pictures: list[Path]) -> None:
    assert names(plan_batches(pictures, None, None, CPU)) == list("0123456")
    assert names(plan_batches(pictures, None, None, GPU)) == ["02356", "14"]
    same = [save(tmp_path / f"{letter}.png", 2, 2) for letter in "abcdefghijk"]
    assert names(plan_batches(same, None, None, GPU)) == ["abcdefgh", "ijk"]


def test_large_pictures_come_in_smaller_batches_unless_asked_for(tmp_path: Path) -> None:
    large = [save(tmp_path / f"{letter}.bmp", 1000, 2000) for letter in "abc"]
    assert names(plan_batches(large, None, None, GPU)) == ["ab", "c"]
    assert names(plan_batches(large, 3, None, GPU)) == ["abc"]
    assert names(plan_batches(large, None, 500, GPU)) == ["abc"]
    huge = save(tmp_path / "huge.bmp", 2100, 2000)
    assert names(plan_batches([huge], None, None, GPU)) == ["huge"]


def test_pictures_of_one_size_when_shrunk_share_a_batch(tmp_path: Path) -> None:
    paths = [save(tmp_path / "a.png", 20, 30), save(tmp_path / "b.png", 40, 60)]
    assert names(plan_batches(paths, 2, None, CPU)) == ["a", "b"]
    assert names(plan_batches(paths, 2, 15, CPU)) == ["ab"]


def test_a_picture_that_cannot_be_read_has_its_place_in_the_plan(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    paths = [save(tmp_path / "a.png", 2, 2), tmp_path / "bad.jpg", tmp_path / "gone.jpg"]
    assert names(plan_batches(paths, 4, None, CPU)) == ["a", "badgone"]


def test_batches_hold_the_pictures_at_each_scale(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{n}.png", 12, 16, n) for n in range(2)]
    ((batch,),) = PictureBatches([paths], [0.5, 1.0], None)
    assert isinstance(batch, Batch)
    assert batch.paths == tuple(paths)
    assert batch.size == (12, 16)
    assert [tuple(scaled.shape) for scaled in batch.scaled] == [(2, 6, 8, 3), (2, 12, 16, 3)]
    for n, path in enumerate(paths):
        with Image.open(path) as image:
            expected = scale_picture(np.array(image), [0.5, 1.0], flip=False)
            assert np.array_equal(batch.images[n], np.array(image))
        for scaled, alone in zip(batch.scaled, expected, strict=True):
            assert torch.equal(normalise(scaled[n : n + 1]), alone)


def test_pictures_that_turn_out_to_have_other_sizes_are_parted(tmp_path: Path) -> None:
    """The headers know nothing of EXIF."""
    turned = Image.Exif()
    turned[0x0112] = 6
    paths = [
        save(tmp_path / "a.png", 12, 16),
        save(tmp_path / "b.png", 12, 16, exif=turned),
        save(tmp_path / "c.png", 12, 16),
    ]
    assert names(plan_batches(paths, 3, None, CPU)) == ["abc"]
    (items,) = PictureBatches([paths], [1.0], None)
    assert [(names([batch.paths])[0], batch.size) for batch in items] == [
        ("ac", (12, 16)),
        ("b", (16, 12)),
    ]


def test_every_value_is_normalised_as_on_other_pictures() -> None:
    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(2, 128, 3)
    found = normalise(torch.from_numpy(every)[None])
    assert found.is_contiguous()
    assert np.array_equal(found[0].numpy(), normalise_array(every))


# The results


@pytest.mark.parametrize("how", [ONCE, TWICE], ids=["once", "twice"])
def test_labels_are_those_of_predict_segmentation(
    tmp_path: Path, network: DeepLab, how: PredictParams
) -> None:
    folder = tiny_folder(tmp_path / "data")
    expected = dict(predict_labels(network, folder, "abcd", how.scales, how.flip, CPU))
    assert all(len(np.unique(found)) > 2 for found in expected.values())
    paths = [folder.image_path(image_id) for image_id in "abcd"]
    results = predict_pictures(network, paths, how, Output(tmp_path / "out"), CPU)
    assert not network.training
    assert [result.path for result in results] == paths
    for image_id, result in zip("abcd", results, strict=True):
        found = labels(tmp_path / "out" / f"{image_id}.png")
        assert np.array_equal(found, expected[image_id])
        shares = {index: (found == index).mean() for index in np.unique(found)}
        assert result.shares == pytest.approx(shares)


@pytest.mark.parametrize("processes", [1, 2])
def test_so_are_those_of_the_crf(tmp_path: Path, network: DeepLab, processes: int) -> None:
    folder: VocFolder = tiny_folder(tmp_path / "data")
    crf = CrfConfig(iterations=2, bilateral_sxy=5, bilateral_srgb=60)
    arguments = (network, folder, "abcd", [1.0], True, CPU)
    expected = dict(predict_labels(*arguments, crf=crf))
    plain = dict(predict_labels(*arguments))
    assert all(not np.array_equal(expected[name], plain[name]) for name in "abcd")
    how = PredictParams(scales=(1.0,), flip=True, crf=None)
    paths = [folder.image_path(image_id) for image_id in "abcd"]
    output = Output(tmp_path / "out", crf)
    predict_pictures(network, paths, how, output, CPU, processes=processes)
    for image_id in "abcd":
        assert np.array_equal(labels(tmp_path / "out" / f"{image_id}.png"), expected[image_id])


@pytest.mark.parametrize("batch", [2, 3, 8])
def test_labels_do_not_depend_on_the_batch(
    tmp_path: Path, network: DeepLab, pictures: list[Path], batch: int
) -> None:
    results = predict_pictures(network, pictures, TWICE, Output(tmp_path / "out"), CPU, batch)
    assert [result.path for result in results] == pictures
    sure_of, classes = 0.0, set()
    for path in pictures:
        scaled = scale_picture(labels(path), TWICE.scales, flip=True)
        logits = predict_logits(network, scaled, labels(path).shape[:2])
        first, second = logits.topk(2, dim=0).values
        sure = (first - second > 1e-3).numpy()  # more than rounding could turn
        found = labels(tmp_path / "out" / f"{path.stem}.png")
        assert np.array_equal(found[sure], logits.argmax(dim=0).numpy()[sure])
        classes |= set(np.unique(found))
        sure_of += sure.mean() / len(pictures)
    assert sure_of > 0.99
    assert len(classes) == 4


def test_workers_change_no_byte(tmp_path: Path, pictures: list[Path]) -> None:
    pictures[3].write_bytes(b"damaged")
    for workers in (0, 2):
        runtime = Runtime(torch.device("cpu"), bf16=False, workers=workers)
        output = Output(tmp_path / f"{workers}")
        results = predict_pictures(Seeing(), pictures, ONCE, output, runtime, batch=2)
        assert [type(result) for result in results].index(Failure) == 3
    assert contents(tmp_path / "0") == contents(tmp_path / "2")
    assert len(contents(tmp_path / "0")) == 12


def test_pictures_of_16_bits_are_seen_at_one_scale(tmp_path: Path, network: DeepLab) -> None:
    """12 bits in 16: the upper 8 of 12, of a dark picture among brighter ones too."""
    bright = np.random.default_rng(0).integers(0, 4096, (12, 16), dtype=np.uint16)
    results = {}
    for name, shift, dtype in (("deep", 0, np.uint16), ("plain", 4, np.uint8)):
        paths = [tmp_path / name / f"{letter}.png" for letter in "ab"]
        for path, values in zip(paths, (bright, bright // 8), strict=True):
            path.parent.mkdir(exist_ok=True)
            Image.fromarray((values >> shift).astype(dtype)).save(path)
        predict_pictures(network, paths, ONCE, Output(tmp_path / f"{name} out"), CPU)
        results[name] = contents(tmp_path / f"{name} out")
    assert results["deep"] == results["plain"]
    assert len(results["deep"]) == 4


def test_a_picture_turned_by_exif_has_its_labels_upright(tmp_path: Path) -> None:
    wide = np.zeros((8, 12, 3), np.uint8)
    wide[:, :6, 2] = 255  # blue on the left, which will be on top
    wide[:, 6:, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a.png"
    Image.fromarray(wide).save(path, exif=exif)
    (result,) = predict_pictures(Seeing(), [path], ONCE, Output(tmp_path / "out"), CPU)
    found = labels(tmp_path / "out" / "a.png")
    assert found.shape == (12, 8)
    assert (found[:6] == 2).all()
    assert (found[6:] == 0).all()
    assert result.shares == {0: 0.5, 2: 0.5}


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (33, 1)])
def test_tiny_pictures(tmp_path: Path, network: DeepLab, size: tuple[int, int]) -> None:
    path = save(tmp_path / "a.png", *size)
    (result,) = predict_pictures(network, [path], TWICE, Output(tmp_path / "out"), CPU)
    assert isinstance(result, Summary)
    assert labels(tmp_path / "out" / "a.png").shape == size


def test_a_large_picture_is_shrunk_for_the_network_alone(tmp_path: Path) -> None:
    shown = []

    class Watching(Seeing):
        def forward(self, image: Tensor) -> Tensor:
            shown.append(tuple(image.shape))
            return image

    path = save(tmp_path / "a.png", 60, 80)
    output = Output(tmp_path / "out", max_side=20)
    predict_pictures(Watching(), [path], TWICE, output, CPU)
    assert shown == [(2, 3, 8, 10), (2, 3, 15, 20)]
    found = labels(tmp_path / "out" / "a.png")
    assert found.shape == (60, 80)
    assert np.array_equal(found, found[::4, ::4].repeat(4, axis=0).repeat(4, axis=1))


# What goes wrong


def test_the_others_have_their_results(tmp_path: Path, pictures: list[Path]) -> None:
    whole = pictures[2].read_bytes()
    pictures[2].write_bytes(whole[: len(whole) // 2])
    pictures[4].unlink()
    for batch in (1, 8):
        out = tmp_path / f"out{batch}"
        results = predict_pictures(Seeing(), pictures, ONCE, Output(out), CPU, batch)
        assert [result.path for result in results] == pictures
        failed = [result for result in results if isinstance(result, Failure)]
        assert [failure.path for failure in failed] == [pictures[2], pictures[4]]
        assert failed[0].reason.startswith(f"{pictures[2]}: cannot be read as a picture (")
        assert failed[1].reason.startswith(f"{pictures[4]}: no such file")
        assert {path.stem for path in out.glob("*.png")} == set("01356")


class Limited(Seeing):
    """Has no room for pictures of 12 rows."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def forward(self, image: Tensor) -> Tensor:
        if image.shape[2] == 12:
            raise self._error
        return image


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"),
    ],
)
def test_a_picture_too_large_for_the_memory(
    tmp_path: Path, pictures: list[Path], error: Exception
) -> None:
    output = Output(tmp_path / "out")
    results = predict_pictures(Limited(error), pictures, ONCE, output, CPU, batch=8)
    failed = [result for result in results if isinstance(result, Failure)]
    assert names([[failure.path for failure in failed]]) == ["02356"]
    for failure in failed:
        assert failure.reason.startswith(f"{failure.path}: not enough memory to predict it; give ")
    assert {path.stem for path in (tmp_path / "out").glob("*.png")} == set("14")


def test_other_errors_of_the_network_are_no_failures(tmp_path: Path, pictures: list[Path]) -> None:
    network = Limited(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        predict_pictures(network, pictures, ONCE, Output(tmp_path / "out"), CPU)


def test_those_before_an_interruption_are_whole(tmp_path: Path, pictures: list[Path]) -> None:
    def stop(done: int, total: int, /, **figures: float) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_pictures(Seeing(), pictures, ONCE, Output(tmp_path / "out"), CPU, progress=stop)
    found = [f"{number}.png" for number in range(3)]
    assert sorted(contents(tmp_path / "out")) == [
        *found,
        *(f"overlays/{number}.jpg" for number in range(3)),
    ]
    assert [labels(tmp_path / "out" / name).shape for name in found] == [(12, 16), (9, 9), (12, 16)]


# The options in place of the recipe

KERNELS = {
    "iterations": 10, "gaussian_sxy": 1, "gaussian_compat": 3, "bilateral_sxy": 67,
    "bilateral_srgb": 3, "bilateral_compat": 4,
}  # fmt: skip


def test_options_win_over_the_recipe() -> None:
    recipe = PredictParams.model_validate({"scales": [0.5, 1.0], "flip": True, "crf": KERNELS})
    assert override(recipe, (), None, None) == recipe
    assert override(recipe, (), None, True) == recipe
    assert override(recipe, (1.5,), False, False) == PredictParams(
        scales=(1.5,), flip=False, crf=None
    )


def test_there_is_no_crf_without_kernels() -> None:
    assert override(ONCE, (), None, False) == ONCE
    with pytest.raises(HscError, match=r"^--crf: crf is null in the recipe's predict_seg"):
        override(ONCE, (), None, True)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_scales(scale: float) -> None:
    with pytest.raises(HscError, match=r"^--scales: .* is no factor of a size"):
        override(ONCE, (1.0, scale), None, None)
