"""PPC as a module: its switches, its random draws, what influences what, on which baselines."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from hsc.losses.maps import background_activation, pseudo_label, resize, unit
from hsc.losses.pixel import pixel_contrast
from hsc.losses.ppc import batch_prototypes
from hsc.methods.contrast import Setting
from hsc.methods.contrasts.hsc import driving_cam
from hsc.methods.contrasts.ppc import PpcContrast, PpcParams
from hsc.methods.method import Method
from hsc.methods.training import build_method
from hsc.params.method import MethodChoice
from hsc.params.recipe import NetworkParams, TrainCamParams

ALL_ON = PpcParams(
    gamma=0.1,
    temperature=0.1,
    k=6,
    background_score=0.4,
    cross_prototype=True,
    cross_label=True,
    intra_view=True,
    hard_share=0.6,
    kept_share=0.5,
)
TERMS = ["cross_prototype", "cross_label", "intra_view"]
C, D, SIDE = 3, 4, 4
Inputs = dict[str, Any]


def make(seed: int = 0, **changes: Any) -> PpcContrast:
    return PpcContrast(ALL_ON.model_copy(update=changes), Setting(C, D, D, seed))


def inputs(seed: int = 0, tags: list[list[int]] | None = None, size1: int = 8) -> Inputs:
    """Two views of random maps and embeddings, map sizes `size1` and 4."""
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator) + 0.05

    label = torch.tensor(tags or [[1, 1, 0], [0, 1, 1], [1, 0, 1]], dtype=torch.float32)
    n = len(label)
    return {
        "maps": tuple(rand(n, C + 1, s, s) for s in (size1, SIDE)),
        "embeddings": tuple((None, rand(n, D, s, s)) for s in (size1, SIDE)),
        "image": torch.empty(0),
        "tags": label,
    }


def with_gradients(batch: Inputs) -> Inputs:
    return {
        **batch,
        "maps": tuple(m.clone().requires_grad_() for m in batch["maps"]),
        "embeddings": tuple((None, v.clone().requires_grad_()) for _, v in batch["embeddings"]),
    }


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


# What is computed


def test_cross_terms_are_those_of_the_paper() -> None:
    """F(v; y; P') and F(v; y'; P), both views, from the maps and embeddings as they come."""
    batch = inputs()
    views = []
    for cam, (_, v) in zip(batch["maps"], batch["embeddings"], strict=True):
        foreground = driving_cam(cam, batch["tags"], (SIDE, SIDE))
        activation = torch.cat([background_activation(foreground), foreground], dim=1)
        v = resize(v, (SIDE, SIDE))
        label = pseudo_label(foreground, ALL_ON.background_score)
        views.append((unit(v), label, batch_prototypes(v, activation, ALL_ON.k)))
    (v1, y1, p1), (v2, y2, p2) = views
    found = make()(**batch)
    prototype = pixel_contrast(v1, y1, p2, 0.1) + pixel_contrast(v2, y2, p1, 0.1)
    label = pixel_contrast(v1, y2, p1, 0.1) + pixel_contrast(v2, y1, p2, 0.1)
    torch.testing.assert_close(found["cross_prototype"], prototype / 2)
    torch.testing.assert_close(found["cross_label"], label / 2)


@pytest.mark.parametrize("off", TERMS)
def test_a_term_that_is_off_is_not_there_and_leaves_the_others(off: str) -> None:
    everything, found = make()(**inputs()), make(**{off: False})(**inputs())
    assert list(found) == [name for name in TERMS if name != off]
    assert all(torch.equal(found[name], everything[name]) for name in found)


def test_gradients_reach_the_embeddings_and_not_the_maps() -> None:
    for name in TERMS:
        batch = with_gradients(inputs())
        make()(**batch)[name].backward()
        assert all(cam.grad is None for cam in batch["maps"])
        assert all(v.grad.any() for _, v in batch["embeddings"])


# The random half


def test_draws_follow_from_seed_and_step_alone() -> None:
    module = make(seed=3)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = module(**inputs())
    assert torch.equal(torch.get_rng_state(), state), "torch's generator is left alone"
    torch.manual_seed(1)
    assert_same(module(**inputs()), first)
    assert_same(make(seed=3)(**inputs()), first)
    assert make(seed=4)(**inputs())["intra_view"] != first["intra_view"]
    module.commit()
    second = module(**inputs())
    assert second["intra_view"] != first["intra_view"]
    for name in ("cross_prototype", "cross_label"):
        assert torch.equal(second[name], first[name])


def test_the_step_is_in_the_state_and_changes_by_commit_only() -> None:
    module = make()
    module(**inputs())
    module.eval()(**inputs(1))
    assert module.state_dict() == {"_extra_state": {"step": 0}}
    for _ in range(5):
        module.commit()
    other = make()
    other.load_state_dict(module.state_dict())
    assert other.get_extra_state() == {"step": 5}
    assert_same(module(**inputs(2)), other(**inputs(2)))


# Properties


@pytest.mark.parametrize("seed", range(3))
def test_the_map_of_an_absent_class_has_no_influence(seed: int) -> None:
    """Absent from one picture, and absent from the whole batch."""
    tags = [[1, 0, 0], [0, 1, 0], [1, 0, 0]]
    batch = inputs(seed, tags)
    absent = torch.tensor(tags)[:, :, None, None] == 0
    noise = torch.Generator().manual_seed(seed + 50)
    changed = []
    for cam in batch["maps"]:
        other = 9 * torch.randn(cam[:, 1:].shape, generator=noise)
        changed.append(torch.cat([cam[:, :1], other.where(absent, cam[:, 1:])], dim=1))
    assert_same(make()(**{**batch, "maps": tuple(changed)}), make()(**batch))


def test_the_background_channel_has_no_influence() -> None:
    batch = inputs()
    changed = tuple(torch.cat([-7 * cam[:, :1], cam[:, 1:]], dim=1) for cam in batch["maps"])
    assert_same(make()(**{**batch, "maps": changed}), make()(**batch))


def test_order_of_the_batch_does_not_matter() -> None:
    """The draws are of places in the batch, so the intra-view term takes every pixel here."""
    module = make(hard_share=1.0, kept_share=1.0)
    batch, order = inputs(), torch.tensor([2, 0, 1])
    moved = {
        "maps": tuple(cam[order] for cam in batch["maps"]),
        "embeddings": tuple((None, v[order]) for _, v in batch["embeddings"]),
        "image": batch["image"],
        "tags": batch["tags"][order],
    }
    expected, found = module(**batch), module(**moved)
    for name in TERMS:
        torch.testing.assert_close(found[name], expected[name])


@pytest.mark.parametrize(
    "tags", [[[0, 0, 0], [0, 0, 0]], [[1, 0, 0], [1, 0, 0]], [[1, 0, 0], [0, 0, 0]]]
)
@pytest.mark.parametrize("dead", ["nothing", "maps", "embeddings"])
def test_no_class_one_class_and_dead_inputs_are_finite(tags: list[list[int]], dead: str) -> None:
    """All background, one class with pictures of nothing; zero maps; zero embeddings."""
    batch = inputs(0, tags)
    if dead == "maps":
        batch["maps"] = tuple(torch.zeros_like(cam) for cam in batch["maps"])
    if dead == "embeddings":
        zero = tuple((None, torch.zeros_like(v)) for _, v in batch["embeddings"])
        batch["embeddings"] = zero
    batch = with_gradients(batch)
    terms = make()(**batch)
    assert all(torch.isfinite(term) and term >= 0 for term in terms.values())
    sum(terms.values()).backward()
    assert all(torch.isfinite(v.grad).all() for _, v in batch["embeddings"])
    if tags[0][0] == 0 or dead != "nothing":
        assert not any(terms.values()), "nothing to compare with"


def test_an_ideal_map_costs_less_than_a_shuffled_one() -> None:
    """Embeddings tell the objects; maps that show them agree with that, shuffled maps do not."""
    generator = torch.Generator().manual_seed(2)
    cam = torch.zeros(C, C + 1, SIDE, SIDE)
    v = torch.zeros(C, D, SIDE, SIDE)
    v[:, 0] = 1.0
    for c in range(C):  # picture c shows class c + 1 in the left half
        cam[c, c + 1, :, :2] = 1.0
        v[c, 0, :, :2] = 0.0
        v[c, c + 1, :, :2] = 1.0
    v = v + 0.05 * torch.rand(v.shape, generator=generator)
    cells = torch.randperm(SIDE * SIDE, generator=generator)
    shuffled = cam.flatten(2)[:, :, cells].unflatten(2, (SIDE, SIDE))

    def loss(maps: Tensor) -> dict[str, Tensor]:
        return make()((maps, maps), ((None, v), (None, v)), torch.empty(0), torch.eye(C))

    ideal, random = loss(cam), loss(shuffled)
    for name in TERMS:
        assert ideal[name] < 0.5 * random[name], name


# On the baselines

CLASSES = ("a", "b", "c")
CROP = 32
SEAM = ["classification", "minimum", "equivariance", "cross_equivariance"]
EPS = ["classification", "saliency"]
RIGID = ["equivariance", "cross_equivariance"]
Build = Callable[..., Method]


@pytest.fixture(scope="module")
def build(
    tiny_run: Callable[..., MethodChoice],
    tiny_network: NetworkParams,
    tiny_cam_params: TrainCamParams,
    cpu: Any,
) -> Build:
    def make_method(**changes: Any) -> Method:
        torch.manual_seed(3)
        run = tiny_run(contrast="ppc", **changes)
        return build_method(CLASSES, run, tiny_network, tiny_cam_params).train()

    return make_method


def make_batch(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "image": torch.randn(3, 3, CROP, CROP, generator=generator),
        "tags": torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 1.0, 1.0]]),
        "saliency": torch.rand(3, 1, CROP, CROP, generator=generator),
    }


@pytest.mark.parametrize(
    ("baseline", "equivariance", "pcm", "terms"),
    [
        ("cam", "auto", False, ["classification"]),
        ("seam", "auto", True, SEAM),
        ("eps", "auto", True, EPS + RIGID),
        ("eps", False, False, EPS),
    ],
)
def test_ppc_on_every_baseline(
    build: Build, baseline: str, equivariance: str | bool, pcm: bool, terms: list[str]
) -> None:
    method = build(baseline=baseline, equivariance=equivariance, gamma=0.7)
    found = method.losses(make_batch())
    assert list(found) == ["loss", *terms, *TERMS]
    assert all(term.ndim == 0 and torch.isfinite(term) for term in found.values())
    own, contrast = sum(found[name] for name in terms), sum(found[name] for name in TERMS)
    torch.testing.assert_close(found["loss"], own + 0.7 * contrast)
    network = method.network
    assert (network.pcm is not None) is pcm
    assert network.projector_class is None
    assert network.projector_pixel is not None


def test_ppc_reaches_projector_and_backbone_only(build: Build) -> None:
    method = build(baseline="seam")
    found = method.losses(make_batch())
    sum(found[name] for name in TERMS).backward()
    reached = {
        name.split(".")[0]
        for name, parameter in method.network.named_parameters()
        if parameter.grad is not None and parameter.grad.any()
    }
    assert reached == {"backbone", "projector_pixel"}


def test_parameters_reach_the_contrast(build: Build) -> None:
    method = build(baseline="cam", k=9, intra_view=False, hard_share=0.8, seed=4)
    settings = method.contrast.params
    assert (settings.k, settings.intra_view, settings.hard_share) == (9, False, 0.8)
    assert list(method.losses(make_batch())) == ["loss", "classification", *TERMS[:2]]


def test_commit_counts_the_step_of_a_method(build: Build) -> None:
    method = build(baseline="cam")
    first = method.losses(make_batch())
    method.commit()
    assert method.state_dict()["contrast._extra_state"] == {"step": 1}
    assert method.losses(make_batch())["intra_view"] != first["intra_view"]
