"""CAM inference on networks whose maps are known."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hsc.base.errors import HscError
from hsc.cam import inference as cam_inference
from hsc.cam import parts as cam_parts
from hsc.cam.inference import ScaledPictures, infer_cam, infer_cams, scale_picture
from hsc.cam.network import CamMaps
from hsc.cam.parts import CamParts
from hsc.data.preprocessing import normalise
from hsc.data.voc import VocFolder
from hsc.engine.runtime import Runtime
from hsc.store import CamReader, CamWriter
from tests.tiny_folder import CLASSES, tiny_folder

CPU = Runtime(torch.device("cpu"), bf16=False, workers=0)


class Seeing(nn.Module):
    """Maps are what is seen: class 1 is the red channel, class 2 the green, class 3 the blue."""

    def forward(self, image: Tensor, refine: bool = True) -> CamMaps:
        cam = torch.cat([torch.zeros_like(image[:, :1]), image], dim=1)
        return CamMaps(cam, cam.sigmoid(), cam)


class Blind(nn.Module):
    """The same ramp from left (0) to right (1) whatever is seen; there are no refined maps."""

    def forward(self, image: Tensor, refine: bool = True) -> CamMaps:
        n, _, h, w = image.shape
        ramp = torch.linspace(0, 1, w).expand(n, 4, h, w)
        return CamMaps(ramp, None, ramp)


def picture(height: int = 6, width: int = 8) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_picture_at_its_scales() -> None:
    image = picture()
    batches = scale_picture(image, [0.5, 1.0, 1.5], flip=True)
    assert [tuple(batch.shape) for batch in batches] == [
        (2, 3, 3, 4),
        (2, 3, 6, 8),
        (2, 3, 9, 12),
    ]
    assert torch.equal(batches[1][0], torch.from_numpy(normalise(image)))
    for batch in batches:
        assert batch.dtype == torch.float32
        assert torch.equal(batch[1], batch[0].flip(2))  # of (3, h, w): the width
    assert [len(batch) for batch in scale_picture(image, [0.5, 1.0], flip=False)] == [1, 1]


def test_flips_are_undone_exactly() -> None:
    image = picture()
    found = [
        infer_cam(Seeing(), scale_picture(image, [1.0], flip), [1, 3], (6, 8), "raw", "softmax")
        for flip in (False, True)
    ]
    assert found[0].shape == (2, 6, 8)
    assert torch.allclose(found[0], found[1], atol=1e-4)


def test_the_mirrored_map_is_turned_back() -> None:
    batches = scale_picture(picture(4, 9), [1.0], flip=True)
    alone = infer_cam(Blind(), [batches[0][:1]], [1], (4, 9), "raw", "relu")
    assert torch.allclose(alone, torch.linspace(0, 1, 9).expand(1, 4, 9), atol=1e-4)
    # The network is blind to the flip: the turned ramp runs from right to left, their sum is flat.
    both = infer_cam(Blind(), batches, [1], (4, 9), "raw", "relu")
    assert torch.allclose(both, torch.zeros(1, 4, 9), atol=1e-3)
    # Weighed differently by a softmax over channels of one value, both are flat at the maximum.
    flat = infer_cam(Blind(), batches, [1, 2], (4, 9), "raw", "softmax")
    assert torch.allclose(flat, torch.ones(2, 4, 9), atol=1e-3)


def test_scales_are_summed_at_the_picture_s_size() -> None:
    found = infer_cam(
        Blind(), scale_picture(picture(4, 9), [0.5, 1, 2], flip=False), [2], (4, 9), "raw", "relu"
    )
    assert found.shape == (1, 4, 9)
    assert found[0, :, 0].max() < 0.05
    assert found[0, :, -1].min() > 0.95
    assert (found.diff(dim=2) > 0).all()


def test_classes_are_the_foreground_s_indices() -> None:
    image = np.zeros((4, 4, 3), dtype=np.uint8)
    image[0, 1, 0] = image[2, 3, 2] = 255
    batches = scale_picture(image, [1.0], flip=True)
    found = infer_cam(Seeing(), batches, [3, 1], (4, 4), "raw", "relu")
    assert found[0].argmax() == 2 * 4 + 3  # blue: class 3
    assert found[1].argmax() == 1
    assert infer_cam(Seeing(), batches, [], (4, 4), "raw", "relu").shape == (0, 4, 4)


@pytest.mark.parametrize("merge", ["relu", "softmax"])
@pytest.mark.parametrize("maps", ["raw", "refined"])
def test_range_and_type(maps: str, merge: str) -> None:
    batches = scale_picture(picture(), [0.5, 1.0], flip=True)
    found = infer_cam(Seeing(), batches, [1, 2], (6, 8), maps, merge)
    assert found.dtype == torch.float32
    assert found.min() >= 0
    assert 0.9 < found.max() <= 1
    assert not found.requires_grad


def test_refined_and_raw_maps_differ() -> None:
    batches = scale_picture(picture(), [1.0], flip=False)
    raw, refined = (
        infer_cam(Seeing(), batches, [1], (6, 8), maps, "relu") for maps in ("raw", "refined")
    )
    assert not torch.allclose(raw, refined, atol=0.01)


class Sparing(Seeing):
    """Must not be asked for refined maps."""

    def forward(self, image: Tensor, refine: bool = True) -> CamMaps:
        assert not refine
        return super().forward(image)


def test_raw_maps_do_without_the_pcm() -> None:
    batches = scale_picture(picture(), [1.0], flip=False)
    found = infer_cam(Sparing(), batches, [1], (6, 8), "raw", "relu")
    assert torch.equal(found, infer_cam(Seeing(), batches, [1], (6, 8), "raw", "relu"))
    with pytest.raises(AssertionError):
        infer_cam(Sparing(), batches, [1], (6, 8), "refined", "relu")


def test_refined_maps_without_a_pcm_are_an_error() -> None:
    batches = scale_picture(picture(), [1.0], flip=True)
    with pytest.raises(HscError, match="maps: refined, but this network has no PCM; use maps: raw"):
        infer_cam(Blind(), batches, [1], (6, 8), "refined", "relu")


class Counting(Seeing):
    """Notes how many pictures it sees at once."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def forward(self, image: Tensor, refine: bool = True) -> CamMaps:
        self.seen.append(len(image))
        return super().forward(image, refine)


def test_a_large_picture_is_seen_without_its_flip(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = scale_picture(picture(), [0.5, 1.0, 2.0], flip=True)
    network = Counting()
    together = infer_cam(network, batches, [1, 3], (6, 8), "refined", "relu")
    assert network.seen == [2, 2, 2]
    monkeypatch.setattr(cam_inference, "_PIXELS", 2 * 6 * 8)
    assert torch.equal(infer_cam(network, batches, [1, 3], (6, 8), "refined", "relu"), together)
    assert network.seen[3:] == [2, 2, 1, 1]


@pytest.fixture
def folder(tmp_path: Path) -> VocFolder:
    return tiny_folder(tmp_path / "data")


def test_scaled_pictures(folder: VocFolder) -> None:
    pictures = ScaledPictures(folder, ["b", "a"], [0.5, 1.0], flip=True)
    assert len(pictures) == 2
    image_id, size, batches = pictures[0]
    assert (image_id, size) == ("b", (12, 17))
    assert [tuple(batch.shape) for batch in batches] == [(2, 3, 6, 8), (2, 3, 12, 17)]


def write(folder: VocFolder, path: Path, ids: list[str]) -> None:
    parts = CamParts(path.parent, path.stem, CLASSES, ids)
    infer_cams(
        Seeing(), folder, scales=[0.5, 1.0], flip=True, maps="raw", merge="relu",
        parts=parts, runtime=CPU,
    )  # fmt: skip
    with CamWriter(path, CLASSES, "digest") as writer:
        parts.join(writer)


def test_the_file_holds_the_tagged_classes_of_each_picture(
    folder: VocFolder, tmp_path: Path
) -> None:
    path = tmp_path / "cams.h5"
    write(folder, path, ["c", "b", "d", "a"])
    with CamReader(path) as reader:
        assert reader.ids == ["a", "b", "c", "d"]
        for image_id, classes in {"a": [1], "b": [2, 3], "c": [3], "d": []}.items():
            cam, found = reader.read(image_id)
            assert found.tolist() == classes
            assert cam.shape == (len(classes), *folder.size(image_id))
        expected = infer_cam(
            Seeing(), scale_picture(folder.image("b"), [0.5, 1.0], True), [2, 3], (12, 17),
            "raw", "relu",
        )  # fmt: skip
        assert np.allclose(reader.read("b")[0], expected.numpy(), atol=1e-3)  # as it is stored


def test_same_input_same_bytes_in_any_order(folder: VocFolder, tmp_path: Path) -> None:
    paths = tmp_path / "one.h5", tmp_path / "two.h5"
    write(folder, paths[0], ["a", "b"])
    write(folder, paths[1], ["b", "a"])
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_failure_leaves_no_file(folder: VocFolder, tmp_path: Path) -> None:
    path = tmp_path / "cams.h5"
    with pytest.raises(HscError, match=r"z\.jpg: no such picture"):
        write(folder, path, ["a", "z"])
    assert not list(tmp_path.rglob("*.h5*"))


def test_what_is_there_is_not_inferred_again(
    folder: VocFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cam_parts, "_IMAGES", 2)
    how = {"scales": [1.0], "flip": True, "maps": "raw", "merge": "relu", "runtime": CPU}
    infer_cams(Seeing(), folder, parts=CamParts(tmp_path, "key", CLASSES, ["a", "b"]), **how)
    shown = []
    parts = CamParts(tmp_path, "key", CLASSES, ["a", "b", "c"])
    infer_cams(
        Seeing(), folder, parts=parts, progress=lambda done, total: shown.append((done, total)),
        **how,
    )  # fmt: skip
    assert shown == [(2, 3), (3, 3)]
    infer_cams(RunAway(), folder, parts=parts, **how)


class RunAway(nn.Module):
    """Maps of a network whose weights are beyond use."""

    def forward(self, image: Tensor, refine: bool = True) -> CamMaps:
        cam = torch.full_like(image[:, :1], torch.nan).expand(-1, 4, -1, -1)
        return CamMaps(cam, cam, cam)


def test_maps_that_are_not_finite_are_an_error(folder: VocFolder, tmp_path: Path) -> None:
    ids = folder.ids("train_aug")
    parts = CamParts(tmp_path, "key", CLASSES, ids)
    with pytest.raises(HscError, match="its CAM is not finite"):
        infer_cams(RunAway(), folder, [1.0], True, "raw", "relu", parts, CPU)
    assert not list(tmp_path.rglob("*.h5*"))
