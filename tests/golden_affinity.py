"""PSA's parts against the numbers of the published implementations (fixtures 07a to 07f).

The published code takes only pairs whose first cell has the whole half disc of the radius around
it; here every pair inside the map counts. So the comparisons cut the published region out.

Letters: O offsets, h w map cells.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.reference_affinity import dense_affinity
from hsc.crf.dense import cam_probabilities
from hsc.psa.alpha_labels import merge_alpha
from hsc.psa.loss import affinity_loss, pair_sums
from hsc.psa.network import AffinityNetwork, affinity_network
from hsc.psa.pairs import PairLabels, pair_labels, pair_offsets, pair_windows
from hsc.psa.random_walk import pool_scores, random_walk, walk_cam
from hsc.weights.published import affinity_spec
from tests.golden import assert_close, cases, load
from tests.golden_networks import weights_of

OFFSETS = pair_offsets(5)


def published(pairs: Tensor, radius: int) -> Tensor:
    """The pairs (..., O, h, w) that the published code knows: (..., O, cells)."""
    height, width = pairs.shape[-2:]
    reach = radius - 1
    return pairs[..., : height - reach, reach : width - reach].flatten(-2)


@pytest.mark.parametrize("path", cases("07a_pair_indices"))
def test_pair_indices(path: Path) -> None:
    inputs, outputs, _ = load(path)
    radius, (height, width) = int(inputs["radius"]), inputs["size"].tolist()
    offsets = pair_offsets(radius)
    cells = torch.arange(height * width).view(height, width)
    second = torch.zeros(len(offsets), height, width, dtype=torch.int64)
    for index, offset in enumerate(offsets):
        here, there = pair_windows(offset, height, width)
        second[(index, *here)] = cells[there]
    assert_close(
        "07a_pair_indices", "indices_from", published(cells, radius), outputs["indices_from"]
    )
    assert_close(
        "07a_pair_indices", "indices_to", published(second, radius).flatten(), outputs["indices_to"]
    )


@pytest.mark.parametrize("path", cases("07b_affinity_labels"))
def test_pair_labels(path: Path) -> None:
    """In a batch of two, the other one mirrored."""
    inputs, outputs, _ = load(path)
    label = torch.from_numpy(inputs["label"])
    kinds = published_labels(pair_labels(torch.stack([label.flip(1), label]), OFFSETS))
    for kind, name in zip(kinds, ("bg", "fg", "neg"), strict=True):
        packed = np.packbits(kind[1].numpy())
        assert_close("07b_affinity_labels", f"{name}_packed", packed, outputs[f"{name}_packed"])
    sums = [float(kind[1].sum()) for kind in kinds]
    assert_close("07b_affinity_labels", "sums", sums, outputs["sums"])


def published_labels(labels: PairLabels) -> PairLabels:
    return PairLabels(*(published(kind, 5) for kind in labels))


@pytest.mark.parametrize("path", cases("07c_aff_net"))
@torch.no_grad()
def test_affinity_network(path: Path) -> None:
    """A published checkpoint, through its import; SEAM's copy takes a smaller radius on small maps,
    which here is a parameter of the network."""
    inputs, outputs, meta = load(path)
    radius = meta["radius_used"]
    affinity = network(meta["weight_scale"], radius)(torch.from_numpy(inputs["x"]))
    assert_close("07c_aff_net", "pairwise", published(affinity, radius), outputs["pairwise"])
    known = torch.zeros_like(affinity)
    reach, (height, width) = radius - 1, affinity.shape[2:]
    known[..., : height - reach, reach : width - reach] = 1
    dense = dense_affinity((affinity * known)[0], pair_offsets(radius))
    assert_close("07c_aff_net", "dense", dense, outputs["dense"])


def network(scale: float, radius: int) -> AffinityNetwork:
    with torch.device("meta"):
        built = affinity_network(affinity_spec() | {"radius": radius})
    built.load_state_dict(weights_of("psa", scale), assign=True)
    return built.eval()


@pytest.mark.parametrize("path", cases("07d_random_walk"))
def test_random_walk(path: Path) -> None:
    inputs, outputs, meta = load(path)
    scores = torch.from_numpy(cam_probabilities(inputs["cam"], meta["alpha"]))
    cells = pool_scores(scores, 8)
    affinity = from_dense(torch.from_numpy(inputs["aff"]), *cells.shape[1:])
    walk = {"beta": meta["beta"], "steps": 2 ** meta["logt"]}
    large = walk_cam(scores, affinity, OFFSETS, stride=8, **walk)
    classes = np.array(meta["channels"])
    got = {
        "cam_full_pooled": cells,
        "cam_rw_lowres": random_walk(cells, affinity, OFFSETS, **walk),
        "cam_rw_sub2": large[:, ::2, ::2],
        "argmax": classes[large.argmax(dim=0)],
    }
    assert got.keys() == outputs.keys()
    for name, value in got.items():
        assert_close("07d_random_walk", name, value, outputs[name])


def from_dense(matrix: Tensor, height: int, width: int) -> Tensor:
    """The affinities (O, h, w) in a dense symmetric matrix."""
    cells = torch.arange(height * width).view(height, width)
    affinity = torch.zeros(len(OFFSETS), height, width)
    for index, offset in enumerate(OFFSETS):
        first, second = pair_windows(offset, height, width)
        affinity[(index, *first)] = matrix[cells[first], cells[second]]
    assert torch.equal(dense_affinity(affinity, OFFSETS), matrix), "nothing beyond the radius"
    return affinity


@pytest.mark.parametrize("path", cases("07e_affinity_loss"))
def test_affinity_loss(path: Path) -> None:
    inputs, outputs, _ = load(path)
    affinity = torch.from_numpy(inputs["aff"]).requires_grad_()
    labels = published_labels(pair_labels(torch.from_numpy(inputs["label"]), OFFSETS))
    found = affinity_loss(pair_sums(affinity, labels))
    found.loss.backward()
    got: dict[str, Any] = {
        "loss": found.loss,
        "bg_loss": found.background,
        "fg_loss": found.foreground,
        "neg_loss": found.different,
        "grad_aff": affinity.grad,
    }
    assert got.keys() == outputs.keys()
    for name, value in got.items():
        assert_close("07e_affinity_loss", name, value, outputs[name])


@pytest.mark.parametrize("path", cases("07f_la_ha_merge"))
def test_alpha_merge(path: Path) -> None:
    inputs, outputs, _ = load(path)
    low, high = np.split(inputs["label_la_ha"].transpose(2, 0, 1), 2)
    merged = merge_alpha(low, high, np.arange(1, len(low)))
    assert_close("07f_la_ha_merge", "label", merged, outputs["label"])
