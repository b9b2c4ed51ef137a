"""A method: which views it computes, how its losses add up, where its gradients go."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from hsc.losses.maps import present_probability
from hsc.losses.seam import equivariance
from hsc.methods.method import Method
from hsc.methods.training import build_method
from hsc.params.method import MethodChoice
from hsc.params.recipe import NetworkParams, TrainCamParams

CLASSES = ("a", "b", "c")
CROP, VIEW2 = 32, 20
SEAM = ["classification", "minimum", "equivariance", "cross_equivariance"]
EPS = ["classification", "saliency"]
RIGID = ["equivariance", "cross_equivariance"]
HSC = ["roi", "class", "pixel"]
Build = Callable[..., Method]


@pytest.fixture(scope="module")
def build(
    tiny_run: Callable[..., MethodChoice],
    tiny_network: NetworkParams,
    tiny_cam_params: TrainCamParams,
    cpu: Any,
) -> Build:
    def make(**changes: Any) -> Method:
        torch.manual_seed(3)
        method = build_method(CLASSES, tiny_run(**changes), tiny_network, tiny_cam_params)
        return method.train()

    return make


def make_batch(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "image": torch.randn(3, 3, CROP, CROP, generator=generator),
        "tags": torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 1.0, 1.0]]),
        "saliency": torch.rand(3, 1, CROP, CROP, generator=generator),
    }


@pytest.mark.parametrize(
    ("baseline", "contrast", "equivariance", "views", "pcm", "terms"),
    [
        ("cam", "none", "auto", 1, False, ["classification"]),
        ("cam", "none", True, 1, False, ["classification"]),
        ("cam", "hsc", "auto", 2, False, ["classification", *HSC]),
        ("seam", "none", "auto", 2, True, SEAM),
        ("seam", "none", False, 2, True, SEAM),
        ("seam", "hsc", "auto", 2, True, SEAM + HSC),
        ("eps", "none", "auto", 1, False, EPS),
        ("eps", "none", True, 2, True, EPS + RIGID),
        ("eps", "none", False, 1, False, EPS),
        ("eps", "hsc", "auto", 2, True, EPS + RIGID + HSC),
        ("eps", "hsc", True, 2, True, EPS + RIGID + HSC),
        ("eps", "hsc", False, 2, False, EPS + HSC),
    ],
)
def test_what_is_computed(
    build: Build,
    baseline: str,
    contrast: str,
    equivariance: str | bool,
    views: int,
    pcm: bool,
    terms: list[str],
) -> None:
    method = build(baseline=baseline, contrast=contrast, equivariance=equivariance)
    sizes = []
    method.network.register_forward_hook(
        lambda module, arguments, result: sizes.append(tuple(arguments[0].shape[2:]))
    )
    found = method.losses(make_batch())
    assert sizes == [(CROP, CROP), (VIEW2, VIEW2)][:views]
    assert (method.network.pcm is not None) is pcm
    assert (method.network.projector_class is not None) is (contrast == "hsc")
    assert (method.network.projector_pixel is not None) is (contrast == "hsc")
    assert list(found) == ["loss", *terms]
    assert all(term.ndim == 0 and torch.isfinite(term) for term in found.values())


def test_levels_that_are_off_have_no_term(build: Build) -> None:
    off = {"class": False, "pixel": False, "momentum_prototypes": False}
    found = build(baseline="cam", **off).losses(make_batch())
    assert list(found) == ["loss", "classification", "roi"]


@pytest.mark.parametrize("baseline", ["cam", "seam", "eps"])
@pytest.mark.parametrize("gamma", [0.0, 0.1, 3.0])
def test_equation_1(build: Build, baseline: str, gamma: float) -> None:
    method = build(baseline=baseline, gamma=gamma)
    method.losses(make_batch(1))
    method.commit()
    found = method.losses(make_batch())
    contrast = sum(found[name] for name in HSC)
    own = sum(value for name, value in found.items() if name not in ["loss", *HSC])
    assert all(found[name] > 0 for name in HSC)
    torch.testing.assert_close(found["loss"], own + gamma * contrast)
    if gamma == 0:
        plain = build(baseline=baseline, contrast="none", equivariance=baseline == "eps")
        plain.network.load_state_dict(method.network.state_dict(), strict=False)
        if baseline != "cam":  # which has one view without a contrast
            torch.testing.assert_close(plain.losses(make_batch())["loss"], found["loss"])


def test_contrast_terms_do_not_depend_on_gamma(build: Build) -> None:
    first = build(gamma=0.1).losses(make_batch())
    second = build(gamma=2.0).losses(make_batch())
    assert all(torch.equal(first[name], second[name]) for name in SEAM + HSC)


def gradient_sums(method: Method, loss: Tensor) -> dict[str, float]:
    method.zero_grad(set_to_none=True)
    loss.backward(retain_graph=True)
    sums: dict[str, float] = {}
    for name, parameter in method.network.named_parameters():
        part = name.split(".")[0]
        size = 0.0 if parameter.grad is None else parameter.grad.abs().sum().item()
        sums[part] = sums.get(part, 0.0) + size
    return sums


@pytest.mark.parametrize("baseline", ["cam", "seam", "eps"])
def test_contrast_reaches_projectors_and_backbone_only(build: Build, baseline: str) -> None:
    method = build(baseline=baseline)
    method.losses(make_batch(1))
    method.commit()
    found = method.losses(make_batch())
    sums = gradient_sums(method, found["roi"] + found["class"])
    assert sums["head"] == 0
    assert sums.get("pcm", 0) == 0
    assert sums["backbone"] > 0
    assert sums["projector_class"] > 0
    assert sums["projector_pixel"] == 0
    sums = gradient_sums(method, found["pixel"])
    assert sums["head"] == 0
    assert sums.get("pcm", 0) == 0
    assert sums["backbone"] > 0
    assert sums["projector_class"] == 0
    assert sums["projector_pixel"] > 0


def test_baseline_reaches_head_pcm_and_backbone_but_no_projector(build: Build) -> None:
    method = build(baseline="seam")
    found = method.losses(make_batch())
    sums = gradient_sums(method, sum(found[name] for name in SEAM))
    assert all(sums[part] > 0 for part in ("head", "pcm", "backbone"))
    assert sums["projector_class"] == sums["projector_pixel"] == 0


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"baseline": "cam"}, "raw"),
        ({"baseline": "seam"}, "refined"),
        ({"baseline": "eps"}, "softmax"),
        ({"baseline": "eps", "equivariance": False}, "softmax"),
        ({"baseline": "eps", "contrast_map": "refined"}, "refined"),
        ({"baseline": "eps", "contrast_map": "raw"}, "raw"),
    ],
)
def test_each_baseline_drives_the_contrast_with_its_own_map(
    build: Build, changes: dict[str, Any], expected: str
) -> None:
    method = build(**changes)
    views, seen = [], []
    method.network.register_forward_hook(lambda module, images, result: views.append(result))
    method.contrast.register_forward_hook(lambda module, given, result: seen.append(given))
    batch = make_batch()
    method.losses(batch)
    maps, embeddings, image, tags = seen[0]
    for i, view in enumerate(views):
        softmax = present_probability(view.cam, tags)
        choices = {"raw": view.cam, "refined": view.refined, "softmax": softmax}
        assert torch.equal(maps[i], choices[expected])
        assert torch.equal(embeddings[i][0], method.network.projector_class(view.features))
        assert torch.equal(embeddings[i][1], method.network.projector_pixel(view.features))
    assert image.shape == (3, 3, VIEW2, VIEW2)
    assert torch.equal(tags, batch["tags"])


def test_saliency_loss_on_the_refined_maps_is_a_term_of_its_own(build: Build) -> None:
    method = build(baseline="eps", contrast="none", equivariance=True, refined_saliency=True)
    found = method.losses(make_batch())
    assert set(found) == {"loss", *EPS, "refined_saliency", *RIGID}
    torch.testing.assert_close(found["loss"], sum(found[n] for n in found if n != "loss"))
    plain = build(baseline="eps", contrast="none", equivariance=True).losses(make_batch())
    assert all(torch.equal(found[name], plain[name]) for name in (*EPS, *RIGID))


def test_second_view_shows_the_same_pixels_smaller(build: Build) -> None:
    """A brightness ramp stays one, from corner to corner."""
    method = build(baseline="cam")
    images = []
    method.network.register_forward_hook(lambda module, given, result: images.append(given[0]))
    ramp = torch.linspace(-1, 1, CROP).expand(3, 3, CROP, CROP)
    method.losses({**make_batch(), "image": ramp})
    expected = torch.linspace(-1, 1, VIEW2).expand(3, 3, VIEW2, VIEW2)
    torch.testing.assert_close(images[1], expected)


def test_prototypes_are_in_the_state_and_change_by_commit_only(build: Build) -> None:
    method = build()
    name = "contrast.class1_vectors"
    assert not method.state_dict()[name].any()
    method.losses(make_batch())
    method.eval().losses(make_batch(1))
    assert not method.state_dict()[name].any()
    method.commit()
    assert method.state_dict()[name].any()


def test_without_contrast_there_is_nothing_to_commit(build: Build) -> None:
    method = build(contrast="none")
    assert method.contrast is None
    method.losses(make_batch())
    method.commit()
    assert not [name for name in method.state_dict() if name.startswith("contrast")]


def test_order_of_the_batch_does_not_matter(build: Build) -> None:
    batch, order = make_batch(), torch.tensor([1, 2, 0])
    expected = build(baseline="eps").losses(batch)
    found = build(baseline="eps").losses({name: value[order] for name, value in batch.items()})
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("baseline", ["cam", "seam", "eps"])
def test_batch_without_any_tag_is_finite(build: Build, baseline: str) -> None:
    method = build(baseline=baseline)
    batch = {**make_batch(), "tags": torch.zeros(3, 3)}
    for _ in range(2):
        found = method.losses(batch)
        assert all(torch.isfinite(term) for term in found.values()), found
        found["loss"].backward()
        method.commit()
    for name, parameter in method.network.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name


def test_losses_are_in_float32_when_the_network_runs_in_bfloat16(build: Build) -> None:
    method = build()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = method.losses(make_batch())
    expected = build().losses(make_batch())
    for name, term in found.items():
        assert term.dtype == torch.float32, name
    torch.testing.assert_close(found["loss"], expected["loss"], rtol=0.1, atol=0.05)
    found["loss"].backward()
    for name, parameter in method.network.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name


def test_losses_at_map_resolution_are_those_of_the_maps_themselves(build: Build) -> None:
    method = build(baseline="seam", contrast="none")
    batch = make_batch()
    at_pixels = method.losses(batch)
    coarse = Method(method.baseline, method.network, None, VIEW2, "map")
    on_maps = coarse.losses(batch)
    views = [method.network(image) for image in (batch["image"], shrink(batch["image"]))]
    expected = equivariance(views[0].cam, views[1].cam, batch["tags"])
    torch.testing.assert_close(on_maps["equivariance"], expected)
    assert on_maps["equivariance"] != at_pixels["equivariance"]


def shrink(image: Tensor) -> Tensor:
    size = (VIEW2, VIEW2)
    return torch.nn.functional.interpolate(image, size, mode="bilinear", align_corners=True)
