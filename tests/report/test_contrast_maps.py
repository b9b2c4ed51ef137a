"""What a contrast made of whole pictures, for the panels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hsc.base.errors import HscError
from hsc.cam.network import cam_network
from hsc.data.voc import VocFolder
from hsc.methods.training import build_method, network_spec
from hsc.nets.weights import save_weights
from hsc.params.method import MethodChoice
from hsc.params.recipe import NetworkParams, TrainCamParams
from hsc.report.contrast_maps import contrast_maps, trained_method


@pytest.fixture
def choice(tiny_run: Callable[..., MethodChoice]) -> MethodChoice:
    return tiny_run(contrast="dscnet")


@pytest.fixture
def weights(
    tmp_path: Path,
    tiny_folder: VocFolder,
    choice: MethodChoice,
    tiny_network: NetworkParams,
    tiny_cam_params: TrainCamParams,
) -> Path:
    torch.manual_seed(1)
    spec = network_spec(tiny_folder.class_names, choice, tiny_network, tiny_cam_params)
    save_weights(tmp_path / "cam.pt", "cam", spec, cam_network(spec).state_dict())
    return tmp_path / "cam.pt"


def test_pixels_have_the_label_of_their_group(
    weights: Path,
    tiny_folder: VocFolder,
    choice: MethodChoice,
    tiny_network: NetworkParams,
    tiny_cam_params: TrainCamParams,
    cpu: Any,
) -> None:
    method = trained_method(weights, tiny_folder, choice, tiny_network, tiny_cam_params)
    ids = tiny_folder.ids("train")[:4]
    found = contrast_maps(method, tiny_folder, ids, cpu)
    assert list(found) == list(ids)
    for image_id, labels in found.items():
        assert labels.dtype == np.uint8
        assert labels.shape == tiny_folder.size(image_id)
        tagged = set((np.flatnonzero(tiny_folder.tags(image_id)) + 1).tolist())
        assert set(np.unique(labels).tolist()) <= {0, *tagged}
    assert any(labels.max() > 0 for labels in found.values())
    again = contrast_maps(method, tiny_folder, ids, cpu)
    assert all(np.array_equal(again[image_id], found[image_id]) for image_id in ids)


def test_a_network_of_another_method_is_an_error(
    weights: Path,
    tiny_folder: VocFolder,
    tiny_network: NetworkParams,
    tiny_cam_params: TrainCamParams,
    tiny_run: Callable[..., MethodChoice],
) -> None:
    other = tiny_run(contrast="dscnet", baseline="cam")
    with pytest.raises(HscError):
        trained_method(weights, tiny_folder, other, tiny_network, tiny_cam_params)


def test_groups_of_two_halves(
    tiny_folder: VocFolder,
    choice: MethodChoice,
    tiny_network: NetworkParams,
    tiny_cam_params: TrainCamParams,
) -> None:
    """Cells that look alike are one group, also where the map is active on a part of it."""
    method = build_method(("a", "b"), choice, tiny_network, tiny_cam_params)
    features = torch.zeros(1, 3, 4, 6)
    features[:, 0, :, :3], features[:, 1, :, 3:] = 1, 1
    cam = torch.zeros(1, 3, 4, 6)
    cam[:, 2, :, :2] = 1  # class 2 on two of the three columns of the left half
    found = method.contrast.label_map(cam, (features, None), torch.tensor([[0.0, 1.0]]))
    assert found.tolist() == [[[2, 2, 2, 0, 0, 0]] * 4]
