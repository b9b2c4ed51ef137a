"""What a network makes of CAM and saliency in a label update, by hand."""

import numpy as np
import pytest
import torch

from hsc.auxsegnet.update import fuse_saliency, refine_cam, updates
from hsc.base.errors import HscError
from hsc.data.voc import VocFolder
from hsc.nets.auxsegnet import auxsegnet_network


def test_a_cam_is_normalised_before_it_is_refined_and_not_again() -> None:
    cam = torch.tensor([[[9.0, -1.0]], [[4.0, 2.0]], [[7.0, 7.0]]])
    affinity = torch.tensor([[1.0, 0.5], [0.0, 2.0]])
    refined = refine_cam(cam, affinity, [2], (1, 2))
    assert refined.shape == (1, 1, 2)
    # 4 and 2 by their maximum: 1 and 1/2; the rows gather 1.25 and 1
    assert refined.flatten().tolist() == pytest.approx([1.25, 1.0], rel=1e-5)


def test_a_dead_class_stays_0_and_no_class_gives_no_map() -> None:
    cam = torch.full((2, 3, 3), -1.0)
    assert not refine_cam(cam, torch.ones(9, 9), [1, 2], (6, 6)).any()
    assert refine_cam(cam, torch.ones(9, 9), [], (6, 6)).shape == (0, 6, 6)


def test_saliency_is_the_mean_of_the_network_s_and_the_given() -> None:
    given = np.array([[255, 0]], dtype=np.uint8)
    fused = fuse_saliency(torch.zeros(1, 2), given)
    assert fused.dtype == np.float64
    assert fused.tolist() == [[0.75, 0.25]]


def test_the_second_cam_stands_in_the_place_of_the_first(tiny_folder: VocFolder, cpu) -> None:
    torch.manual_seed(0)
    spec = {"backbone": "small", "widths": [4, 4, 8, 8], "output_stride": 4, "enrichment": 0.1}
    more = {"channels": 4, "rates": [1, 1, 1], "head_dropout": 0.0}
    network = auxsegnet_network({**spec, **more, "class_names": list(tiny_folder.class_names)})
    ids = tiny_folder.ids("train")[:3]
    before = list(updates(network, tiny_folder, ids, cpu))
    torch.nn.init.normal_(network.head.weight)
    after = list(updates(network, tiny_folder, ids, cpu))
    for one, two in zip(before, after, strict=True):
        assert np.array_equal(one.cam, two.cam), "the plain CAM has no say"
    torch.nn.init.normal_(network.enrichment.own.weight)
    changed = list(updates(network, tiny_folder, ids, cpu))
    assert not all(np.array_equal(a.cam, b.cam) for a, b in zip(after, changed, strict=True))


def test_weights_that_have_run_away_are_an_error(tiny_folder: VocFolder, cpu) -> None:
    spec = {"backbone": "small", "widths": [4, 4, 8, 8], "output_stride": 4}
    more = {"channels": 4, "rates": [1, 1, 1], "head_dropout": 0.0}
    network = auxsegnet_network({**spec, **more, "class_names": list(tiny_folder.class_names)})
    torch.nn.init.constant_(network.saliency.classifier.weight, float("nan"))
    with pytest.raises(HscError, match="its maps are not finite"):
        list(updates(network, tiny_folder, tiny_folder.ids("train")[:1], cpu))
