"""The losses against the numbers of the published implementations (SEAM, EPS, HSC, PPC)."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from hsc.losses import classification, eps, maps, pixel, roi, seam
from hsc.losses.prototypes import Prototypes, info_nce
from tests.golden import assert_close, cases, load, statistics

SEAM_FIXTURE = "03_seam_losses"
ROI_FIXTURE = "05a_simminloss"
PPC_FIXTURE = "06a_ppc_contrast"


def leaf(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array).clone().requires_grad_()


@pytest.mark.parametrize("path", cases(SEAM_FIXTURE))
def test_seam_losses_and_gradients(path: Path) -> None:
    inputs, outputs, _ = load(path)
    tags = torch.from_numpy(inputs["label"])
    cam1, cam2, rv1, rv2 = (leaf(inputs[k]) for k in ("cam1", "cam2", "cam_rv1", "cam_rv2"))
    got = {
        "loss_cls1": classification.multilabel_soft_margin(cam1, tags),
        "loss_cls2": classification.multilabel_soft_margin(cam2, tags),
        "loss_rvmin1": seam.adaptive_min_pooling(rv1, tags),
        "loss_rvmin2": seam.adaptive_min_pooling(rv2, tags),
        "loss_er": seam.equivariance(cam1, cam2, tags),
        "loss_ecr": seam.cross_equivariance(cam1, rv1, cam2, rv2, tags),
    }
    got["loss_cls"] = (got["loss_cls1"] + got["loss_cls2"]) / 2 + (
        got["loss_rvmin1"] + got["loss_rvmin2"]
    ) / 2
    got["loss"] = got["loss_cls"] + got["loss_er"] + got["loss_ecr"]
    got["loss"].backward()

    size = (cam2.shape[2], cam2.shape[3])
    gate = maps.tag_gate(cam2, tags)
    at_view2 = {
        name: maps.resize(maps.max_norm(torch.from_numpy(inputs[name])), size) * gate
        for name in ("cam1", "cam2", "cam_rv1", "cam_rv2")
    }
    got["loss_ecr1"] = seam.disagreement(at_view2["cam2"], at_view2["cam_rv1"])
    got["loss_ecr2"] = seam.disagreement(at_view2["cam1"], at_view2["cam_rv2"])

    leaves = {"cam1": cam1, "cam2": cam2, "cam_rv1": rv1, "cam_rv2": rv2}
    got |= {f"grad_{name}": tensor.grad for name, tensor in leaves.items()}
    assert set(got) == set(outputs)
    for name, value in got.items():
        assert_close(SEAM_FIXTURE, name, value, outputs[name])


@pytest.mark.parametrize(
    ("fixture", "path"),
    [
        pytest.param(fixture, *case.values, id=f"{fixture}-{case.id}", marks=case.marks)
        for fixture in ("04a_eps_loss", "05c_hsc_eps_loss")
        for case in cases(fixture)
    ],
)
def test_saliency_loss(fixture: str, path: Path) -> None:
    """Theirs has the background last: it is moved to the front, and the gradient back."""
    inputs, outputs, meta = load(path)
    cam = leaf(np.roll(inputs["cam"], 1, axis=1))
    arguments = (
        cam,
        torch.from_numpy(inputs["saliency"]),
        torch.from_numpy(inputs["label"]),
        meta["tau"],
        meta["lam"],
    )
    predicted = eps.saliency_prediction(*arguments)
    loss = eps.saliency_loss(*arguments)
    loss.backward()
    assert cam.grad is not None
    got = {
        "fg_map": predicted.foreground,
        "bg_map": predicted.background,
        "sal_pred": predicted.prediction,
        "iou_driver": predicted.overlap,
        "loss": loss,
        "grad_cam": cam.grad.roll(-1, dims=1),
    }
    assert set(got) == set(outputs)
    for name, value in got.items():
        assert_close(fixture, name, value, outputs[name])


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("path", cases(ROI_FIXTURE))
def test_push_apart(path: Path, reduction: str) -> None:
    inputs, outputs, _ = load(path)
    a, b = leaf(inputs["a"]), leaf(inputs["b"])
    valid_a, valid_b = (torch.ones(len(x), dtype=torch.bool) for x in (a, b))
    loss = roi.push_apart(a, b, valid_a, valid_b, reduction)
    loss.backward()
    got = {"loss": loss, "grad_a": a.grad, "grad_b": b.grad, "sim": roi.clamped_similarity(a, b)}
    for name, value in got.items():
        assert_close(ROI_FIXTURE, f"{name}_{reduction}", value, outputs[f"{name}_{reduction}"])


def ppc_features(meta: dict, view: int) -> Tensor:
    """The features that PPC's fixture was recorded with, (N, 128, h, w)."""
    recipe = meta["feature_recipe"][f"f_proj{view}"]
    drawn = np.random.RandomState(recipe["seed"]).standard_normal(recipe["shape"])
    return leaf(np.maximum(drawn.astype(np.float32), 0))


def ppc_maps(inputs: dict, view: int) -> Tensor:
    """A view's refined map at view 2's size, (N, 21, 16, 16)."""
    size = tuple(inputs["cam_rv2_down"].shape[2:])
    return maps.resize(torch.from_numpy(inputs[f"cam_rv{view}_down"]), size)


@pytest.mark.parametrize("view", [1, 2])
@pytest.mark.parametrize("path", cases(PPC_FIXTURE))
def test_ppc_normalised_maps(path: Path, view: int) -> None:
    """Sound where theirs is not negative: all-zero channels give -1 there, minima less than 0."""
    inputs, outputs, _ = load(path)
    name = f"norm_cam{view}"
    expected = outputs[name][:, 1:].clip(min=0)  # channel 0 is the constant background score
    assert_close(PPC_FIXTURE, name, maps.max_norm(ppc_maps(inputs, view))[:, 1:], expected)


@pytest.mark.parametrize("view", [1, 2])
@pytest.mark.parametrize("path", cases(PPC_FIXTURE))
def test_ppc_pseudo_labels(path: Path, view: int) -> None:
    inputs, outputs, meta = load(path)
    tags = torch.from_numpy(inputs["label"])
    cam_fg = maps.max_norm(ppc_maps(inputs, view))[:, 1:] * tags[:, :, None, None]
    labels = maps.pseudo_label(cam_fg, meta["bg_threshold"])
    name = f"pseudo_label{view}"
    assert_close(PPC_FIXTURE, name, labels.flatten(), outputs[name])


@pytest.mark.parametrize("view", [1, 2])
@pytest.mark.parametrize("path", cases(PPC_FIXTURE))
def test_ppc_prototypes_of_present_classes(path: Path, view: int) -> None:
    """PPC's top 32 are of all pixels, whatever their label, and of features not yet normalised.

    Equation (10) restricts them to the pixels labelled so. The restriction is lifted here by
    labelling every pixel with the class in question. PPC's background row is the arbitrary top-k
    of a constant, and its rows of absent classes have no meaning: neither can bind.
    """
    inputs, outputs, meta = load(path)
    tags = torch.from_numpy(inputs["label"])
    cam = ppc_maps(inputs, view)
    u2 = maps.resize(ppc_features(meta, view), (cam.shape[2], cam.shape[3]))
    activation = maps.max_norm(cam)
    present = [c for c in range(1, 21) if tags[:, c - 1].any()]
    assert not set(present) & set(meta["tie_sensitive_prototype_rows"])
    got = []
    for c in present:
        labels = torch.full((cam.shape[0], *cam.shape[2:]), c)
        prototypes = pixel.pixel_prototypes(u2, activation, labels, k=32)
        assert prototypes.present.nonzero().flatten().tolist() == [c]
        got.append(prototypes.vectors[c])
    name = f"prototypes{view}"
    assert_close(PPC_FIXTURE, name, torch.stack(got), outputs[name][present])


@pytest.mark.parametrize("path", cases(PPC_FIXTURE))
def test_ppc_contrast_given_the_prototypes(path: Path) -> None:
    """Cross-view and cross-CAM terms and their gradients, with all 21 published prototypes.

    PPC's intra-view term, of which equation (12) kept neither the choice of negatives nor that of
    pixels, stands in tests/golden_ppc.py.
    """
    inputs, outputs, meta = load(path)
    size = tuple(inputs["cam_rv2_down"].shape[2:])
    batch = inputs["label"].shape[0]
    features = [ppc_features(meta, view) for view in (1, 2)]
    u2 = [maps.unit(maps.resize(f, size)) for f in features]
    labels = [
        torch.from_numpy(outputs[f"pseudo_label{view}"]).long().view(batch, *size)
        for view in (1, 2)
    ]
    every = torch.ones(21, dtype=torch.bool)
    own = [Prototypes(torch.from_numpy(outputs[f"prototypes{view}"]), every) for view in (1, 2)]
    tau = 0.1
    got = {
        "loss_nce1": pixel.pixel_contrast(u2[0], labels[0], own[1], tau),
        "loss_nce2": pixel.pixel_contrast(u2[1], labels[1], own[0], tau),
        "loss_cross_nce2_1": pixel.pixel_contrast(u2[0], labels[1], own[0], tau),
        "loss_cross_nce2_2": pixel.pixel_contrast(u2[1], labels[0], own[1], tau),
    }
    got["loss_cross_nce"] = 0.1 * (got["loss_nce1"] + got["loss_nce2"]) / 2
    got["loss_cross_nce2"] = 0.1 * (got["loss_cross_nce2_1"] + got["loss_cross_nce2_2"]) / 2
    (got["loss_cross_nce"] + got["loss_cross_nce2"]).backward()

    pixels = u2[0].permute(0, 2, 3, 1).flatten(0, 2)
    for name, target, prototypes in [
        ("nce_pixel_cross_proto_v1", labels[0], own[1]),
        ("nce_pixel_cross_label_v1", labels[1], own[0]),
    ]:
        similarity = pixels @ prototypes.vectors.T
        got[name] = info_nce(similarity, target.flatten(), every, tau, reduction="none")
    for view, drawn in enumerate(features, 1):
        got[f"grad_f_proj{view}_ch16"] = drawn.grad[:, ::16]
        got[f"grad_f_proj{view}_stats"] = statistics(drawn.grad)
    for name, value in got.items():
        assert_close(PPC_FIXTURE, name, value, outputs[name])
