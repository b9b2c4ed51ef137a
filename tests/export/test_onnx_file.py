"""The ONNX file against torch, what it says of itself, and the program of docs/prediction.md."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from hsc.auxsegnet.training import network_spec
from hsc.base.errors import HscError
from hsc.data.classes import palette
from hsc.data.preprocessing import MEAN, STD, normalise
from hsc.export import onnx_file
from hsc.export.onnx_file import WholeLogits, export_onnx
from hsc.nets.auxsegnet import auxsegnet_network
from hsc.nets.deeplab import deeplab_network
from hsc.nets.segmentation import SegmentationNetwork
from hsc.nets.weights import save_weights
from hsc.params.recipe import NetworkParams
from hsc.params.segmentation import SegmentationNetworkParams, TrainAuxSegNetParams
from hsc.segmentation.training import segmentation_spec
from stages.export_model import main
from tests.stage_runs import ROOT

NAMES = ("cat", "dog", "ünicorn")
Exported = tuple[SegmentationNetwork, Path]


@pytest.fixture(scope="module")
def deeplab(tiny_segmentation_network: SegmentationNetworkParams) -> SegmentationNetwork:
    torch.manual_seed(0)
    return deeplab_network(segmentation_spec(NAMES, tiny_segmentation_network)).eval()


@pytest.fixture(scope="module")
def auxsegnet(
    tiny_network: NetworkParams, tiny_auxsegnet_params: TrainAuxSegNetParams
) -> SegmentationNetwork:
    torch.manual_seed(0)
    return auxsegnet_network(network_spec(NAMES, tiny_network, tiny_auxsegnet_params)).eval()


@pytest.fixture(scope="module", params=["deeplab", "auxsegnet"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    path = tmp_path_factory.mktemp("onnx") / "network.onnx"
    built = request.getfixturevalue(request.param)
    assert export_onnx(built, NAMES, path) <= 1e-4
    assert [each.name for each in path.parent.iterdir()] == ["network.onnx"]
    return built, path


@pytest.mark.parametrize("size", [(1, 3, 33, 70), (2, 3, 64, 48), (5, 3, 17, 17)])
def test_pictures_of_any_size_and_number(exported: Exported, size: tuple[int, ...]) -> None:
    built, path = exported
    session = onnxruntime.InferenceSession(path)
    image = torch.randn(size, generator=torch.Generator().manual_seed(1))
    (found,) = session.run(None, {"image": image.numpy()})
    assert found.shape == (size[0], 4, *size[2:])
    with torch.no_grad():
        expected = WholeLogits(built)(image).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_it_says_how_it_is_used(exported: Exported) -> None:
    said = onnxruntime.InferenceSession(exported[1]).get_modelmeta().custom_metadata_map
    facts = {key: json.loads(said[key]) for key in ("classes", "palette", "mean", "std")}
    assert facts["classes"] == ["background", *NAMES]
    assert facts["palette"] == palette()[:4].tolist()
    assert (tuple(facts["mean"]), tuple(facts["std"])) == (MEAN, STD)


def test_the_program_of_the_page(
    tmp_path: Path,
    deeplab: SegmentationNetwork,
    tiny_segmentation_network: SegmentationNetworkParams,
) -> None:
    """Fifteen lines, no torch, the labels of the network."""
    spec = segmentation_spec(NAMES, tiny_segmentation_network)
    save_weights(tmp_path / "segmentation.pt", "deeplab", spec, deeplab.state_dict())
    words = ["--weights", tmp_path / "segmentation.pt", "--out", tmp_path / "segmentation.onnx"]
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exit_code == 0, done.output
    page = (ROOT / "docs" / "prediction.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len([line for line in program.splitlines() if line]) <= 15
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "picture.png")
    (tmp_path / "program.py").write_text(program + 'assert "torch" not in sys.modules\n')
    subprocess.run([sys.executable, "program.py", "picture.png"], cwd=tmp_path, check=True)
    with Image.open(tmp_path / "labels.png") as image:
        found = np.asarray(image)
    with torch.no_grad():
        logits = WholeLogits(deeplab)(torch.from_numpy(normalise(picture))[None])[0].numpy()
    top = np.sort(logits, axis=0)
    clear = top[-1] - top[-2] > 1e-3 * np.abs(logits).max()
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(found[clear], logits.argmax(axis=0)[clear])


def test_a_network_that_comes_out_otherwise_is_not_written(
    tmp_path: Path, deeplab: SegmentationNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "TOLERANCE", -1.0)
    with pytest.raises(HscError, match=r"onnxruntime's logits differ"):
        export_onnx(deeplab, NAMES, tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_installed_is_named(
    tmp_path: Path, deeplab: SegmentationNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(HscError, match=r"onnx, onnxscript, onnxruntime: not installed; pip"):
        export_onnx(deeplab, NAMES, tmp_path / "a.onnx")
