"""The PCM and the input pipeline against the numbers of the published implementations."""

import json
import math
import random
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from hsc.cam.pcm import propagate
from hsc.data.preprocessing import longest_edge_size, normalise, resize_picture, scaled_size
from hsc.data.transforms import cut, draw_window, image_plane, pad, resize
from hsc.engine.optimisers import build_optimiser, parameter_groups, poly_rate, set_rate
from tests.golden import assert_close, cases, load

PCM_FIXTURE = "02b_seam_pcm"
PIPELINE_FIXTURE = "11_pipeline"


def recipe_weight(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The fixtures' weights of two and more dimensions: He's scale times 0.8, seeded by the key."""
    rng = np.random.RandomState(zlib.crc32(key.encode()) & 0xFFFFFFFF)
    scale = np.float32(0.8 * math.sqrt(2 / math.prod(shape[1:])))
    return torch.from_numpy(rng.standard_normal(shape).astype(np.float32) * scale)


@pytest.mark.parametrize("path", cases(PCM_FIXTURE))
def test_pixel_correlation(path: Path) -> None:
    inputs, outputs, _ = load(path)
    weight = recipe_weight("f9.weight", (192, 195, 1, 1))
    embedding = F.conv2d(torch.from_numpy(inputs["f"]), weight)
    refined = propagate(torch.from_numpy(inputs["cam"]), embedding)
    assert_close(PCM_FIXTURE, "cam_rv", refined, outputs["cam_rv"])


@pytest.mark.parametrize("path", cases(PIPELINE_FIXTURE, "norm_*.npz"))
def test_normalise(path: Path) -> None:
    inputs, outputs, _ = load(path)
    assert_close(PIPELINE_FIXTURE, "x", normalise(inputs["img"]), outputs["x"])


@pytest.mark.parametrize("path", cases(PIPELINE_FIXTURE, "crop_*.npz"))
def test_crop_in_the_published_order_of_draws(path: Path) -> None:
    inputs, outputs, _ = load(path)
    array, size = inputs["arr"], int(inputs["cropsize"])
    rng = random.Random(int(inputs["python_random_seed"]))
    window = draw_window(array.shape[1], array.shape[0], size, rng)
    cropped = pad(cut(image_plane(array), window), window)
    assert_close(PIPELINE_FIXTURE, "crop", cropped.permute(1, 2, 0), outputs["crop"])


@pytest.mark.parametrize("path", cases(PIPELINE_FIXTURE, "resize_*.npz"))
def test_resize(path: Path) -> None:
    inputs, outputs, _ = load(path)
    picture = Image.fromarray(inputs["img"])
    size = longest_edge_size(*picture.size, int(inputs["target_long"]))
    inference = np.asarray(resize_picture(picture, size))
    assert_close(PIPELINE_FIXTURE, "resized", inference, outputs["resized"])
    training = resize(image_plane(inputs["img"]), size[::-1])
    assert_close(PIPELINE_FIXTURE, "resized", training.permute(1, 2, 0), outputs["resized"])


@pytest.mark.parametrize("path", cases(PIPELINE_FIXTURE, "sizes.json"))
def test_sizes(path: Path) -> None:
    rows = json.loads(path.read_text())
    long = rows["random_resize_long"]["rows"]
    scaled = rows["multi_scale"]["rows"]
    assert len(long) >= 100
    assert len(scaled) >= 100
    assert [[*row[:3], *longest_edge_size(*row[:3])] for row in long] == long
    assert [[*row[:3], *scaled_size(*row[:3])] for row in scaled] == scaled


@pytest.mark.parametrize("path", cases(PIPELINE_FIXTURE, "polyoptimizer_*.npz"))
def test_optimiser_and_schedule(path: Path) -> None:
    """The published optimiser: SGD whose momentum is the weight decay, 5e-4."""
    inputs, outputs, _ = load(path)
    weight = nn.Parameter(torch.tensor([[1.0, -2.0, 3.0]]))
    bias = nn.Parameter(torch.tensor([0.5]))
    groups = parameter_groups(
        [("weight", weight), ("bias", bias)],
        role=lambda name: "new",
        factors={"new": 1.0},
        bias_factor=20.0,
        weight_decay=5e-4,
    )
    optimiser = build_optimiser("sgd", groups, lr=0.01, momentum=5e-4)
    rates, values = [], []
    for step, gradient in enumerate(torch.from_numpy(inputs["grads"])):
        set_rate(optimiser, poly_rate(0.01, step, steps=10, power=0.9))
        rates.append([group["lr"] for group in optimiser.param_groups])
        weight.grad, bias.grad = gradient[None, :3], gradient[3:]
        optimiser.step()
        values.append(torch.cat([weight.detach()[0], bias.detach()]))
    assert_close(PIPELINE_FIXTURE, "lr_f64", rates, outputs["lr_f64"])
    assert_close(PIPELINE_FIXTURE, "params", torch.stack(values), outputs["params"])
