"""PPC against the numbers of its published implementation, in what is sound there.

Normalised maps, pseudo labels and the cross-view terms: tests/golden_losses.py.
"""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from hsc.losses import maps, ppc
from hsc.losses.pixel import pixels
from hsc.losses.prototypes import Prototypes
from hsc.methods.contrast import Setting
from hsc.methods.contrasts.ppc import PpcContrast, PpcParams
from tests.golden import assert_close, cases, load, statistics

FIXTURE = "06a_ppc_contrast"
TAU, HARD, KEPT = 0.1, 0.6, 0.5
ALL_ROWS = torch.ones(21, dtype=torch.bool)
INTRA = {1: ("intra_A1_v1", "intra_A2_v1"), 2: ("intra_A3_v2", "intra_A4_v2")}
"""By view: exp of the similarity to the own prototype, and the denominator."""


def features(meta: dict, view: int, size: tuple[int, int]) -> Tensor:
    """What the projector said in the recording, (N, 128, h, w) at view 2's map size."""
    recipe = meta["feature_recipe"][f"f_proj{view}"]
    drawn = np.random.RandomState(recipe["seed"]).standard_normal(recipe["shape"])
    return maps.resize(torch.from_numpy(np.maximum(drawn.astype(np.float32), 0)), size)


def published(path: Path, view: int) -> tuple[Tensor, Tensor, Prototypes, dict[str, np.ndarray]]:
    """Features (N, 128, h, w), labels (N, h, w), all 21 prototypes, the outputs."""
    inputs, outputs, meta = load(path)
    size = inputs["cam_rv2_down"].shape[2:]
    labels = torch.from_numpy(outputs[f"pseudo_label{view}"]).long().view(-1, *size)
    prototypes = torch.from_numpy(outputs[f"prototypes{view}"])
    return features(meta, view, size), labels, Prototypes(prototypes, ALL_ROWS), outputs


@pytest.mark.parametrize("view", [1, 2])
@pytest.mark.parametrize("path", cases(FIXTURE))
def test_prototypes_of_present_classes(path: Path, view: int) -> None:
    """Given their activations, which count in pictures without the class too (ours are zeroed).

    Theirs of the background is the top-k of a constant, those of absent classes mean nothing.
    """
    inputs, outputs, meta = load(path)
    size = inputs["cam_rv2_down"].shape[2:]
    activation = maps.max_norm(maps.resize(torch.from_numpy(inputs[f"cam_rv{view}_down"]), size))
    got = ppc.batch_prototypes(features(meta, view, size), activation, k=32)
    present = [c for c in range(1, 21) if inputs["label"][:, c - 1].any()]
    assert got.present[present].all()
    name = f"prototypes{view}"
    assert_close(FIXTURE, name, got.vectors[present], outputs[name][present])


@pytest.mark.parametrize("view", [1, 2])
@pytest.mark.parametrize("path", cases(FIXTURE))
def test_semi_hard_denominators(path: Path, view: int) -> None:
    """Where the own prototype is among the first three, theirs are the ten that we take.

    Elsewhere the own prototype has one of the ranks 4 to 13 in their list and counts twice, or
    comes after them, and they take one harder negative more and one easier one less.
    """
    v, labels, prototypes, outputs = published(path, view)
    numerator, denominator = INTRA[view]
    similarity = pixels(maps.unit(v)) @ prototypes.vectors.T
    target = labels.flatten()
    own = similarity.gather(1, target[:, None])
    assert_close(FIXTURE, numerator, (own.squeeze(1) / TAU).exp(), outputs[numerator])
    loss = ppc.semi_hard_contrast(similarity, target, ALL_ROWS, TAU, HARD, KEPT)
    found = (own.squeeze(1) / TAU + loss).exp()
    sound = (similarity > own).sum(dim=1) < 3
    assert sound.sum() > 30
    assert_close(FIXTURE, denominator, found[sound], outputs[denominator][sound.numpy()])
    # The others, read as they do it: ranks 4 to 13 among all, beside the own prototype.
    ranked = similarity.sort(dim=1, descending=True).values[:, 3:13]
    theirs = torch.cat([own, ranked], dim=1).div(TAU).exp().sum(dim=1)
    assert_close(FIXTURE, denominator, theirs, outputs[denominator])


@pytest.mark.parametrize("path", cases(FIXTURE))
def test_hard_and_random_pixels(path: Path) -> None:
    """Their pixels, classes and averages, with the draws of Python's generator and their
    numerators and denominators in the place of ours: the sum over both views, times 0.1."""
    _, outputs, meta = load(path)
    generator = random.Random(meta["python_random_seed"])
    total = 0.0
    for view in (1, 2):
        v, labels, prototypes, _ = published(path, view)
        for _ in range(labels.numel()):  # drawn and never used there
            generator.sample(range(21), 10)
        draw = torch.ones(labels.shape)
        for c in labels.unique():
            members = (labels == c).flatten().nonzero().flatten()
            chosen = generator.sample(range(len(members)), len(members) // 2)
            draw.view(-1)[members[chosen]] = 0.0
        numerator, denominator = (torch.from_numpy(outputs[name]) for name in INTRA[view])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                ppc,
                "semi_hard_contrast",
                lambda *_, a=numerator, b=denominator: -torch.log(a / b),
            )
            total += ppc.intra_view_contrast(
                maps.unit(v), labels, prototypes, draw, TAU, HARD, KEPT
            )
    got = (0.1 * total / 2).reshape(1)
    assert_close(FIXTURE, "loss_intra_nce_pyrandom", got, outputs["loss_intra_nce_pyrandom"])


@pytest.mark.parametrize("path", cases(FIXTURE))
def test_the_method_is_made_of_these(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From raw maps and features: with their prototypes, cross terms and gradients are theirs."""
    inputs, outputs, meta = load(path)
    settings = PpcParams(
        gamma=0.1,
        temperature=TAU,
        k=32,
        background_score=meta["bg_threshold"],
        cross_prototype=True,
        cross_label=True,
        intra_view=False,
        hard_share=HARD,
        kept_share=KEPT,
    )
    theirs = iter(torch.from_numpy(outputs[f"prototypes{view}"]) for view in (1, 2))
    monkeypatch.setattr(
        "hsc.methods.contrasts.ppc.batch_prototypes", lambda *_: Prototypes(next(theirs), ALL_ROWS)
    )
    drawn = []
    for view in (1, 2):
        recipe = meta["feature_recipe"][f"f_proj{view}"]
        normal = np.random.RandomState(recipe["seed"]).standard_normal(recipe["shape"])
        drawn.append(torch.from_numpy(normal.astype(np.float32)).relu_().requires_grad_())
    cams = tuple(torch.from_numpy(inputs[f"cam_rv{view}_down"]) for view in (1, 2))
    terms = PpcContrast(settings, Setting(20, 0, 0))(
        cams,
        tuple((None, v) for v in drawn),
        torch.empty(0),
        torch.from_numpy(inputs["label"]),
    )
    got = {
        "loss_cross_nce": settings.gamma * terms["cross_prototype"],
        "loss_cross_nce2": settings.gamma * terms["cross_label"],
    }
    sum(got.values()).backward()
    for view, v in enumerate(drawn, 1):
        got[f"grad_f_proj{view}_ch16"] = v.grad[:, ::16]
        got[f"grad_f_proj{view}_stats"] = statistics(v.grad)
    for name, value in got.items():
        assert_close(FIXTURE, name, value, outputs[name])
