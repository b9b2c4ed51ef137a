"""The contrast as a module: its prototypes, its switches, what influences what."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from hsc.losses.class_level import class_contrast, class_representations
from hsc.losses.maps import (
    background_activation,
    otsu_threshold,
    pseudo_label,
    resize,
    unit,
)
from hsc.losses.pixel import pixel_contrast, pixel_prototypes
from hsc.losses.prototypes import Prototypes
from hsc.losses.roi import pool_region, push_apart
from hsc.methods.contrast import Setting, driving_cam
from hsc.methods.contrasts.hsc import ContrastView, HscContrast, HscParams

ALL_ON = HscParams(
    gamma=0.1,
    temperature=0.1,
    momentum=0.9,
    roi=True,
    class_level=True,
    pixel=True,
    cross_supervision=True,
    momentum_prototypes=True,
    crf="none",
    k_class=4,
    k_pixel=6,
    background_score=0.4,
)
C, D1, D2, SIDE = 3, 5, 4, 16
MEMORIES = ("class1", "class2", "pixel1", "pixel2")
Inputs = dict[str, Any]


def forbidden(image: Tensor, label: Tensor) -> Tensor:
    raise AssertionError("the CRF must not be called")


def clear_left(image: Tensor, label: Tensor) -> Tensor:
    """Stands for the CRF: the left half becomes background."""
    label = label.clone()
    label[..., : label.shape[-1] // 2] = 0
    return label


def make(
    refine: Callable[[Tensor, Tensor], Tensor] = forbidden, crf_size: int = 16, **changes: Any
) -> HscContrast:
    setting = Setting(C, D1, D2, crf_size=crf_size)
    return HscContrast(ALL_ON.model_copy(update=changes), setting, refine)


def inputs(seed: int = 0, tags: list[list[int]] | None = None, size1: int = 8) -> Inputs:
    """Two views of random maps and embeddings, map sizes `size1` and 4."""
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator) + 0.05

    label = torch.tensor(tags or [[1, 1, 0], [0, 1, 1], [1, 0, 1]], dtype=torch.float32)
    n = len(label)
    return {
        "maps": tuple(rand(n, C + 1, s, s) for s in (size1, 4)),
        "embeddings": tuple((rand(n, D1, s, s), rand(n, D2, s, s)) for s in (size1, 4)),
        "image": rand(n, 3, SIDE, SIDE),
        "tags": label,
    }


def with_gradients(batch: Inputs) -> Inputs:
    return {
        **batch,
        "maps": tuple(m.clone().requires_grad_() for m in batch["maps"]),
        "embeddings": tuple(
            tuple(u.clone().requires_grad_() for u in view) for view in batch["embeddings"]
        ),
    }


def snapshot(module: HscContrast) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def trained(module: HscContrast, seed: int = 5) -> HscContrast:
    """The module after one batch with every class."""
    module(**inputs(seed))
    module.commit()
    return module


def labels_of(batch: Inputs) -> list[Tensor]:
    cams = [driving_cam(cam, batch["tags"], (4, 4)) for cam in batch["maps"]]
    return [pseudo_label(cam, ALL_ON.background_score) for cam in cams]


# The driving CAM


def test_driving_cam_is_resized_normalised_gated_and_detached() -> None:
    batch = inputs()
    cam = (batch["maps"][0] - 0.5).requires_grad_()
    result = driving_cam(cam, batch["tags"], (4, 4))
    assert result.shape == (3, C, 4, 4)
    assert not result.requires_grad
    assert result.min() == 0
    assert 0.999 < result.max() <= 1
    assert torch.all(result[batch["tags"] == 0] == 0)
    peaks = result.amax(dim=(2, 3))[batch["tags"] == 1]
    assert torch.all(peaks > 0.999), "each class by itself"


# Prototypes


def test_prototypes_are_buffers_in_the_state() -> None:
    module = make()
    names = {f"{m}_{part}" for m in MEMORIES for part in ("vectors", "present")}
    assert set(module.state_dict()) == names
    assert set(dict(module.named_buffers())) == names
    assert not list(module.parameters())
    for memory, shape in (("class1", (C, D1)), ("pixel2", (C + 1, D2))):
        assert module.memory(memory).vectors.shape == shape
        assert module.memory(memory).present.dtype == torch.bool
        assert not module.memory(memory).present.any(), "no class is known at the start"


def test_state_restores_the_prototypes() -> None:
    module = trained(make())
    other = make()
    other.load_state_dict(module.state_dict())
    assert_same(module.state_dict(), other.state_dict())
    assert_same(module(**inputs(9)), other(**inputs(9)))


def test_prototypes_change_by_commit_only() -> None:
    module = trained(make())
    before = snapshot(module)
    module(**inputs(1))
    assert_same(before, snapshot(module))
    with torch.no_grad():
        module.eval()(**inputs(2))
    assert_same(before, snapshot(module))
    module.commit()
    after = snapshot(module)
    assert not torch.equal(before["class1_vectors"], after["class1_vectors"])
    module.commit()
    assert_same(after, snapshot(module))


def test_commit_without_a_batch_does_nothing() -> None:
    module = make()
    before = snapshot(module)
    module.commit()
    assert_same(before, snapshot(module))


def test_commit_takes_the_last_batch_only() -> None:
    module, other = trained(make()), trained(make())
    module(**inputs(1))
    module(**inputs(2))
    other(**inputs(2))
    module.commit()
    other.commit()
    assert_same(snapshot(module), snapshot(other))


def test_prototypes_carry_no_gradient() -> None:
    module = make()
    module(**with_gradients(inputs()))
    module.commit()
    assert not any(buffer.requires_grad for buffer in module.buffers())


def one_hot_batch(direction: int) -> Inputs:
    """One image of class 1, whose map peaks at cell 5; features there are a unit vector of length
    3, elsewhere the last unit vector."""
    cam = torch.zeros(1, C + 1, 4, 4)
    cam[0, 1, 1, 1] = 2.0
    features = []
    for channels in (D1, D2):
        u = torch.zeros(1, channels, 4, 4)
        u[0, -1] = 1.0
        u[0, :, 1, 1] = 0.0
        u[0, direction, 1, 1] = 3.0
        features.append(u)
    return {
        "maps": (cam, cam),
        "embeddings": (tuple(features), tuple(features)),
        "image": torch.zeros(1, 3, SIDE, SIDE),
        "tags": torch.tensor([[1.0, 0.0, 0.0]]),
    }


def test_commit_follows_equations_7_and_11_by_hand() -> None:
    module = make(k_class=1, k_pixel=1)
    module(**one_hot_batch(0))
    module.commit()
    first = torch.tensor([1.0, 0.0])
    for name in MEMORIES:
        memory, row = module.memory(name), 0 if name.startswith("class") else 1
        torch.testing.assert_close(memory.vectors[row, :2], first)
    module(**one_hot_batch(1))
    module.commit()
    # P <- 0.9 r + 0.1 P with r = (0, 1), P = (1, 0), then to length 1.
    second = torch.tensor([0.1, 0.9]) / (0.01 + 0.81) ** 0.5
    for name in MEMORIES:
        memory, row = module.memory(name), 0 if name.startswith("class") else 1
        torch.testing.assert_close(memory.vectors[row, :2], second)
        absent = memory.vectors[row + 1 :]
        assert not absent.any(), "a class that was not there keeps its row"
        assert memory.present.tolist()[row:] == [True, False, False]
    background = module.memory("pixel1").vectors[0]
    torch.testing.assert_close(background, torch.eye(D2)[-1])


@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.9, 1.0])
def test_commit_follows_the_equations_for_both_views(momentum: float) -> None:
    module = trained(make(momentum=momentum))
    before, batch = snapshot(module), inputs(1)
    module(**batch)
    module.commit()
    for i in range(2):
        cam = driving_cam(batch["maps"][i], batch["tags"], (4, 4))
        u1, u2 = (resize(u, (4, 4)) for u in batch["embeddings"][i])
        r = class_representations(u1, cam, batch["tags"], 4)
        activation = torch.cat([background_activation(cam), cam], 1)
        q = pixel_prototypes(unit(u2), activation, labels_of(batch)[i], 6)
        for name, new in ((f"class{i + 1}", unit(r.vectors)), (f"pixel{i + 1}", q.vectors)):
            mixed = momentum * new + (1 - momentum) * before[f"{name}_vectors"]
            torch.testing.assert_close(module.memory(name).vectors, unit(mixed))


def test_class_that_is_not_in_the_batch_keeps_its_prototypes() -> None:
    module = trained(make())
    before = snapshot(module)
    module(**inputs(1, tags=[[1, 0, 0], [1, 1, 0]]))
    module.commit()
    for name in MEMORIES:
        row = 2 if name.startswith("class") else 3
        vectors = module.memory(name).vectors
        assert torch.equal(vectors[row], before[f"{name}_vectors"][row])
        assert not torch.equal(vectors[0], before[f"{name}_vectors"][0])


def test_loss_uses_the_prototypes_from_before() -> None:
    module = trained(make())
    memories = {name: Prototypes(*(x.clone() for x in module.memory(name))) for name in MEMORIES}
    batch = inputs(1)
    terms = module(**batch)
    expected = torch.zeros(())
    for i in range(2):
        cam = driving_cam(batch["maps"][i], batch["tags"], (4, 4))
        u1 = resize(batch["embeddings"][i][0], (4, 4))
        r = class_representations(u1, cam, batch["tags"], 4)
        own, other = memories[f"class{i + 1}"], memories[f"class{2 - i}"]
        expected = expected + class_contrast(r, own, other, 0.1) / 2
    torch.testing.assert_close(terms["class"], expected)
    assert_same(terms, module(**batch))
    module.commit()
    after = module(**batch)
    assert not torch.equal(terms["class"], after["class"])
    assert not torch.equal(terms["pixel"], after["pixel"])


def test_first_batch_has_no_class_loss_but_a_graph() -> None:
    batch = with_gradients(inputs())
    terms = make()(**batch)
    assert terms["class"] == 0
    terms["class"].backward()
    assert batch["embeddings"][0][0].grad.abs().sum() == 0


# Switches


@pytest.mark.parametrize(
    ("switch", "term"), [("roi", "roi"), ("class_level", "class"), ("pixel", "pixel")]
)
def test_level_switch_removes_its_term_only(switch: str, term: str) -> None:
    whole, part = trained(make()), trained(make(**{switch: False}))
    expected, found = whole(**inputs(1)), part(**inputs(1))
    assert set(expected) == {"roi", "class", "pixel"}
    expected.pop(term)
    assert_same(expected, found)
    for name in MEMORIES:
        if name.startswith(term):
            assert not part.memory(name).present.any()
        else:
            assert torch.equal(part.memory(name).vectors, whole.memory(name).vectors)


def crossed(first: Inputs, second: Inputs) -> Inputs:
    """View 1 of the first batch with view 2 of the second."""
    both = {key: (first[key][0], second[key][1]) for key in ("maps", "embeddings")}
    return {**first, **both}


@pytest.mark.parametrize("cross", [True, False])
def test_without_cross_supervision_each_view_is_by_itself(cross: bool) -> None:
    """A sum over the views, exchanged between two batches, stays: f(a) + g(b) + f(c) + g(d)."""
    module = trained(make(cross_supervision=cross))
    a, b = inputs(1), inputs(2)
    straight = [module(**a), module(**b)]
    exchanged = [module(**crossed(a, b)), module(**crossed(b, a))]
    for term in ("roi", "class", "pixel"):
        first = straight[0][term] + straight[1][term]
        second = exchanged[0][term] + exchanged[1][term]
        # The class level meets the other view's memory, not its batch: separable in either case.
        same = torch.isclose(first, second, rtol=1e-5)
        assert same == (not cross or term == "class"), term


def test_cross_supervision_in_the_class_level_adds_the_other_views_memory() -> None:
    on, off = trained(make()), trained(make(cross_supervision=False))
    batch = inputs(1)
    with_other, without = on(**batch)["class"], off(**batch)["class"]
    with torch.no_grad():
        off.class1_vectors.copy_(on.class2_vectors)
        off.class2_vectors.copy_(on.class1_vectors)
    torch.testing.assert_close(with_other, without + off(**batch)["class"])


def test_roi_term_is_equation_5_on_both_views() -> None:
    batch = inputs(1)
    u = [resize(view[0], (4, 4)) for view in batch["embeddings"]]
    roi, background = [], []
    for features, label in zip(u, labels_of(batch), strict=True):
        roi.append(pool_region(features, label > 0))
        background.append(pool_region(features, label == 0))

    def push(o: int, b: int) -> Tensor:
        (r_o, valid_o), (r_b, valid_b) = roi[o], background[b]
        return push_apart(r_o, r_b, valid_o, valid_b)

    own = (push(0, 0) + push(1, 1)) / 2
    torch.testing.assert_close(make(cross_supervision=False)(**batch)["roi"], own)
    torch.testing.assert_close(make()(**batch)["roi"], own + (push(0, 1) + push(1, 0)) / 2)


def test_roi_term_knows_no_prototypes() -> None:
    """Nothing pulls a region to what was seen before."""
    assert torch.equal(make()(**inputs(1))["roi"], trained(make())(**inputs(1))["roi"])


@pytest.mark.parametrize("cross", [True, False])
def test_pixel_term_is_equation_13_on_both_views(cross: bool) -> None:
    module, batch = trained(make(cross_supervision=cross)), inputs(1)
    u2 = [unit(resize(view[1], (4, 4))) for view in batch["embeddings"]]
    labels, own = labels_of(batch), []
    for i in range(2):
        cam = driving_cam(batch["maps"][i], batch["tags"], (4, 4))
        activation = torch.cat([background_activation(cam), cam], 1)
        own.append(pixel_prototypes(u2[i], activation, labels[i], 6))
    expected = torch.zeros(())
    for i, other in ((0, 1), (1, 0)):
        terms = [(labels[i], own[i]), (labels[i], module.memory(f"pixel{i + 1}"))]
        if cross:
            terms += [(labels[i], own[other]), (labels[other], own[i])]
        expected = expected + sum(pixel_contrast(u2[i], *pair, 0.1) for pair in terms) / 2
    torch.testing.assert_close(module(**batch)["pixel"], expected)


def test_momentum_prototypes_switch_is_the_last_term_of_equation_13() -> None:
    on, off = trained(make()), trained(make(momentum_prototypes=False))
    assert_same(snapshot(on), snapshot(off))
    batch = inputs(1)
    expected, found = on(**batch), off(**batch)
    assert torch.equal(expected["roi"], found["roi"])
    assert torch.equal(expected["class"], found["class"])
    last = [
        pixel_contrast(
            unit(resize(batch["embeddings"][i][1], (4, 4))),
            labels_of(batch)[i],
            on.memory(f"pixel{i + 1}"),
            0.1,
        )
        for i in range(2)
    ]
    torch.testing.assert_close(expected["pixel"], found["pixel"] + (last[0] + last[1]) / 2)


def test_momentum_prototypes_do_nothing_before_the_first_commit() -> None:
    first, second = make(), make(momentum_prototypes=False)
    assert_same(first(**inputs()), second(**inputs()))


def test_crf_switch_changes_the_levels_it_names() -> None:
    batch = inputs(1)
    found = {}
    for crf in ("none", "pixel", "all"):
        module = make(forbidden if crf == "none" else clear_left, crf=crf)
        module.load_state_dict(trained(make()).state_dict())
        found[crf] = module(**batch)
    none, pixel, everywhere = found["none"], found["pixel"], found["all"]
    assert torch.equal(none["roi"], pixel["roi"])
    assert not torch.equal(none["roi"], everywhere["roi"])
    assert not torch.equal(none["pixel"], pixel["pixel"])
    assert torch.equal(pixel["pixel"], everywhere["pixel"])
    assert torch.equal(none["class"], pixel["class"])
    assert torch.equal(none["class"], everywhere["class"])


def test_crf_that_changes_nothing_changes_nothing_at_map_size() -> None:
    plain = make()(**inputs())
    refined = make(lambda image, label: label, crf="all", crf_size=4)(**inputs())
    assert_same(plain, refined)


@pytest.mark.parametrize("size", [4, 10, SIDE])
@pytest.mark.parametrize("axis", [2, 3])
def test_a_mirrored_batch_has_the_same_terms(axis: int, size: int) -> None:
    """Labels that lie beside their cells teach the maps to wander, more with every step."""
    batch = inputs(3)
    mirrored = {
        "maps": tuple(cam.flip(axis) for cam in batch["maps"]),
        "embeddings": tuple(tuple(u.flip(axis) for u in view) for view in batch["embeddings"]),
        "image": batch["image"].flip(axis),
        "tags": batch["tags"],
    }
    found, expected = (
        make(lambda image, label: label, crf="all", crf_size=size)(**given)
        for given in (mirrored, batch)
    )
    for name, term in expected.items():
        torch.testing.assert_close(found[name], term)


def test_a_refined_label_is_that_of_its_cell() -> None:
    """A cell's place in the picture is the one from which `resize` brings it there."""
    seen = []

    class Spy(HscContrast):
        def _roi(self, view: ContrastView, other: ContrastView) -> Tensor:
            seen.append(view.crf_label)
            return super()._roi(view, other)

    cells = torch.arange(16).reshape(4, 4) % (C + 1)

    def refine(image: Tensor, labels: Tensor) -> Tensor:
        """The labels of the cells, each at its place: corners in the corners."""
        places = (torch.arange(SIDE) * 3 / (SIDE - 1)).round().long()
        return cells[places][:, places].expand_as(labels).clone()

    params = ALL_ON.model_copy(update={"crf": "all"})
    Spy(params, Setting(C, D1, D2, crf_size=SIDE), refine)(**inputs())
    assert all(torch.equal(label, cells.expand_as(label)) for label in seen)


@pytest.mark.parametrize("size", [SIDE, 10])
def test_crf_sees_the_whole_picture_at_the_size_asked_for(size: int) -> None:
    seen = []

    def spy(image: Tensor, label: Tensor) -> Tensor:
        seen.append((image, label))
        return label

    batch = inputs()
    make(spy, crf="all", crf_size=size)(**batch)
    ((image, labels),) = seen  # both views at once
    assert image.shape == (3, 3, size, size)
    assert labels.shape == (2, 3, size, size)
    assert labels.dtype == torch.int64
    assert labels.min() >= 0
    assert labels.max() <= C
    if size == SIDE:
        assert torch.equal(image, batch["image"])


def test_refined_labels_decide_the_roi() -> None:
    """Refined to all background there is no ROI, so nothing to push."""
    terms = make(lambda image, label: torch.zeros_like(label), crf="all")(**inputs())
    assert terms["roi"] == 0
    terms = make(lambda image, label: torch.ones_like(label), crf="all")(**inputs())
    assert terms["roi"] == 0


@pytest.mark.parametrize("crf", ["none", "all"])
def test_the_maps_own_score_takes_the_place_of_the_constant(crf: str) -> None:
    """A batch whose own score is that constant has the same terms."""
    batch = inputs(2, tags=[[1, 0, 0], [0, 1, 1]])
    keep = {"crf": crf, "cross_supervision": False}

    def module(which: str, constant: float) -> HscContrast:
        params = ALL_ON.model_copy(update={**keep, "background_score": constant})
        setting = Setting(C, D1, D2, crf_size=4, background_score=which)
        return HscContrast(params, setting, lambda image, label: label)

    two = {**batch, "maps": (batch["maps"][1], batch["maps"][1]),
           "embeddings": (batch["embeddings"][1], batch["embeddings"][1])}  # fmt: skip
    cam = driving_cam(two["maps"][0], two["tags"], (4, 4))
    own = otsu_threshold(cam.amax(dim=1).flatten()).item()
    expected = module("method", own)(**two)
    assert_same(module("auto", 0.01)(**two), expected)
    assert not torch.equal(module("method", 0.01)(**two)["roi"], expected["roi"])


def test_gamma_is_not_applied_here() -> None:
    assert_same(make(gamma=0.1)(**inputs()), make(gamma=7.0)(**inputs()))


# What has no influence


def test_maps_of_absent_classes_and_background_have_no_influence() -> None:
    first, second = trained(make(clear_left, crf="all")), trained(make(clear_left, crf="all"))
    batch = inputs(1)
    changed = inputs(1)
    absent = torch.cat([torch.ones(3, 1), 1 - batch["tags"]], 1).bool()  # and the background
    for cam in changed["maps"]:
        cam[absent] = 100 * torch.rand(cam[absent].shape)
    assert_same(first(**batch), second(**changed))
    first.commit()
    second.commit()
    assert_same(snapshot(first), snapshot(second))


def test_order_of_the_batch_does_not_matter() -> None:
    first, second = trained(make(clear_left, crf="all")), trained(make(clear_left, crf="all"))
    batch, order = inputs(1), torch.tensor([2, 0, 1])
    moved = {
        "maps": tuple(cam[order] for cam in batch["maps"]),
        "embeddings": tuple(tuple(u[order] for u in view) for view in batch["embeddings"]),
        "image": batch["image"][order],
        "tags": batch["tags"][order],
    }
    expected, found = first(**batch), second(**moved)
    for term in expected:
        torch.testing.assert_close(expected[term], found[term])
    first.commit()
    second.commit()
    for name in MEMORIES:
        torch.testing.assert_close(first.memory(name).vectors, second.memory(name).vectors)


def test_views_are_treated_alike() -> None:
    """With maps of one size, exchanging the views exchanges the memories and nothing else."""
    first, second = trained(make()), trained(make())
    for name in ("class", "pixel"):
        for part in ("vectors", "present"):
            getattr(second, f"{name}1_{part}").copy_(getattr(first, f"{name}2_{part}"))
            getattr(second, f"{name}2_{part}").copy_(getattr(first, f"{name}1_{part}"))
    batch = inputs(1, size1=4)
    exchanged = {**batch, **{key: batch[key][::-1] for key in ("maps", "embeddings")}}
    expected, found = first(**batch), second(**exchanged)
    for term in expected:
        torch.testing.assert_close(expected[term], found[term])


def test_arguments_are_left_alone() -> None:
    batch, same = inputs(1), inputs(1)
    module = trained(make(clear_left, crf="all"))
    module(**batch)
    module.commit()
    for i in range(2):
        assert torch.equal(batch["maps"][i], same["maps"][i])
        for u, before in zip(batch["embeddings"][i], same["embeddings"][i], strict=True):
            assert torch.equal(u, before)
    assert torch.equal(batch["image"], same["image"])
    assert torch.equal(batch["tags"], same["tags"])


# Hard batches and gradients


def spoilt(batch: Inputs, what: str) -> Inputs:
    maps, embeddings = batch["maps"], batch["embeddings"]
    if what == "zero maps":
        maps = tuple(torch.zeros_like(cam) for cam in maps)
    if what == "negative maps":
        maps = tuple(-cam for cam in maps)
    if what == "constant maps":
        maps = tuple(torch.ones_like(cam) for cam in maps)
    if what == "dead embeddings":
        embeddings = tuple(tuple(torch.zeros_like(u) for u in view) for view in embeddings)
    if what == "equal embeddings":
        embeddings = tuple(tuple(torch.ones_like(u) for u in view) for view in embeddings)
    return {**batch, "maps": maps, "embeddings": embeddings}


@pytest.mark.parametrize("known", [True, False], ids=["after a batch", "at the start"])
@pytest.mark.parametrize(
    "tags",
    [[[0, 0, 0], [0, 0, 0]], [[0, 1, 0], [0, 1, 0]], [[1, 0, 0]], [[0, 0, 0], [1, 1, 1]]],
    ids=["no tags", "single class", "single image", "one without tags"],
)
@pytest.mark.parametrize(
    "what",
    ["", "zero maps", "negative maps", "constant maps", "dead embeddings", "equal embeddings"],
)
def test_hard_batches_are_finite(known: bool, tags: list[list[int]], what: str) -> None:
    module = make(clear_left, crf="all")
    if known:  # class 3 is never seen
        module(**inputs(5, tags=[[1, 1, 0]]))
        module.commit()
    for seed in (1, 2):
        batch = with_gradients(spoilt(inputs(seed, tags=tags), what))
        terms = module(**batch)
        assert all(torch.isfinite(term) and term >= 0 for term in terms.values()), terms
        sum(terms.values()).backward()
        for view in batch["embeddings"]:
            for u in view:
                assert torch.isfinite(u.grad).all()
        module.commit()
        for buffer in module.buffers():
            assert torch.isfinite(buffer.float()).all()


def test_class_never_seen_stays_out_of_the_denominators() -> None:
    """With one class known there is nothing to tell it from: its loss is 0."""
    module = make()
    module(**inputs(5, tags=[[1, 0, 0]]))
    module.commit()
    assert module.memory("class1").present.tolist() == [True, False, False]
    assert module(**inputs(1, tags=[[1, 0, 0]]))["class"] == pytest.approx(0, abs=1e-6)
    assert module(**inputs(1))["class"] == pytest.approx(0, abs=1e-6)
    module.commit()
    assert module(**inputs(2))["class"] > 0.01


def test_gradients_reach_both_embeddings_of_both_views_and_no_map() -> None:
    module = trained(make(clear_left, crf="all"))
    batch = with_gradients(inputs(1))
    terms = module(**batch)
    touched = {"roi": 0, "class": 0, "pixel": 1}  # which of (u1, u2)
    for term, position in touched.items():
        for view in batch["embeddings"]:
            used, unused = view[position], view[1 - position]
            gradient, other = torch.autograd.grad(
                terms[term], (used, unused), retain_graph=True, allow_unused=True
            )
            assert gradient.abs().sum() > 0, term
            assert other is None, term
    for cam in batch["maps"]:
        (gradient,) = torch.autograd.grad(
            sum(terms.values()), (cam,), retain_graph=True, allow_unused=True
        )
        assert gradient is None
