"""The networks and whole inferences against the numbers of the published implementations.

The fixtures were recorded with weights that follow from the published key and the shape alone
(README of the fixtures). They are made once for the session, go through the import of published
checkpoints, and are shared by all networks.
"""

import json
import math
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hsc.cam.inference import infer_cam, scale_picture
from hsc.cam.network import CamNetwork, cam_network, upsample
from hsc.cam.seeds import threshold_seeds
from hsc.crf.dense import CrfConfig, cam_probabilities, refine_probabilities
from hsc.nets.resnet38 import ResNet38
from hsc.weights import published
from tests.golden import assert_close, cases, load, statistics

CLASSES = tuple(f"class {index}" for index in range(1, 21))
# The layout of each file of keys.
KEYS = {
    "resnet38d": "resnet38d",
    "seam_resnet38_SEAM": "seam",
    "eps_resnet38_eps": "eps",
    "eps_resnet38_cls": "eps_cls",
    "wseg_resnet38_contrast": "ppc",
    "hsc_resnet38_eps_seam_hsc": "hsc",
    "psa_resnet38_aff": "psa",
}
EPS_INFERENCES = {"08d_eps_full_inference": "eps", "08f_hsc_full_inference": "hsc"}


@pytest.fixture(scope="module", autouse=True)
def shared_weights() -> Iterator[None]:
    """Free the weights, 420 MB, behind the last test; one thread, as when it was recorded."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    weights_of.cache_clear()
    recipe_tensor.cache_clear()


@cache
def recipe_tensor(key: str, shape: tuple[int, ...], scale: float) -> Tensor:
    """The fixtures' weights: He's scale times `scale`, norms near their neutral values."""
    if key.endswith("num_batches_tracked"):
        return torch.tensor(0)
    rng = np.random.RandomState(zlib.crc32(key.encode()) & 0xFFFFFFFF)
    drawn = rng.standard_normal(shape)
    if len(shape) > 1:
        factor = np.float32(scale * math.sqrt(2 / math.prod(shape[1:])))
        return torch.from_numpy(drawn.astype(np.float32) * factor)
    if key.endswith("running_var"):
        drawn = 1 + 0.1 * np.abs(drawn)
    elif key.endswith("weight"):
        drawn = 1 + 0.1 * drawn
    else:
        drawn = 0.1 * drawn
    return torch.from_numpy(drawn.astype(np.float32))


@cache
def weights_of(layout: str, scale: float) -> dict[str, Tensor]:
    """A published checkpoint of recipe weights, under our keys."""
    shapes = published.expected_shapes(layout)
    state = {key: recipe_tensor(key, shape, scale) for key, shape in shapes.items()}
    return published.convert(layout, state, Path(f"{layout}.pth"))


def network(layout: str, scale: float) -> CamNetwork:
    """The network in eval mode; its tensors are the shared ones."""
    with torch.device("meta"):
        built = cam_network(published.cam_spec(layout, CLASSES))
    built.load_state_dict(weights_of(layout, scale), assign=True)
    return built.eval()


def backbone(scale: float) -> ResNet38:
    with torch.device("meta"):
        built = ResNet38()
    built.load_state_dict(weights_of("resnet38d", scale), assign=True)
    return built.eval()


def background_last(values: Tensor) -> Tensor:
    return values.roll(-1, dims=1)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        pytest.param(name, *case.values, id=name, marks=case.marks)
        for name in KEYS
        for case in cases("keys", f"{name}.json")
    ],
)
def test_keys_and_recipe(name: str, path: Path) -> None:
    """Our layouts have the published keys and shapes, and the weights made here are theirs."""
    stored = json.loads(path.read_text())
    shapes = {entry["key"]: tuple(entry["shape"]) for entry in stored["keys"]}
    assert published.expected_shapes(KEYS[name]) == shapes
    # The backbone's weights are the same everywhere: their checksums are compared once.
    known = set() if name == "resnet38d" else set(published.expected_shapes("resnet38d"))
    for entry in stored["keys"]:
        if entry["key"] not in known:
            made = recipe_tensor(entry["key"], tuple(entry["shape"]), stored["weight_scale"])
            assert zlib.crc32(made.numpy().tobytes()) == entry["crc32"], entry["key"]


@pytest.mark.parametrize("path", cases("01_resnet38d"))
@torch.no_grad()
def test_resnet38(path: Path) -> None:
    inputs, outputs, meta = load(path)
    features = backbone(meta["weight_scale"])(torch.from_numpy(inputs["x"]))
    got = {}
    for name, values in zip(("conv4", "conv5", "conv6"), features, strict=True):
        got[f"{name}_ch32"] = values[:, ::32]
        got[f"{name}_stats"] = statistics(values)
    compare("01_resnet38d", got, outputs)


@pytest.mark.parametrize("path", cases("02a_seam_net"))
@torch.no_grad()
def test_seam_network(path: Path) -> None:
    """Theirs brings the maps to the input's size; here the losses do."""
    inputs, outputs, meta = load(path)
    image = torch.from_numpy(inputs["x"])
    found = network("seam", meta["weight_scale"])(image)
    compare("02a_seam_net", at_pixels(found, image), outputs)


@pytest.mark.parametrize("path", cases("06b_ppc_net"))
@torch.no_grad()
def test_ppc_network(path: Path) -> None:
    inputs, outputs, meta = load(path)
    image = torch.from_numpy(inputs["x"])
    ppc = network("ppc", meta["weight_scale"])
    found = ppc(image)
    projected = ppc.projector_pixel(found.features)
    got = at_pixels(found, image) | {
        "f_proj_ch4": projected[:, ::4],
        "f_proj_stats": statistics(projected),
        "cam_rv_down": found.refined,
        "cam_rv_down_stats": statistics(found.refined),
    }
    compare("06b_ppc_net", got, outputs)


@pytest.mark.parametrize("path", cases("04b_eps_net"))
@torch.no_grad()
def test_eps_network(path: Path) -> None:
    inputs, outputs, meta = load(path)
    found = network("eps", meta["weight_scale"])(torch.from_numpy(inputs["x"]))
    cam = background_last(found.cam)
    compare("04b_eps_net", {"cam": cam, "pred": cam.mean(dim=(2, 3))}, outputs)


@pytest.mark.parametrize("path", cases("05b_hsc_net"))
@torch.no_grad()
def test_hsc_network(path: Path) -> None:
    inputs, outputs, meta = load(path)
    hsc = network("hsc", meta["weight_scale"])
    found = hsc(torch.from_numpy(inputs["x"]))
    cam, refined = background_last(found.cam), background_last(found.refined)
    pixel, wide = hsc.projector_pixel(found.features), hsc.projector_class(found.features)
    got = {
        "cam": cam,
        "pred": cam.mean(dim=(2, 3)),
        "cam_rv": refined,
        "pred_rv": refined.mean(dim=(2, 3)),
        "f_map_1_ch4": pixel[:, ::4],
        "f_map_1_stats": statistics(pixel),
        "f_map_2_ch4": wide[:, ::4],
        "f_map_2_stats": statistics(wide),
    }
    compare("05b_hsc_net", got, outputs)


def at_pixels(found: Any, image: Tensor) -> dict[str, Any]:
    """Both maps as SEAM's and PPC's networks give them."""
    got = {}
    for name, maps in (("cam", found.cam), ("cam_rv", found.refined)):
        large = upsample(maps, tuple(image.shape[2:]))
        got |= {f"{name}_sub3": large[:, :, ::3, ::3], f"{name}_stats": statistics(large)}
    return got


def compare(fixture: str, got: dict[str, Any], outputs: dict[str, np.ndarray]) -> None:
    assert set(got) == set(outputs)
    for name, value in got.items():
        assert_close(fixture, name, value, outputs[name])


@pytest.mark.parametrize("path", cases("08c_seam_full_inference"))
@torch.no_grad()
def test_seam_inference(path: Path) -> None:
    """Compared after a clamp at 0."""
    inputs, outputs, meta = load(path)
    batches = scale_picture(inputs["img"], meta["scales"], flip=True)
    seam, classes = network("seam", meta["weight_scale"]), classes_of(inputs)
    cam = infer_cam(seam, batches, classes, inputs["img"].shape[:2], "refined", "relu")
    got = {
        "cam_keys": np.array(classes_of(inputs)) - 1,
        "cam": cam,
        "pred_alpha0_26": threshold_seeds(cam.numpy(), classes_of(inputs), 0.26),
    }
    compare("08c_seam_full_inference", got, outputs | {"cam": outputs["cam"].clip(0)})


@pytest.mark.parametrize(
    ("fixture", "layout", "path"),
    [
        pytest.param(fixture, layout, *case.values, id=f"{layout}-{case.id}", marks=case.marks)
        for fixture, layout in (
            ("08d_eps_full_inference", "eps"),
            ("08f_hsc_full_inference", "hsc"),
        )
        for case in cases(fixture)
    ],
)
def test_eps_and_hsc_inference(fixture: str, layout: str, path: Path) -> None:
    inputs, outputs, meta = load(path)
    classes, image = classes_of(inputs), inputs["img"]
    batches = scale_picture(image, meta["scales"], flip=True)
    cam = infer_cam(
        network(layout, meta["weight_scale"]), batches, classes, image.shape[:2], "raw", "softmax"
    ).numpy()
    got = {
        "cam_keys": np.array(classes) - 1,
        "cam": cam,
        "pred": threshold_seeds(cam, classes, meta["thr"]),
    }
    if "crf_t8_a7" in outputs:
        scored = cam_probabilities(cam, alpha=7)
        got["crf_t8_a7"] = refine_probabilities(image, scored, CrfConfig(iterations=8))
    compare(fixture, got, outputs)


def classes_of(inputs: dict[str, np.ndarray]) -> list[int]:
    """The tagged classes, 1..C."""
    return (1 + np.flatnonzero(inputs["label"])).tolist()
