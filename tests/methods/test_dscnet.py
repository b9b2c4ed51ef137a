"""DSCNet's contrast as a module: its switches, its class nodes, on the network's features."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from hsc.base.errors import HscError
from hsc.losses.dscnet import group_contrast
from hsc.losses.groups import group_labels, group_means, group_shares, pixel_groups
from hsc.losses.maps import pseudo_label
from hsc.methods.contrast import Setting, driving_cam
from hsc.methods.contrasts.dscnet import DscNetContrast, DscNetParams
from hsc.methods.training import build_method
from hsc.params.method import MethodChoice
from hsc.params.recipe import NetworkParams, TrainCamParams

C, D = 3, 6
Inputs = dict[str, Any]


def make(views: int = 2, **changes: Any) -> DscNetContrast:
    return DscNetContrast(
        DscNetParams(**changes), Setting(C, 0, 0, feature_channels=D, views=views)
    )


def inputs(seed: int = 0) -> Inputs:
    """Two views, maps of 6 and 4 cells a side."""
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator)

    return {
        "maps": tuple(rand(3, C + 1, side, side) for side in (6, 4)),
        "embeddings": tuple((rand(3, D, side, side), None) for side in (6, 4)),
        "image": torch.empty(0),
        "tags": torch.tensor([[1.0, 1, 0], [0, 1, 1], [1, 0, 0]]),
    }


def test_every_view_is_a_picture_of_its_own() -> None:
    """Six pictures in one contrast: the same as one view of a batch of twice the size."""
    batch = inputs()
    parts = []
    for cam, (features, _) in zip(batch["maps"], batch["embeddings"], strict=True):
        foreground = driving_cam(cam, batch["tags"], tuple(features.shape[2:]))
        groups = pixel_groups(features, foreground, batch["tags"])
        shares = group_shares(groups, pseudo_label(foreground, 0.1), C + 1)
        labels = group_labels(groups, shares)
        parts.append((group_means(features, groups), labels, groups.present))
    expected = group_contrast(*map(torch.cat, zip(*parts, strict=True)), 0.1)
    found = make(sgcl=False, alpha=0.5)(**batch)
    assert list(found) == ["groups"]
    torch.testing.assert_close(found["groups"], 0.5 * expected)


def test_switches_add_exactly_their_terms() -> None:
    """M1, M2 and M3 of Table IV."""
    batch = inputs()
    contrasts = [make(), make(sgcl=False), make(pgcl=False)]
    for contrast in contrasts:
        contrast(**inputs(1))
        contrast.commit()
    both, first, second = (contrast(**batch) for contrast in contrasts)
    assert list(both) == ["groups", "nodes"]
    torch.testing.assert_close(both["groups"], first["groups"])
    torch.testing.assert_close(both["nodes"], second["nodes"])


def test_nothing_is_asked_of_nodes_that_nobody_has_seen() -> None:
    assert make(pgcl=False)(**inputs())["nodes"] == 0


def test_nodes_change_by_commit_only_and_by_the_momentum() -> None:
    contrast = make(momentum=0.9)
    contrast(**inputs())
    assert not contrast.seen.any()
    contrast.commit()
    assert contrast.seen.tolist() == [True] * (C + 1)
    first = contrast.nodes.clone()
    contrast(**inputs(1))
    assert torch.equal(contrast.nodes, first)
    other = make()
    other(**inputs(1))
    other.commit()
    contrast.commit()
    torch.testing.assert_close(contrast.nodes, 0.9 * first + 0.1 * other.nodes)
    again = contrast.nodes.clone()
    contrast.commit()
    assert torch.equal(contrast.nodes, again), "once a batch"


def test_a_class_that_is_not_in_the_batch_keeps_its_node() -> None:
    contrast = make()
    contrast(**inputs())
    contrast.commit()
    before = contrast.nodes.clone()
    alone = {**inputs(1), "tags": torch.tensor([[1.0, 0, 0]] * 3)}
    contrast(**alone)
    contrast.commit()
    assert torch.equal(contrast.nodes[2:], before[2:])
    assert not torch.equal(contrast.nodes[:2], before[:2])


def test_a_late_start_fills_the_nodes_first() -> None:
    late, always = make(start=2), make()
    for step in range(4):
        terms, expected = late(**inputs(step)), always(**inputs(step))
        if step < 2:
            assert terms["groups"] == terms["nodes"] == 0
        else:
            assert {name: float(term) for name, term in terms.items()} == {
                name: float(term) for name, term in expected.items()
            }
        late.commit()
        always.commit()


def test_nodes_are_buffers_in_the_state() -> None:
    assert set(make().state_dict()) == {"nodes", "seen", "steps"}


def one_view(seed: int) -> Inputs:
    """An object of a class of its own on the left of each picture, background on the right."""
    cam, features = torch.zeros(3, C + 1, 6, 6), inputs(seed)["embeddings"][0][0]
    cam[range(3), range(1, 4), :, :3] = 1
    features[:, 0, :, :3] += 3
    return {"maps": (cam,), "embeddings": ((features, None),), "image": torch.empty(0),
            "tags": torch.eye(3)}  # fmt: skip


def test_of_one_view_the_last_groups_are_remembered() -> None:
    """A group that is alone in its batch has a partner from the batches before."""
    contrast, forgetful = make(views=1), make(views=1, queue=0)
    for seed in (1, 2):
        for each in (contrast, forgetful):
            terms = each(**one_view(seed))
            assert terms["groups"].isfinite()
            each.commit()
    assert terms["groups"] == 0, "without a queue"
    assert contrast(**one_view(3))["groups"] > 0
    assert set(contrast.state_dict()) - set(forgetful.state_dict()) == {"queued", "queued_count"}
    assert "queued" not in make(views=1, pgcl=False, dscl=False).state_dict()


def test_what_is_remembered_changes_by_commit_only() -> None:
    contrast = make(views=1)
    contrast(**one_view(1))
    assert not contrast.queued_count.any()
    contrast.commit()
    count = contrast.queued_count.clone()
    assert count.any()
    contrast.commit()
    assert torch.equal(contrast.queued_count, count), "once a batch"


def test_gradient_reaches_the_features_and_not_the_maps() -> None:
    batch = inputs()
    contrast = make()
    contrast(**inputs(1))
    contrast.commit()
    features = [one.clone().requires_grad_() for one, _ in batch["embeddings"]]
    maps = [cam.clone().requires_grad_() for cam in batch["maps"]]
    terms = contrast(
        tuple(maps), tuple((one, None) for one in features), batch["image"], batch["tags"]
    )
    sum(terms.values()).backward()
    assert all(one.grad is not None and one.grad.any() for one in features)
    assert all(cam.grad is None for cam in maps)
    assert contrast.nodes.grad is None


def test_a_batch_without_tags_counts_as_0() -> None:
    contrast = make(sgcl=False)
    terms = contrast(**{**inputs(), "tags": torch.zeros(3, C)})
    assert terms["groups"] == 0


def test_on_the_network_s_own_features(
    tiny_run: Callable[..., MethodChoice],
    tiny_network: NetworkParams,
    tiny_cam_params: TrainCamParams,
) -> None:
    """No projector is built, and the nodes are as wide as the backbone's features."""
    names = tuple("abc")
    method = build_method(names, tiny_run(contrast="dscnet"), tiny_network, tiny_cam_params)
    assert method.network.projector_class is None
    assert method.network.projector_pixel is None
    assert method.contrast.nodes.shape == (4, method.network.backbone.channels)
    batch = {"image": torch.randn(2, 3, 32, 32), "tags": torch.tensor([[1.0, 0, 1], [0, 1, 0]])}
    for _ in range(2):
        terms = method.losses(batch)
        method.commit()
    assert {"groups", "nodes", "second_classification"} < set(terms)
    gamma = method.contrast.params.gamma
    others = [terms[name] for name in terms if name not in ("loss", "groups", "nodes")]
    expected = sum(others) + gamma * (terms["groups"] + terms["nodes"])
    torch.testing.assert_close(terms["loss"], expected)


@pytest.mark.parametrize(
    ("switches", "said"),
    [
        ({"pgcl": False, "sgcl": False, "dscl": False}, r"dscnet\.pgcl and dscnet\.sgcl are both"),
        ({"pgcl": False}, r"dscnet\.dscl is true, but it stands on both"),
    ],
)
def test_what_stands_on_nothing_is_refused(
    tiny_run: Callable[..., MethodChoice], switches: dict[str, bool], said: str
) -> None:
    with pytest.raises(HscError, match=said):
        tiny_run(contrast="dscnet", dscnet=switches)


@pytest.mark.parametrize("baseline", ["seam", "eps"])
def test_the_second_cam_is_asked_what_the_baseline_asks(
    tiny_run: Callable[..., MethodChoice],
    tiny_network: NetworkParams,
    tiny_cam_params: TrainCamParams,
    baseline: str,
) -> None:
    """The contrast is of the plain CAM, and so are the baseline's own terms."""
    torch.manual_seed(0)
    built = [
        build_method(
            tuple("abc"),
            tiny_run(baseline=baseline, contrast="dscnet", dscnet={"dscl": dscl}),
            tiny_network,
            tiny_cam_params,
        )
        for dscl in (True, False)
    ]
    built[1].network.load_state_dict(
        {key: built[0].network.state_dict()[key] for key in built[1].network.state_dict()}
    )
    batch = {"image": torch.randn(2, 3, 32, 32), "tags": torch.tensor([[1.0, 0, 1], [0, 1, 0]])}
    batch["saliency"] = torch.rand(2, 1, 32, 32)
    with_second, without = (method.eval().losses(batch) for method in built)
    more = {"second_classification"} | ({"second_saliency"} if baseline == "eps" else set())
    assert set(with_second) - set(without) == more
    for name in without.keys() - {"loss"}:
        torch.testing.assert_close(with_second[name], without[name])
    added = sum(with_second[name] for name in more)
    torch.testing.assert_close(with_second["loss"], without["loss"] + added)
    # at the beginning it is the plain CAM, whose mean SEAM takes over pixels and not over cells
    began = with_second["second_classification"].item()
    assert began == pytest.approx(without["classification"].item(), rel=1e-2)


def test_the_network_has_the_nodes_of_the_last_batch(
    tiny_run: Callable[..., MethodChoice],
    tiny_network: NetworkParams,
    tiny_cam_params: TrainCamParams,
) -> None:
    method = build_method(tuple("abc"), tiny_run(contrast="dscnet"), tiny_network, tiny_cam_params)
    batch = {"image": torch.randn(2, 3, 32, 32), "tags": torch.tensor([[1.0, 0, 1], [0, 1, 0]])}
    method.losses(batch)
    assert not method.network.enrichment.seen.any()
    method.commit()
    assert method.network.enrichment.seen.all()
    assert torch.equal(method.network.enrichment.nodes, method.contrast.nodes)
