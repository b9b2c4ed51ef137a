"""Imported weights: every layout, what may be left out, and what every other file gets.

Whole networks are stood for by tensors of the right shape that store one value, so that no test
needs the memory; where a file is written, the network is a small one.
"""

import contextlib
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from hsc.base.errors import HscError, WeightsError
from hsc.cam.network import cam_network
from hsc.data.classes import VOC_CLASSES
from hsc.nets.backbones import build_backbone
from hsc.nets.deeplab import deeplab_network
from hsc.nets.small_resnet import SmallResNet
from hsc.nets.weights import load_weights, save_weights
from hsc.params.base import FetchParams
from hsc.psa.network import affinity_network
from hsc.weights import imported, published, published_deeplab
from hsc.weights.imported import (
    LAYOUTS,
    Imported,
    backbone_of,
    import_weights,
    locate,
    mxnet_state,
    named_weights,
    read_state,
    read_weights,
    torchvision_state,
    translate,
)
from tests.base.archive_server import serve
from tests.weights.mxnet_writer import file_bytes

CAM_LAYOUTS = ["seam", "eps", "eps_cls", "ppc", "hsc"]
WIDTHS = (4, 6, 8, 10)


def filled(shapes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A value of its own for each key, stored once; counters are 0."""
    found = {}
    for key, tensor in shapes.items():
        value = torch.tensor(zlib.crc32(key.encode()) % 1000 / 1000)
        counter = key.endswith(".num_batches_tracked")
        found[key] = torch.tensor(0) if counter else value.expand(tensor.shape)
    return found


def resnet(name: str) -> dict[str, Tensor]:
    with torch.device("meta"):
        backbone = build_backbone(name, None, 8, frozen_norm=False)
    return filled(backbone.state_dict())


def cam_state(layout: str) -> dict[str, Tensor]:
    """Our state_dict of the CAM network that a layout holds."""
    with torch.device("meta"):
        network = cam_network(published.cam_spec(layout, VOC_CLASSES))
    state = filled(network.state_dict())
    rows = torch.arange(21.0)  # 0 for the background, as eps_cls needs it
    return state | {"head.weight": rows.view(21, 1, 1, 1).expand(21, 4096, 1, 1)}


def saved(folder: Path, value: Any, name: str = "some.pth", **options: Any) -> Path:
    torch.save(value, folder / name, **options)
    return folder / name


def problem(path: Path, function: Callable[[], Any]) -> str:
    with pytest.raises(HscError) as caught:
        function()
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    return text.removeprefix(f"{path}: ")


def test_a_recipe_may_name_every_layout() -> None:
    assert get_args(FetchParams.model_fields["layout"].annotation) == LAYOUTS


# Whole CAM networks and the backbone alone


@pytest.mark.parametrize("layout", CAM_LAYOUTS)
def test_published_cam_networks(tmp_path: Path, layout: str) -> None:
    ours = cam_state(layout)
    path = saved(tmp_path, published.to_published(layout, ours))
    found = translate(path, layout, "resnet38")
    assert found.kind == "cam"
    assert found.spec["class_names"] == list(VOC_CLASSES)
    assert json.dumps(found.spec)
    assert found.state.keys() == ours.keys()
    for key, tensor in found.state.items():
        assert torch.equal(tensor, ours[key]), key


@pytest.mark.parametrize("layout", ["seam", "eps_cls"])
def test_the_backbone_of_a_cam_network(tmp_path: Path, layout: str) -> None:
    path = saved(tmp_path, published.to_published(layout, cam_state(layout)))
    found = backbone_of(translate(path, layout, "resnet38"), path)
    assert found.kind == "backbone"
    assert found.spec == {"backbone": "resnet38", "widths": None}
    assert found.state.keys() == resnet("resnet38").keys()
    assert backbone_of(found, path) is found


def test_psa_s_affinity_network(tmp_path: Path) -> None:
    shapes = {"f8_3": (64, 512), "f8_4": (128, 1024), "f8_5": (256, 4096), "f9": (448, 448)}
    heads = {f"{name}.weight": torch.zeros(()).expand(*s, 1, 1) for name, s in shapes.items()}
    path = saved(tmp_path, resnet("resnet38") | heads)
    found = translate(path, "psa", "resnet38")
    assert found.kind == "affinity"
    with torch.device("meta"):
        own = affinity_network(found.spec).state_dict()
    assert {key: value.shape for key, value in found.state.items()} == {
        key: value.shape for key, value in own.items()
    }
    others = {key for key in found.state if not key.startswith("backbone.")}
    assert len(others) == 4
    assert backbone_of(found, path).state.keys() == resnet("resnet38").keys()


def test_the_backbone_as_a_state_dict(tmp_path: Path) -> None:
    state = resnet("resnet38")
    found = translate(saved(tmp_path, state), "resnet38d", "resnet38")
    assert found.kind == "backbone"
    assert found.spec == {"backbone": "resnet38", "widths": None}
    assert found.state.keys() == state.keys()
    assert all(torch.equal(found.state[key], state[key]) for key in state)


def test_every_difference_is_listed(tmp_path: Path) -> None:
    state = published.to_published("seam", cam_state("seam"))
    del state["f9.weight"], state["bn7.bias"]
    state["f8_3.weight"] = torch.zeros(64, 512)
    state |= {"fc.weight": torch.zeros(1), "linear1000_bias": torch.zeros(1)}
    path = saved(tmp_path, state)
    text = problem(path, lambda: translate(path, "seam", "resnet38"))
    for part in (
        "missing bn7.bias", "missing f9.weight", "unexpected fc.weight",
        "unexpected linear1000_bias", "f8_3.weight is (64, 512), not (64, 512, 1, 1)",
    ):  # fmt: skip
        assert part in text


def test_other_numbers_of_classes_are_listed(tmp_path: Path) -> None:
    path = saved(tmp_path, published.to_published("seam", cam_state("seam")))
    text = problem(path, lambda: translate(path, "seam", "resnet38", ("cat", "dog")))
    assert "fc8.weight is (21, 4096, 1, 1), not (3, 4096, 1, 1)" in text


# torchvision


def torchvision_file(backbone: str) -> dict[str, Tensor]:
    classifier = {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
    return resnet(backbone) | classifier


@pytest.mark.parametrize("backbone", imported.TORCHVISION)
def test_torchvision_s_own_state_dicts_fit(tmp_path: Path, backbone: str) -> None:
    import torchvision

    with torch.device("meta"):
        module = getattr(torchvision.models, backbone)()
    whole = filled(module.state_dict())
    found = translate(saved(tmp_path, whole), "torchvision", backbone)
    assert found.kind == "backbone"
    assert found.spec == {"backbone": backbone, "widths": None}
    assert set(whole) - set(found.state) == {"fc.weight", "fc.bias"}
    assert all(torch.equal(tensor, whole[key]) for key, tensor in found.state.items())


def test_counters_that_old_programs_did_not_save_are_0(tmp_path: Path) -> None:
    whole = torchvision_file("resnet50")
    old = {key: t for key, t in whole.items() if not key.endswith("num_batches_tracked")}
    found = torchvision_state(old, "resnet50", tmp_path)
    assert found.keys() == resnet("resnet50").keys()
    assert found["bn1.num_batches_tracked"] == 0
    assert found["bn1.num_batches_tracked"].dtype == torch.int64


def test_differences_from_torchvision_are_listed(tmp_path: Path) -> None:
    whole = torchvision_file("resnet50")
    del whole["bn1.weight"], whole["layer4.2.bn3.running_var"]
    whole |= {"aux.weight": torch.zeros(1), "conv1.weight": torch.zeros(64, 3, 3, 3)}
    text = problem(tmp_path, lambda: torchvision_state(whole, "resnet50", tmp_path))
    for part in (
        "missing bn1.weight", "missing layer4.2.bn3.running_var", "unexpected aux.weight",
        "conv1.weight is (64, 3, 3, 3), not (64, 3, 7, 7)",
    ):  # fmt: skip
        assert part in text
    assert "fc." not in text
    text = problem(tmp_path, lambda: torchvision_state(whole, "resnet101", tmp_path))
    assert "missing layer3.22.conv1.weight" in text


# Names of torchvision's weights


def test_names_and_urls_are_torchvision_s() -> None:
    names = named_weights("resnet50")
    assert {"IMAGENET1K_V1", "IMAGENET1K_V2", "DEFAULT"} <= names.keys()
    proper, url = names["DEFAULT"]
    assert names[proper] == (proper, url)
    assert url.endswith(".pth")


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that torchvision seems to offer under the name V1, and an empty cache."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    content = b"some weights"
    path = tmp_path / "server" / f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    with serve(path.parent) as server:
        path.write_bytes(content)
        entry = ("V1", server.entry(path)["sources"][0])
        names = {"V1": entry, "DEFAULT": entry}
        monkeypatch.setattr(imported, "named_weights", lambda backbone: names)
        yield path


@pytest.mark.parametrize("name", ["V1", "DEFAULT"])
def test_named_weights_are_downloaded_once(offered: Path, name: str) -> None:
    found = locate(name, "torchvision", "resnet50")
    assert found.title == "torchvision resnet50 V1"
    assert found.path.name == offered.name
    assert found.path != offered
    assert found.path.read_bytes() == offered.read_bytes()
    offered.unlink()
    assert locate(name, "torchvision", "resnet50") == found


def test_a_download_that_fails(offered: Path, capsys: pytest.CaptureFixture[str]) -> None:
    offered.unlink()
    with pytest.raises(WeightsError) as caught:
        locate("V1", "torchvision", "resnet50")
    text = str(caught.value)
    assert text.startswith(f"V1: {offered.name}: no source has it:")
    assert re.search(rf"http://\S+/{offered.name}: .*404", text)
    assert f"put it into {offered.parents[1] / 'cache' / 'hub' / 'checkpoints'}" in text
    assert capsys.readouterr().out == ""


def test_a_download_of_something_else(offered: Path) -> None:
    offered.write_bytes(b"other weights")
    expected = offered.stem.removeprefix("net-")
    with pytest.raises(WeightsError, match=rf"its sha256 is \w+, expected {expected}"):
        locate("V1", "torchvision", "resnet50")
    assert not list((offered.parents[1] / "cache").rglob("*.pth*"))


def test_a_cached_file_that_changed(offered: Path) -> None:
    """It is downloaded again; where that is impossible, it is not taken."""
    cached = locate("V1", "torchvision", "resnet50").path
    cached.write_bytes(b"other weights")
    assert locate("V1", "torchvision", "resnet50").path.read_bytes() == b"some weights"
    cached.write_bytes(b"other weights")
    offered.unlink()
    with pytest.raises(WeightsError, match=rf"{cached}: its sha256 is \w+, expected "):
        locate("V1", "torchvision", "resnet50")


def test_a_path_that_is_no_name_either(offered: Path) -> None:
    with pytest.raises(HscError, match=r"V9: no such file, and .* of resnet50; there are: V1, DEF"):
        locate("V9", "torchvision", "resnet50")
    assert locate(str(offered), "torchvision", "resnet50").path == offered


@pytest.mark.parametrize(
    ("layout", "backbone", "words"),
    [
        ("caffe", "resnet38", "layout: 'caffe' is unknown; there are: mxnet, torchvision, "),
        ("mxnet", "resnet50", "layout: mxnet holds resnet38, but the backbone is resnet50"),
        ("torchvision", "resnet38", "layout: torchvision holds resnet50 or resnet101, but the"),
        ("seam", "small", "layout: seam holds resnet38, but the backbone is small"),
    ],
)
def test_layout_and_backbone_must_agree(layout: str, backbone: str, words: str) -> None:
    with pytest.raises(HscError) as caught:
        locate("x.pth", layout, backbone)
    assert str(caught.value).startswith(words)


# The DeepLab, and other networks that have seen masks


def deeplab_state() -> dict[str, Tensor]:
    """A checkpoint in the layout deeplabv2."""
    shapes = published_deeplab.expected_shapes()
    return {key: torch.tensor(0.5).expand(shape) for key, shape in shapes.items()}


def test_the_deep_stem_s_imagenet_weights(tmp_path: Path) -> None:
    classifier = {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
    path = saved(tmp_path, resnet("resnet101s") | classifier)
    found = translate(path, "resnet101s", "resnet101s")
    assert found.kind == "backbone"
    assert found.spec == {"backbone": "resnet101s", "widths": None}
    assert found.supervision == "ImageNet"
    assert found.state.keys() == resnet("resnet101s").keys()
    text = problem(path, lambda: translate(path, "torchvision", "resnet101"))
    assert "unexpected conv1.0.weight" in text


def test_the_published_deeplab(tmp_path: Path) -> None:
    """Whole, it is there to predict with; nothing is trained from it."""
    path = saved(tmp_path, {"state_dict": deeplab_state()})
    found = translate(path, "deeplabv2", "resnet101s")
    assert found.kind == "deeplab"
    assert found.supervision == "masks"
    assert found.spec["class_names"] == list(VOC_CLASSES)
    with torch.device("meta"):
        expected = deeplab_network(found.spec).state_dict()
    assert found.state.keys() == expected.keys()


@pytest.mark.parametrize("layout", ["deeplabv2", "own"])
def test_the_backbone_of_a_deeplab_is_refused(tmp_path: Path, layout: str) -> None:
    if layout == "own":
        path = tmp_path / "segmentation.pt"
        spec = {"backbone": "small", "widths": list(WIDTHS)}
        save_weights(path, "deeplab", spec, {"backbone.a": torch.ones(2), "head.b": torch.ones(1)})
        name, count = "small", 1
    else:
        path, name = saved(tmp_path, deeplab_state()), "resnet101s"
        count = len(resnet("resnet101s"))
    text = problem(path, lambda: read_weights(str(path), layout, name))
    assert text.startswith("it holds deeplab weights, so its weights were trained on segmentation")
    found, origin = read_weights(str(path), layout, name, supervision="masks")
    assert found.kind == "backbone"
    assert len(found.state) == count
    assert origin["supervision"] == "masks"


@pytest.fixture
def deeplabv3(tmp_path: Path) -> Path:
    """A file as torchvision's of deeplabv3_resnet101."""
    import torchvision

    with torch.device("meta"):
        module = torchvision.models.segmentation.deeplabv3_resnet101(
            weights=None, weights_backbone=None, aux_loss=True
        )
    return saved(tmp_path, filled(module.state_dict()), "deeplabv3.pth")


def test_torchvision_s_deeplab_is_refused(deeplabv3: Path) -> None:
    text = problem(deeplabv3, lambda: translate(deeplabv3, "torchvision", "resnet101"))
    assert text.startswith("it has a segmentation head (aux_classifier, classifier), so its weigh")
    found = translate(deeplabv3, "torchvision", "resnet101", supervision="masks")
    assert found.supervision == "masks"
    assert found.state.keys() == resnet("resnet101").keys()


def test_the_names_of_torchvision_s_deeplab_are_refused_before_the_download(
    deeplabv3: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "COCO_WITH_VOC_LABELS_V1"
    assert name in named_weights("deeplabv3_resnet101")
    monkeypatch.setattr(imported, "_download", lambda *_: pytest.fail("a download"))
    with pytest.raises(HscError) as caught:
        locate(name, "torchvision", "resnet101")
    assert str(caught.value).startswith(
        f"{name}: it names weights of torchvision's deeplabv3_resnet101, so its weights were"
    )
    monkeypatch.setattr(imported, "_download", lambda *_: deeplabv3)
    found, origin = read_weights(name, "torchvision", "resnet101", supervision="masks")
    assert found.kind == "backbone"
    assert origin["source"] == f"torchvision deeplabv3_resnet101 {name}"
    assert origin["supervision"] == "masks"


def test_what_a_recipe_declares_is_recorded(tmp_path: Path, small: Path) -> None:
    """A bare backbone does not show where it comes from; who knows says so."""
    _, origin = read_weights(str(small), "torchvision", "resnet50")
    assert origin["supervision"] == "ImageNet"
    _, origin = read_weights(str(small), "torchvision", "resnet50", supervision="masks")
    assert origin["supervision"] == "masks"


def test_a_file_of_this_package_keeps_its_record(tmp_path: Path, small: Path) -> None:
    first, second, third = (tmp_path / name for name in ("1.pt", "2.pt", "3.pt"))
    import_weights(str(small), "torchvision", first, "resnet50", supervision="masks")
    text = problem(first, lambda: import_weights(str(first), "own", second, "resnet50"))
    assert text.startswith("it holds the backbone of a segmentation network, so its weights")
    assert not second.exists()
    import_weights(str(small), "torchvision", second, "resnet50")
    assert import_weights(str(second), "own", third, "resnet50")["supervision"] == "ImageNet"
    with pytest.raises(HscError, match=r"2\.pt: its backbone is resnet50, not small"):
        import_weights(str(second), "own", third, "small")
    save_weights(first, "optimiser", {}, {})
    with pytest.raises(
        HscError, match="expected backbone or cam or affinity or deeplab or auxsegnet"
    ):
        import_weights(str(first), "own", third, "small")


# MXNet


def test_mxnet_arrays_get_their_keys_and_lose_the_classifier(tmp_path: Path) -> None:
    arrays = {
        "arg:conv1a_weight": np.ones((2, 3, 3, 3), np.float32),
        "arg:bn2a_branch2a_gamma": np.full(3, 2.0, np.float64),
        "aux:bn2a_branch2a_moving_var": np.full(3, 0.5, np.float16),
        "arg:linear1000_weight": np.zeros((1000, 4), np.float32),
        "arg:linear1000_bias": np.zeros(1000, np.float32),
        "arg:softmax_scale": np.zeros(1, np.float32),
    }
    path = tmp_path / "a.params"
    path.write_bytes(file_bytes(arrays, version=2))
    state = mxnet_state(path)
    assert list(state) == [
        "conv1a.weight",
        "b2.bn_branch2a.weight",
        "b2.bn_branch2a.running_var",
        "softmax_scale",
    ]
    assert all(tensor.dtype == torch.float32 for tensor in state.values())
    assert state["b2.bn_branch2a.running_var"].tolist() == [0.5, 0.5, 0.5]
    text = problem(path, lambda: translate(path, "mxnet", "resnet38"))
    for part in ("missing b3.conv_branch2a.weight", "unexpected softmax_scale", "conv1a.weight is"):
        assert part in text
    assert "num_batches_tracked" not in text
    assert "linear1000" not in text


def test_a_whole_mxnet_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All names of the backbone, read as if each array were as large as it should be."""
    expected = resnet("resnet38")
    stand_in = {key: tensor for key, tensor in expected.items() if tensor.ndim}
    monkeypatch.setattr(imported, "mxnet_state", lambda path: stand_in)
    found = translate(tmp_path, "mxnet", "resnet38")
    assert found.kind == "backbone"
    assert found.spec == {"backbone": "resnet38", "widths": None}
    assert found.state.keys() == expected.keys()
    assert all(torch.equal(found.state[key], tensor) for key, tensor in expected.items())


# Files


STATE = {"a.weight": torch.tensor([1.5, 2.0]), "a.num_batches_tracked": torch.tensor(7)}


@pytest.mark.parametrize("archive", [True, False], ids=["zip", "old"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {"lr": 0.1}},
        lambda state: {f"module.{key}": tensor for key, tensor in state.items()},
        lambda state: {"state_dict": {f"module.{key}": t for key, t in state.items()}},
    ],
    ids=["bare", "state_dict", "model", "module", "both"],
)
def test_forms_of_a_state_dict(tmp_path: Path, wrap: Callable[..., Any], archive: bool) -> None:
    path = saved(tmp_path, wrap(STATE), _use_new_zipfile_serialization=archive)
    found = read_state(path)
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[key], STATE[key]) for key in STATE)


def test_values_become_float32_and_counters_int64(tmp_path: Path) -> None:
    state = {
        "half": torch.tensor([0.5], dtype=torch.float16),
        "double": torch.tensor([0.1], dtype=torch.float64),
        "n.num_batches_tracked": torch.tensor(3, dtype=torch.int32),
    }
    found = read_state(saved(tmp_path, state))
    types = [tensor.dtype for tensor in found.values()]
    assert types == [torch.float32, torch.float32, torch.int64]


@pytest.mark.filterwarnings("ignore:Validating sparse")  # torch's, that it takes time
@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, "an empty state_dict"),
        ({"state_dict": {}}, "an empty state_dict"),
        ([1.0], "holds a list, not a state_dict"),
        (STATE | {"epoch": 3, "lr": 0.1}, "these are no tensors with names: 'epoch', 'lr'"),
        ({0: torch.zeros(1)}, "these are no tensors with names: 0"),
        (STATE | {"w": torch.zeros(1, dtype=torch.int64)}, "w is of type torch.int64"),
        (STATE | {"w": torch.tensor([1.0, torch.nan])}, "w has values that are not finite"),
        (STATE | {"w": torch.eye(2).to_sparse()}, "w is sparse or has no values"),
        (STATE | {"w": torch.zeros(2, device="meta")}, "w is sparse or has no values"),
    ],
)
def test_what_is_no_state_dict(tmp_path: Path, value: Any, words: str) -> None:
    path = saved(tmp_path, value)
    assert words in problem(path, lambda: read_state(path))


class Planted:
    """Makes a file when unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("archive", [True, False], ids=["zip", "old"])
def test_code_is_refused_and_not_run(tmp_path: Path, archive: bool) -> None:
    value = {"state_dict": STATE, "args": Planted(tmp_path / "planted")}
    path = saved(tmp_path, value, _use_new_zipfile_serialization=archive)
    text = problem(path, lambda: read_state(path))
    assert "more than tensors and plain values in it, which is not loaded" in text
    assert len(text.splitlines()) == 1
    assert not (tmp_path / "planted").exists()


@pytest.mark.parametrize("archive", [True, False], ids=["zip", "old"])
def test_truncated_checkpoints(tmp_path: Path, archive: bool) -> None:
    path = saved(tmp_path, STATE, _use_new_zipfile_serialization=archive)
    whole = path.read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:length])
        assert problem(path, lambda: read_state(path)).startswith("no readable checkpoint (")


@pytest.mark.filterwarnings("ignore")  # torch's own, about strange storages
@pytest.mark.parametrize("archive", [True, False], ids=["zip", "old"])
def test_flipped_bits_are_read_or_refused_in_words(tmp_path: Path, archive: bool) -> None:
    path = saved(tmp_path, STATE, _use_new_zipfile_serialization=archive)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(200):
        content = bytearray(whole)
        for place in rng.integers(0, 8 * len(content), rng.integers(1, 5)):
            content[place // 8] ^= 1 << (place % 8)
        path.write_bytes(bytes(content))
        with contextlib.suppress(HscError):
            assert all(isinstance(tensor, Tensor) for tensor in read_state(path).values())


def test_a_damaged_archive(tmp_path: Path) -> None:
    path = saved(tmp_path, {"w": torch.arange(1000.0)})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # in the values
    path.write_bytes(bytes(content))
    assert "no readable checkpoint (damaged" in problem(path, lambda: read_state(path))


# The whole way, with a small network in ResNet-50's place


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint of it, with a classifier."""
    monkeypatch.setattr(imported, "build_backbone", lambda *_, **__: SmallResNet(WIDTHS))
    torch.manual_seed(0)
    state = SmallResNet(WIDTHS).state_dict()
    return saved(tmp_path, state | {"fc.weight": torch.zeros(5, 10), "fc.bias": torch.zeros(5)})


def test_import_writes_a_weights_file(tmp_path: Path, small: Path) -> None:
    output = tmp_path / "new" / "backbone.pt"
    found = import_weights(str(small), "torchvision", output, "resnet50")
    spec, state = load_weights(output, "backbone")
    said = {
        "sha256": hashlib.sha256(small.read_bytes()).hexdigest(),
        "layout": "torchvision",
        "source": "some.pth",
        "supervision": "ImageNet",
    }
    origin = said | {"kind": "import"}
    assert spec == {"backbone": "resnet50", "widths": None, "origin": origin}
    source = torch.load(small, weights_only=True)
    assert set(source) - set(state) == {"fc.weight", "fc.bias"}
    assert all(torch.equal(tensor, source[key]) for key, tensor in state.items())
    assert found == said | {"tensors": len(state)}
    before = output.read_bytes()
    assert import_weights(str(small), "torchvision", output, "resnet50") == found
    assert output.read_bytes() == before


def test_import_checks_the_digest_first(tmp_path: Path, small: Path) -> None:
    output = tmp_path / "backbone.pt"
    right = hashlib.sha256(small.read_bytes()).hexdigest()
    import_weights(str(small), "torchvision", output, "resnet50", sha256=right.upper())
    output.unlink()
    small.write_bytes(b"replaced")
    text = problem(
        small,
        lambda: import_weights(str(small), "torchvision", output, "resnet50", sha256=right),
    )
    assert text.startswith(f"its SHA-256 is {hashlib.sha256(b'replaced').hexdigest()}, not {right}")
    assert not output.exists()


def test_import_keeps_the_backbone_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = published.cam_spec("eps", VOC_CLASSES)
    state = {"backbone.a": torch.ones(2), "head.weight": torch.zeros(3)}
    monkeypatch.setattr(imported, "translate", lambda *_: Imported("cam", spec, state, "tags"))
    path, output = saved(tmp_path, {}), tmp_path / "out.pt"
    assert import_weights(str(path), "eps", output)["tensors"] == 2
    assert load_weights(output, "cam")[0] == spec
    assert import_weights(str(path), "eps", output, backbone_only=True)["tensors"] == 1
    found, kept = load_weights(output, "backbone")
    assert found.pop("origin")["supervision"] == "tags"
    assert found == {"backbone": "resnet38", "widths": None}
    assert list(kept) == ["a"]


@pytest.mark.parametrize("layout", ["mxnet", "resnet38d", "seam"])
def test_a_missing_file(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "none.pth"
    text = problem(path, lambda: import_weights(str(path), layout, tmp_path / "out.pt"))
    assert text.startswith("no such file; give the path")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    text = problem(tmp_path, lambda: import_weights(str(tmp_path), "seam", tmp_path / "out.pt"))
    assert text.startswith("cannot be read (")


@pytest.mark.parametrize("layout", ["mxnet", "seam"])
def test_the_other_sort_of_file(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "some.weights"
    if layout == "mxnet":
        torch.save(STATE, path)
    else:
        path.write_bytes(file_bytes({"x": np.zeros(3, np.float32)}))
    text = problem(path, lambda: import_weights(str(path), layout, tmp_path / "out.pt"))
    assert text.startswith(("no MXNet NDArray list", "no readable checkpoint"))
    assert not (tmp_path / "out.pt").exists()
