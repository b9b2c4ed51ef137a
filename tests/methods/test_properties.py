"""What every method promises, whatever its terms: order, absent classes, memory, hard batches.

At the level of `Method` on a tiny network, for every baseline with every contrast; below that, what
an ideal map costs, and the gradients that no other test checks.

Legend: N batch, C foreground classes, R = C+1 rows or channels, background first, h w map cells.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from hsc.cam.network import CamMaps
from hsc.losses import maps, seam
from hsc.losses.class_level import class_contrast, class_representations
from hsc.losses.eps import saliency_loss, saliency_prediction
from hsc.losses.pixel import pixel_contrast, pixel_level, pixel_prototypes
from hsc.losses.ppc import batch_prototypes, intra_view_contrast, semi_hard_contrast
from hsc.losses.prototypes import Prototypes
from hsc.losses.roi import clamped_similarity, pool_region, push_apart, roi_contrast
from hsc.methods.method import Method
from hsc.methods.training import build_method
from hsc.params.method import MethodChoice
from hsc.params.recipe import NetworkParams, TrainCamParams

CLASSES = ("a", "b", "c")
C, CROP = len(CLASSES), 32
EVERY_PIXEL = 10**4  # more than a batch has
FEW = 3
CONTRASTS = {
    "none": [],
    "ppc": ["cross_prototype", "cross_label", "intra_view"],
    "hsc": ["roi", "class", "pixel"],
}
METHODS = [
    ("cam", "none", "auto"),
    ("cam", "ppc", "auto"),
    ("cam", "hsc", "auto"),
    ("seam", "none", "auto"),
    ("seam", "ppc", "auto"),
    ("seam", "hsc", "auto"),
    ("eps", "none", "auto"),
    ("eps", "none", True),
    ("eps", "ppc", "auto"),
    ("eps", "ppc", False),
    ("eps", "hsc", "auto"),
    ("eps", "hsc", False),
]
every_method = pytest.mark.parametrize(("baseline", "contrast", "equivariance"), METHODS)
few = settings(deadline=None, max_examples=5, derandomize=True)
seeds = st.integers(0, 10**6)
Batch = dict[str, Tensor]
Build = Callable[..., Method]


@pytest.fixture(scope="module")
def build(
    tiny_run: Callable[..., MethodChoice],
    tiny_network: NetworkParams,
    tiny_cam_params: TrainCamParams,
    cpu: Any,
) -> Build:
    def make(baseline: str, contrast: str, equivariance: str | bool, **changes: Any) -> Method:
        torch.manual_seed(3)
        run = tiny_run(baseline=baseline, contrast=contrast, equivariance=equivariance, **changes)
        return build_method(CLASSES, run, tiny_network, tiny_cam_params).train()

    return make


def make_batch(seed: int, tags: list[list[int]]) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    n = len(tags)
    return {
        "image": torch.randn(n, 3, CROP, CROP, generator=generator),
        "tags": torch.tensor(tags, dtype=torch.float32),
        "saliency": torch.rand(n, 1, CROP, CROP, generator=generator),
    }


def remember(method: Method, seed: int = 99) -> Method:
    """Give HSC prototypes of every class, else its class term is 0."""
    method.losses(make_batch(seed, [[1, 1, 0], [0, 1, 1], [1, 0, 1]]))
    method.commit()
    return method


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor], names: list[str]) -> None:
    for name in names:
        torch.testing.assert_close(
            found[name],
            expected[name],
            rtol=1e-4,
            atol=1e-5,
            msg=lambda m, name=name: f"{name}: {m}",
        )


def moved(found: dict[str, Tensor], expected: dict[str, Tensor]) -> set[str]:
    """Names of the terms that differ, the total left out."""
    same = {name for name in expected if torch.allclose(found[name], expected[name], 1e-5, 1e-6)}
    return set(expected) - same - {"loss"}


# Order of the batch


@every_method
@few
@given(
    seed=seeds,
    tags=st.lists(st.lists(st.integers(0, 1), min_size=C, max_size=C), min_size=2, max_size=4),
    data=st.data(),
)
def test_order_of_the_batch(
    build: Build,
    baseline: str,
    contrast: str,
    equivariance: str | bool,
    seed: int,
    tags: list[list[int]],
    data: st.DataObject,
) -> None:
    """Every term, of two steps, so the prototypes too.

    PPC's intra-view term draws its random half by the place in the batch: with both shares at 1 it
    takes every pixel. The prototypes take FEW pixels: far more cells of background which no class
    claims have exactly the same activation, 1.
    """
    changes: dict[str, Any] = {"k_pixel": FEW, "k_class": FEW} if contrast == "hsc" else {}
    if contrast == "ppc":
        changes = {"k": FEW, "hard_share": 1.0, "kept_share": 1.0}
    order = torch.tensor(data.draw(st.permutations(range(len(tags)))))
    method, other = (remember(build(baseline, contrast, equivariance, **changes)) for _ in "12")
    for step in range(2):
        batch = make_batch(seed + step, tags)
        expected = method.losses(batch)
        found = other.losses({name: value[order] for name, value in batch.items()})
        assert_close(found, expected, list(expected))
        method.commit()
        other.commit()


# Absent classes

SEES_ABSENT_MAPS = {"classification", "saliency"}
"""Terms that depend on an absent class's map by definition: in the tags' loss it is a negative, and
in EPS's softmax over all channels it takes probability from the others."""
SEES_ABSENT_BY_PCM = {"minimum", "cross_equivariance"}
"""Terms on the refined maps, and so is a contrast which those drive. SEAM's PCM knows no tags: of
each cell's map it propagates the strongest class only, and that may be an absent one."""


def sees_absent(method: Method) -> set[str]:
    by_pcm = SEES_ABSENT_BY_PCM if method.network.pcm is not None else set()
    driven = {*CONTRASTS["ppc"], *CONTRASTS["hsc"]}
    view = CamMaps(torch.zeros(1, 3, 2, 2), torch.zeros(1), torch.empty(0))
    refined = method.baseline.contrast_map(view, torch.zeros(1, 2)) is view.refined
    by_contrast = driven if refined else set()
    return SEES_ABSENT_MAPS | by_pcm | by_contrast


@contextmanager
def absent_maps_replaced(method: Method, tags: Tensor, seed: int) -> Iterator[None]:
    """While it lasts, the network says noise of the classes that a picture does not have."""
    noise = torch.Generator().manual_seed(seed)
    absent = F.pad(tags == 0, (1, 0), value=False)[:, :, None, None]

    def replaced(cam: Tensor) -> Tensor:
        return torch.where(absent, 9 * torch.randn(cam.shape, generator=noise), cam)

    def hook(module: Any, given: Any, result: CamMaps) -> CamMaps:
        refined = None if result.refined is None else replaced(result.refined)
        return CamMaps(replaced(result.cam), refined, result.features)

    handle = method.network.register_forward_hook(hook)
    yield
    handle.remove()


@every_method
@few
@given(
    seed=seeds,
    tags=st.lists(st.lists(st.integers(0, 1), min_size=C, max_size=C), min_size=1, max_size=3),
)
def test_maps_of_absent_classes(
    build: Build,
    baseline: str,
    contrast: str,
    equivariance: str | bool,
    seed: int,
    tags: list[list[int]],
) -> None:
    """Cam and refined map of the classes that a picture does not have reach no other term."""
    method = remember(build(baseline, contrast, equivariance))
    batch = make_batch(seed, tags)
    expected = method.losses(batch)
    with absent_maps_replaced(method, batch["tags"], seed):
        found = method.losses(batch)
    for name in set(expected) - SEES_ABSENT_MAPS - {"loss"}:
        assert torch.equal(found[name], expected[name]), name


@every_method
@few
@given(seed=seeds, absent=st.integers(0, C - 1), scale=st.floats(-9, 9))
def test_logits_of_a_class_that_no_picture_has(
    build: Build,
    baseline: str,
    contrast: str,
    equivariance: str | bool,
    seed: int,
    absent: int,
    scale: float,
) -> None:
    """The head's weights of the class are changed: everything behind the head runs on that."""
    method = remember(build(baseline, contrast, equivariance))
    tags = [[int(i != absent) for i in range(C)], [int(i == (absent + 1) % C) for i in range(C)]]
    batch = make_batch(seed, tags)
    expected = method.losses(batch)
    change_head(method, absent, seed, scale)
    assert moved(method.losses(batch), expected) <= sees_absent(method)


def change_head(method: Method, absent: int, seed: int, scale: float) -> None:
    row = method.network.head.weight.data[absent + 1]
    row += scale * torch.rand(row.shape, generator=torch.Generator().manual_seed(seed))


@every_method
def test_what_is_exempt_does_see_absent_classes(
    build: Build, baseline: str, contrast: str, equivariance: str | bool
) -> None:
    """So that no exemption above outlives its reason: each term moves for some of the batches."""
    changes = {"crf": "none"} if contrast == "hsc" else {}  # a CRF may undo a change of labels
    found: set[str] = set()
    for seed in range(4):
        method = remember(build(baseline, contrast, equivariance, **changes))
        batch = make_batch(seed, [[1, 0, 0], [1, 1, 0]])
        expected = method.losses(batch)
        change_head(method, absent=2, seed=seed, scale=9.0)
        found |= moved(method.losses(batch), expected)
    assert found == sees_absent(method) & set(expected)


# Memory


@every_method
def test_buffers_change_by_commit_only(
    build: Build, baseline: str, contrast: str, equivariance: str | bool
) -> None:
    """Prototypes, PPC's step and the norms' statistics: in training, evaluation and backward."""
    method = remember(build(baseline, contrast, equivariance))
    before = copy.deepcopy(dict(method.state_dict()))
    batch = make_batch(1, [[1, 0, 0], [0, 1, 1]])
    for mode in (True, False):
        method.train(mode)
        method.losses(batch)["loss"].backward()
        method.network(batch["image"])
        with torch.no_grad():
            method.losses(batch)
        assert not differing(before, method.state_dict())
    method.commit()
    changed = differing(before, method.state_dict())
    assert all(name.startswith("contrast.") for name in changed)
    assert bool(changed) == (contrast != "none")


def differing(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """The names of what a checkpoint would have otherwise, tensors and numbers."""
    assert after.keys() == before.keys()
    return {
        name
        for name, value in before.items()
        if not (torch.equal(after[name], value) if torch.is_tensor(value) else after[name] == value)
    }


# Hard batches

TAGGINGS = {
    "all background": [[0, 0, 0], [0, 0, 0]],
    "one of them background": [[0, 0, 0], [1, 1, 1]],
    "one class": [[0, 1, 0], [0, 1, 0]],
    "one picture": [[1, 0, 0]],
    "a class never seen": [[1, 1, 0], [1, 0, 0]],
}


def spoilt(batch: Batch, what: str) -> Batch:
    image, saliency = batch["image"], batch["saliency"]
    if what == "constant":
        image, saliency = torch.full_like(image, 0.7), torch.ones_like(saliency)
    if what == "zero":
        image, saliency = torch.zeros_like(image), torch.zeros_like(saliency)
    if what == "duplicates":
        image, saliency = image[:1].expand_as(image), saliency[:1].expand_as(saliency)
    return {**batch, "image": image, "saliency": saliency}


@every_method
@settings(deadline=None, max_examples=8, derandomize=True)
@given(
    seed=seeds,
    tagging=st.sampled_from(sorted(TAGGINGS)),
    picture=st.sampled_from(["noise", "constant", "zero", "duplicates"]),
    known=st.booleans(),
)
def test_hard_batches_are_finite(
    build: Build,
    baseline: str,
    contrast: str,
    equivariance: str | bool,
    seed: int,
    tagging: str,
    picture: str,
    known: bool,
) -> None:
    """Terms, gradients and prototypes of two steps, from an empty memory and from a full one."""
    method = build(baseline, contrast, equivariance, **{} if contrast == "none" else {"gamma": 1.0})
    if known:
        remember(method)
    for step in range(2):
        batch = spoilt(make_batch(seed + step, TAGGINGS[tagging]), picture)
        found = method.losses(batch)
        assert all(torch.isfinite(term) and term >= 0 for term in found.values()), found
        method.zero_grad(set_to_none=True)
        found["loss"].backward()
        for name, parameter in method.network.named_parameters():
            assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name
        method.commit()
        for name, buffer in method.named_buffers():
            assert torch.isfinite(buffer.float()).all(), name


# An ideal map

SIDE = 6
TAU = 0.1


class Scene:
    """Three pictures, one class each in a block of its own, whose features name the class."""

    def __init__(self) -> None:
        self.labels = torch.zeros(C, SIDE, SIDE, dtype=torch.int64)
        for c in range(C):
            self.labels[c, c : c + 3, 1:5] = c + 1
        one_hot = F.one_hot(self.labels, C + 1).permute(0, 3, 1, 2).double()  # (N, R, h, w)
        self.features = one_hot.clone()
        self.truth = one_hot
        self.tags = torch.eye(C, dtype=torch.float64)
        self.saliency = (self.labels > 0)[:, None].double()
        self.prototypes = Prototypes(torch.eye(C + 1).double(), torch.ones(C + 1).bool())

    def shuffled(self, seed: int) -> Tensor:
        """The true maps with their cells in another order, by picture the same."""
        cells = torch.randperm(SIDE * SIDE, generator=torch.Generator().manual_seed(seed))
        return self.truth.flatten(2)[:, :, cells].view_as(self.truth)


def roi_cost(scene: Scene, cam: Tensor) -> Tensor:
    region = cam[:, 1:].amax(dim=1) > 0.5
    return roi_contrast(scene.features, region, ~region, scene.features, ~region)


def class_cost(scene: Scene, cam: Tensor) -> Tensor:
    batch = class_representations(scene.features, cam[:, 1:], scene.tags, 4)
    memory = Prototypes(scene.prototypes.vectors[1:], scene.prototypes.present[1:])
    return class_contrast(batch, memory, memory, TAU)


def pixel_cost(scene: Scene, cam: Tensor) -> Tensor:
    label, u = cam.argmax(dim=1), scene.features
    own = pixel_prototypes(u, cam, label, EVERY_PIXEL)
    return pixel_level(u, label, own, TAU, own, label, scene.prototypes)


def cross_prototype_cost(scene: Scene, cam: Tensor) -> Tensor:
    other = batch_prototypes(scene.features, scene.truth, EVERY_PIXEL)
    return pixel_contrast(scene.features, cam.argmax(dim=1), other, TAU)


def cross_label_cost(scene: Scene, cam: Tensor) -> Tensor:
    own = batch_prototypes(scene.features, cam, EVERY_PIXEL)
    return pixel_contrast(scene.features, scene.labels, own, TAU)


def intra_view_cost(scene: Scene, cam: Tensor) -> Tensor:
    own, label = batch_prototypes(scene.features, cam, EVERY_PIXEL), cam.argmax(dim=1)
    draw = torch.rand(label.shape, generator=torch.Generator().manual_seed(0))
    return intra_view_contrast(scene.features, label, own, draw, TAU, 0.6, 0.5)


def equivariance_cost(scene: Scene, cam: Tensor) -> Tensor:
    return seam.equivariance(scene.truth, cam, scene.tags)


def cross_equivariance_cost(scene: Scene, cam: Tensor) -> Tensor:
    return seam.cross_equivariance(scene.truth, scene.truth, scene.truth, cam, scene.tags)


def saliency_cost(scene: Scene, cam: Tensor) -> Tensor:
    return saliency_loss(12 * cam, scene.saliency, scene.tags)


@pytest.mark.parametrize(
    "cost",
    [
        roi_cost,
        class_cost,
        pixel_cost,
        cross_prototype_cost,
        cross_label_cost,
        intra_view_cost,
        equivariance_cost,
        cross_equivariance_cost,
        saliency_cost,
    ],
)
@settings(deadline=None, max_examples=15, derandomize=True)
@given(seed=seeds)
def test_ideal_map_costs_less_than_a_shuffled_one(
    cost: Callable[[Scene, Tensor], Tensor], seed: int
) -> None:
    """Classification and min pooling are not here: they do not see where an activation is."""
    scene = Scene()
    assert cost(scene, scene.truth) < 0.5 * cost(scene, scene.shuffled(seed))


@settings(deadline=None, max_examples=10, derandomize=True)
@given(seed=seeds)
def test_min_pooling_sees_how_much_is_active_not_where(seed: int) -> None:
    scene = Scene()
    everywhere = F.pad(scene.tags, (1, 0))[:, :, None, None].expand_as(scene.truth)
    assert seam.adaptive_min_pooling(scene.truth, scene.tags) == 0
    assert seam.adaptive_min_pooling(scene.shuffled(seed), scene.tags) == 0
    assert seam.adaptive_min_pooling(everywhere, scene.tags) == 1


# Gradients


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


FIXED_TAGS = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
TARGET = torch.tensor([0, 1, 2, 3, 255, 1])
THREE_OF_FOUR = torch.tensor([True, True, True, False])
VALID = torch.tensor([True, False, True])
LABELS = torch.arange(18).reshape(2, 3, 3) % 5
REGION = LABELS > 1


def saliency_parts(cam: Tensor) -> tuple[Tensor, ...]:
    parts = saliency_prediction(cam, normal(1, 2, 1, 6, 6).sigmoid(), FIXED_TAGS)
    return parts.prediction, parts.foreground, parts.background


GRADIENTS: dict[str, tuple[Callable[..., Any], list[Tensor]]] = {
    "pixel_contrast": (
        lambda u: pixel_contrast(
            u, LABELS, Prototypes(maps.unit(normal(9, 4, 5)), THREE_OF_FOUR), 0.5
        ),
        [normal(0, 2, 5, 3, 3)],
    ),
    "semi_hard_contrast": (
        lambda s: semi_hard_contrast(s, TARGET, THREE_OF_FOUR, 0.5, 0.6, 0.5),
        [normal(1, 6, 4)],
    ),
    "semi_hard_contrast, all": (
        lambda s: semi_hard_contrast(s, TARGET, THREE_OF_FOUR, 0.5, 1.0, 1.0),
        [normal(2, 6, 4)],
    ),
    "pool_region": (lambda u: pool_region(u, REGION)[0], [normal(3, 2, 4, 3, 3)]),
    "clamped_similarity": (clamped_similarity, [normal(4, 3, 5), normal(5, 2, 5)]),
    "push_apart, mean": (
        lambda a, b: push_apart(a, b, VALID, VALID),
        [normal(6, 3, 5).abs(), normal(7, 3, 5).abs()],
    ),
    "push_apart, sum": (
        lambda a, b: push_apart(a, b, VALID, VALID, "sum"),
        [normal(6, 3, 5).abs(), normal(7, 3, 5).abs()],
    ),
    "class_representations and class_contrast": (
        lambda u, weight: class_contrast(
            class_representations(u, weight, FIXED_TAGS, 3),
            Prototypes(normal(10, C, 4), torch.ones(C).bool()),
            None,
            0.5,
        ),
        [normal(8, 2, 4, 3, 3), normal(11, 2, C, 3, 3).abs()],
    ),
    "saliency_prediction": (saliency_parts, [3 * normal(12, 2, C + 1, 3, 3)]),
    "disagreement": (
        lambda refined: seam.disagreement(normal(13, 2, C + 1, 3, 3).sigmoid(), refined),
        [normal(14, 2, C + 1, 3, 3).sigmoid()],
    ),
    "background_activation": (maps.background_activation, [normal(15, 2, C, 3, 3).sigmoid()]),
    "resize": (lambda cam: maps.resize(cam, (5, 4)), [normal(16, 2, 2, 3, 3)]),
    "resize, corners apart": (
        lambda cam: maps.resize(cam, (2, 2), False),
        [normal(17, 2, 2, 3, 3)],
    ),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_that_no_other_test_checks(name: str) -> None:
    function, arguments = GRADIENTS[name]
    leaves = [argument.requires_grad_() for argument in arguments]
    assert gradcheck(function, leaves)
