"""Networks from specifications, and back from weights files."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hsc.base.errors import HscError
from hsc.cam.network import ContextProjector, cam_network, load_cam_network
from hsc.nets.backbones import build_backbone, load_backbone
from hsc.nets.deeplab import Aspp, LargeFov, deeplab_network
from hsc.nets.segmentation import load_segmentation
from hsc.nets.small_resnet import SmallResNet
from hsc.nets.weights import check_classes, save_weights

CAM = {
    "backbone": "small",
    "widths": [4, 6, 8, 10],
    "output_stride": 4,
    "class_names": ["cat", "dog", "owl"],
    "pcm": [3, 5, 7],
    "projectors": [9, 6],
}
DEEPLAB = {
    "backbone": "small",
    "widths": [4, 6, 8, 10],
    "output_stride": 8,
    "class_names": ["cat", "dog"],
    "head": {
        "kind": "aspp",
        "channels": 5,
        "rates": [1, 2],
        "pooled_norm": True,
        "norm_momentum": 0.2,
        "dropout": 0.25,
        "dropout_of": "values",
    },
}
LARGEFOV = {
    "kind": "largefov",
    "channels": 7,
    "dilation": 3,
    "norm_momentum": 0.01,
    "dropout": 0.4,
    "dropout_of": "channels",
}


def test_a_cam_network_is_what_its_specification_says() -> None:
    network = cam_network(CAM)
    cam, refined, features = network(torch.randn(1, 3, 16, 16))
    assert cam.shape == refined.shape == (1, 4, 4, 4)
    assert network.backbone.frozen_norm
    assert network.projector_class(features).shape == (1, 9, 4, 4)
    assert network.projector_pixel(features).shape == (1, 6, 4, 4)
    assert len(network.projector_class.layers) == 4  # two blocks
    assert len(network.projector_pixel.layers) == 2
    bare = cam_network(CAM | {"pcm": None, "projectors": None})
    assert bare.pcm is bare.projector_class is bare.projector_pixel is None


def test_published_projectors() -> None:
    network = cam_network(CAM | {"projector": "published"})
    features = network(torch.randn(1, 3, 16, 16)).features
    assert isinstance(network.projector_class, ContextProjector)
    assert network.projector_class(features).shape == (1, 9, 4, 4)
    assert network.projector_pixel(features).shape == (1, 6, 4, 4)
    assert network.projector_pixel.layers[0].bias is None
    assert cam_network(CAM | {"projector": "paper"}).projector_pixel.layers[0].bias is not None
    with pytest.raises(HscError, match="projector: 'mine' is unknown; there are: paper, published"):
        cam_network(CAM | {"projector": "mine"})


def test_one_projector_alone() -> None:
    network = cam_network(CAM | {"projectors": [None, 6]})
    assert network.projector_class is None
    assert network.projector_pixel is not None


def test_dropout_before_the_head_comes_from_the_specification() -> None:
    assert cam_network(CAM).head_dropout.p == 0
    assert cam_network(CAM | {"head_dropout": 0.5}).head_dropout.p == 0.5


@pytest.mark.parametrize("name", ["resnet50", "resnet101", "resnet101s", "resnet38"])
def test_networks_on_other_backbones(name: str) -> None:
    other = {"backbone": name, "widths": None, "output_stride": 8}
    with torch.device("meta"):  # the PCM needs numbers; its sizes are checked below
        cam = cam_network(CAM | other | {"pcm": None})
        deeplab = deeplab_network(DEEPLAB | other)
        maps = cam(torch.empty(2, 3, 33, 40))
        assert maps.cam.shape == (2, 4, 5, 5)
        assert cam.projector_class(maps.features).shape == (2, 9, 5, 5)
        assert deeplab.eval()(torch.empty(1, 3, 33, 40)).shape == (1, 3, 33, 40)
        refining = cam_network(CAM | other)
    assert refining.pcm.reduce_low.in_channels == refining.backbone.low_channels
    assert refining.pcm.reduce_mid.in_channels == refining.backbone.mid_channels
    assert cam.backbone.frozen_norm
    assert not deeplab.backbone.frozen_norm


def test_the_pcm_takes_maps_of_several_strides() -> None:
    spec = CAM | {"backbone": "resnet50", "widths": None, "output_stride": 16}
    maps = cam_network(spec).eval()(torch.randn(1, 3, 33, 40))
    assert maps.cam.shape == maps.refined.shape == (1, 4, 3, 3)


def test_a_backbone_without_widths_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "backbone.pt"
    spec = {"backbone": "resnet50", "widths": None}
    written = build_backbone("resnet50", None, 16, frozen_norm=False)
    save_weights(path, "backbone", spec, written.state_dict())
    read = build_backbone("resnet50", None, 8, frozen_norm=True)
    load_backbone(read, path, spec | {"output_stride": 8})
    assert torch.equal(read.layer4[2].conv3.weight, written.layer4[2].conv3.weight)
    with pytest.raises(HscError, match="its backbone is resnet50, the recipe's is small"):
        load_backbone(SmallResNet(CAM["widths"]), path, CAM)


def test_a_deeplab_is_what_its_specification_says() -> None:
    network = deeplab_network(DEEPLAB)
    assert network.eval()(torch.randn(1, 3, 16, 24)).shape == (1, 3, 16, 24)
    assert not network.backbone.frozen_norm
    assert isinstance(network.head, Aspp)
    assert [branch[0].dilation for branch in network.head.branches] == [(1, 1), (2, 2)]
    assert isinstance(network.head.pooled[1], nn.BatchNorm2d)
    assert network.head.mix[1].momentum == 0.2
    assert isinstance(network.dropout, nn.Dropout)
    assert network.dropout.p == 0.25
    bare = deeplab_network(DEEPLAB | {"head": DEEPLAB["head"] | {"pooled_norm": False}})
    assert not [m for m in bare.head.pooled if isinstance(m, nn.BatchNorm2d)]


def test_a_deeplab_with_the_other_head() -> None:
    network = deeplab_network(DEEPLAB | {"head": LARGEFOV})
    assert network.eval()(torch.randn(1, 3, 16, 24)).shape == (1, 3, 16, 24)
    assert isinstance(network.head, LargeFov)
    assert network.head.layers[0][0].dilation == (3, 3)
    assert network.head.layers[1][1].momentum == 0.01
    assert isinstance(network.dropout, nn.Dropout2d)
    assert network.classifier.in_channels == 7
    with pytest.raises(HscError, match=r"head\.kind: 'fcn' is unknown; there are: aspp, largefov"):
        deeplab_network(DEEPLAB | {"head": LARGEFOV | {"kind": "fcn"}})


def test_weights_of_another_head_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "segmentation.pt"
    state = deeplab_network(DEEPLAB).state_dict()
    save_weights(path, "deeplab", DEEPLAB | {"head": LARGEFOV}, state)
    with pytest.raises(HscError) as caught:
        load_segmentation(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: weights of another network: missing head.layers.0.0.weight")
    assert "unexpected head.mix.0.weight" in text
    assert "classifier.weight is (3, 5, 1, 1), not (3, 7, 1, 1)" in text


def test_a_deeplab_of_an_older_specification_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "segmentation.pt"
    old = {key: value for key, value in DEEPLAB.items() if key != "head"}
    save_weights(path, "deeplab", old, {})
    with pytest.raises(HscError, match=r"its specification has no 'head', .* run train_segment"):
        load_segmentation(path)


@pytest.mark.parametrize("build", [cam_network, deeplab_network])
def test_unknown_backbones_are_the_user_s_problem(build: Any) -> None:
    with pytest.raises(HscError, match=r"^backbone: 'vgg' is unknown"):
        build(CAM | DEEPLAB | {"backbone": "vgg"})


def test_a_cam_network_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "cam.pt"
    network = cam_network(CAM)
    save_weights(path, "cam", CAM, network.state_dict())
    loaded, spec = load_cam_network(path)
    assert spec == CAM
    assert json.dumps(spec)  # plain values only
    assert not loaded.training
    image = torch.randn(1, 3, 16, 16)
    for one, other in zip(network.eval()(image), loaded(image), strict=True):
        assert torch.equal(one, other)


def test_a_deeplab_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "segmentation.pt"
    network = deeplab_network(DEEPLAB)
    save_weights(path, "deeplab", DEEPLAB, network.state_dict())
    loaded, spec = load_segmentation(path)
    assert spec == DEEPLAB
    assert not loaded.training
    image = torch.randn(1, 3, 16, 16)
    assert torch.equal(network.eval()(image), loaded(image))


def test_weights_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cam.pt"
    save_weights(path, "cam", CAM, cam_network(CAM).state_dict())
    with pytest.raises(HscError, match=r"cam\.pt: expected deeplab or auxsegnet weights"):
        load_segmentation(path)
    with pytest.raises(HscError, match=r"cam\.pt: expected backbone weights"):
        load_backbone(SmallResNet(CAM["widths"]), path, CAM)


def test_weights_that_do_not_fit_their_specification_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cam.pt"
    save_weights(path, "cam", CAM | {"pcm": None}, cam_network(CAM).state_dict())
    with pytest.raises(HscError, match=r"cam\.pt: weights of another network: unexpected pcm\."):
        load_cam_network(path)


def backbone_file(path: Path, widths: list[int]) -> SmallResNet:
    backbone = SmallResNet(widths, output_stride=8)
    save_weights(path, "backbone", {"backbone": "small", "widths": widths}, backbone.state_dict())
    return backbone


def test_a_backbone_fits_at_another_stride(tmp_path: Path) -> None:
    path = tmp_path / "backbone.pt"
    written = backbone_file(path, CAM["widths"])
    network = cam_network(CAM)
    origin = load_backbone(network.backbone, path, CAM)
    assert origin == {"kind": "not recorded", "supervision": "not recorded"}
    for key, value in written.state_dict().items():
        assert torch.equal(network.backbone.state_dict()[key], value)


def test_a_backbone_of_other_widths_or_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "backbone.pt"
    backbone_file(path, [4, 6, 8, 12])
    network = cam_network(CAM)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    with pytest.raises(HscError) as caught:
        load_backbone(network.backbone, path, CAM)
    for part in (str(path), "widths", "[4, 6, 8, 12]", "[4, 6, 8, 10]", "prepare_backbone"):
        assert part in str(caught.value)
    with pytest.raises(HscError, match="its backbone is small, the recipe's is big"):
        load_backbone(network.backbone, path, CAM | {"backbone": "big"})
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())


def test_classes_must_be_the_data_set_s() -> None:
    check_classes(Path("cam.pt"), CAM, ("cat", "dog", "owl"))
    for other in (("cat", "dog"), ("cat", "owl", "dog")):
        with pytest.raises(HscError, match=r"cam\.pt: trained for the classes cat, dog, owl, the"):
            check_classes(Path("cam.pt"), CAM, other)
