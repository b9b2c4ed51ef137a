"""Steps and inference on a GPU that is not there.

Fake tensors have shapes and a device, `cuda:0`, but no data and need no driver. What is left on the
CPU does not go together with them, and what asks for a value would halt a GPU: both raise. Backward
passes need a driver; whole steps run on the `meta` device, which knows shapes alone. Not traced are
what has as many entries as the data say: the CRF's lattice and the random walk's sparse matrix.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from types import TracebackType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from hsc.auxsegnet import training as auxsegnet
from hsc.auxsegnet.objective import AuxSegNetObjective
from hsc.cam.inference import infer_cam
from hsc.engine.label_training import label_optimiser
from hsc.methods.training import build_method, cam_optimiser
from hsc.nets.auxsegnet import auxsegnet_network
from hsc.nets.deeplab import deeplab_network
from hsc.psa import training as psa
from hsc.psa.network import affinity_network
from hsc.psa.training import AffinityObjective
from hsc.segmentation.inference import predict_batch
from hsc.segmentation.training import SegmentationObjective, segmentation_spec
from tests.import_closure import ROOT

NAMES = ("one", "two", "three")
SIDE = 24
GPU = torch.device("cuda:0")
HALTS = {"hsc": "hsc/crf/slots.py", "dscnet": "hsc/losses/groups.py"}
"""Where a step waits for the device, and why it may: how many classes the pictures of a batch have
decides how much is computed after. Once a step; the loss is read at its end anyway."""
METHODS = list(itertools.product(("cam", "seam", "eps"), ("none", "ppc", "hsc", "dscnet")))


@pytest.fixture
def known_widths(monkeypatch: pytest.MonkeyPatch) -> None:
    """What HALTS asks the device for, as if it were known: the most that there can be."""

    def all_labels(labels: Tensor, num_labels: int) -> tuple[Tensor, Tensor]:
        classes = torch.arange(num_labels, device=labels.device).expand(labels.shape[1], -1)
        return classes, torch.ones_like(classes, dtype=torch.bool)

    def all_slots(tags: Tensor) -> tuple[Tensor, Tensor]:
        classes = torch.arange(tags.shape[1] + 1, device=tags.device).expand(len(tags), -1)
        return classes, torch.ones_like(classes, dtype=torch.bool)

    monkeypatch.setattr("hsc.crf.mean_field.label_slots", all_labels)
    monkeypatch.setattr("hsc.crf.par.label_slots", all_labels)
    monkeypatch.setattr("hsc.losses.groups._slots", all_slots)


@pytest.fixture
def without_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """`meta` has none."""
    monkeypatch.setattr(torch, "autocast", lambda *args, **options: nullcontext())


def batch(device: torch.device) -> dict[str, Tensor]:
    whole = {"dtype": torch.int64, "device": device}
    return {
        "image": torch.empty(4, 3, SIDE, SIDE, device=device),
        "tags": torch.empty(4, len(NAMES), device=device),
        "saliency": torch.empty(4, 1, SIDE, SIDE, device=device),
        "label": torch.empty(4, SIDE, SIDE, **whole),
    }


@pytest.fixture
def methods(tiny_run: Any, tiny_network: Any, tiny_cam_params: Any) -> Callable[..., tuple]:
    """Objective and optimiser of a baseline with a contrast, on a device."""

    def build(names: tuple[str, str], device: torch.device, **changes: Any) -> tuple:
        choice = tiny_run(baseline=names[0], contrast=names[1], **changes)
        with device:
            method = build_method(NAMES, choice, tiny_network, tiny_cam_params)
            return method.train(), cam_optimiser(method, tiny_cam_params)

    return build


@pytest.fixture
def others(
    tiny_network: Any,
    tiny_affinity_params: Any,
    tiny_auxsegnet_params: Any,
    tiny_segmentation_network: Any,
    tiny_segmentation_params: Any,
    tiny_run: Any,
) -> Callable[..., tuple]:
    """Objective, optimiser and batch of the trainings on label maps."""

    def build(name: str, device: torch.device) -> tuple[Any, Any, dict[str, Tensor]]:
        given = batch(device)
        with device:
            if name == "affinity":
                spec = psa.network_spec(tiny_network, tiny_affinity_params)
                objective: Any = AffinityObjective(affinity_network(spec), 4)
                how = tiny_affinity_params
            elif name == "deeplab":
                spec = segmentation_spec(NAMES, tiny_segmentation_network)
                objective = SegmentationObjective(deeplab_network(spec))
                how = tiny_segmentation_params
            else:
                spec = auxsegnet.network_spec(NAMES, tiny_network, tiny_auxsegnet_params)
                objective = AuxSegNetObjective(auxsegnet_network(spec))
                how = tiny_auxsegnet_params
                given["saliency"] = given["saliency"][:, 0]
            return objective.train(), label_optimiser(objective.network, how), given

    return build


@pytest.fixture
def fake() -> Iterator[None]:
    with FakeTensorMode():
        yield


def check(terms: dict[str, Tensor], device: torch.device) -> None:
    assert "loss" in terms
    for name, term in terms.items():
        assert term.device == device, name
        assert term.shape == (), name


@pytest.mark.parametrize("names", METHODS, ids="+".join)
def test_a_method_stays_on_the_gpu(
    names: tuple[str, str], methods: Callable[..., tuple], known_widths: None, fake: None
) -> None:
    method, _ = methods(names, GPU)
    check(method.losses(batch(GPU)), GPU)
    method.commit()
    assert all(buffer.device == GPU for buffer in method.buffers())


@pytest.mark.parametrize("names", [names for names in METHODS if names[1] in HALTS], ids="+".join)
def test_where_a_step_waits_for_the_gpu(
    names: tuple[str, str], methods: Callable[..., tuple], fake: None
) -> None:
    method, _ = methods(names, GPU)
    with pytest.raises(DataDependentOutputException) as caught:
        method.losses(batch(GPU))
    assert last_of_ours(caught.tb) == HALTS[names[1]]


def last_of_ours(trace: TracebackType | None) -> str:
    """The file of the innermost call that is in the package."""
    found = ""
    while trace is not None:
        path = trace.tb_frame.f_code.co_filename
        if path.startswith(str(ROOT / "hsc")):
            found = path.removeprefix(f"{ROOT}/")
        trace = trace.tb_next
    return found


def test_par_in_the_crfs_place_stays_on_the_gpu(
    methods: Callable[..., tuple], known_widths: None, fake: None
) -> None:
    method, _ = methods(("seam", "hsc"), GPU, hsc={"refine": "par"})
    check(method.losses(batch(GPU)), GPU)


@pytest.mark.parametrize("name", ["affinity", "deeplab", "auxsegnet"])
def test_trainings_on_labels_stay_on_the_gpu(
    name: str, others: Callable[..., tuple], fake: None
) -> None:
    objective, _, given = others(name, GPU)
    check(objective.losses(given), GPU)


@pytest.mark.parametrize("names", METHODS, ids="+".join)
def test_a_whole_step_without_data(
    names: tuple[str, str],
    methods: Callable[..., tuple],
    known_widths: None,
    without_autocast: None,
) -> None:
    method, optimiser = methods(names, torch.device("meta"))
    step(method, optimiser, batch(torch.device("meta")))


@pytest.mark.parametrize("name", ["affinity", "deeplab", "auxsegnet"])
def test_a_whole_step_on_labels_without_data(
    name: str, others: Callable[..., tuple], without_autocast: None
) -> None:
    step(*others(name, torch.device("meta")))


def step(objective: nn.Module, optimiser: Any, given: dict[str, Tensor]) -> None:
    """As the training loop has it, but for the reading of the loss."""
    terms = objective.losses(given)
    check(terms, torch.device("meta"))
    optimiser.zero_grad(set_to_none=True)
    terms["loss"].backward()
    torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
    for group in optimiser.param_groups:
        group["fused"] = False  # `meta` has no such kernel
    optimiser.step()
    objective.commit()


@pytest.mark.parametrize(("maps", "merge"), [("raw", "softmax"), ("refined", "relu")])
def test_inference_stays_on_the_gpu(
    maps: str, merge: str, methods: Callable[..., tuple], fake: None
) -> None:
    method, _ = methods(("seam", "none"), GPU)
    scales = [torch.empty(2, 3, side, side + 4, device=GPU) for side in (16, 24)]
    cam = infer_cam(method.network.eval(), scales, [1, 3], (20, 24), maps, merge)
    assert (cam.device, tuple(cam.shape)) == (GPU, (2, 20, 24))


def test_prediction_stays_on_the_gpu(others: Callable[..., tuple], fake: None) -> None:
    scales = [torch.empty(4, 3, side, side, device=GPU) for side in (16, 24)]
    for name, labels in (("deeplab", 4), ("auxsegnet", 4)):
        objective, _, _ = others(name, GPU)
        logits = predict_batch(objective.network.eval(), scales, (20, 20), 2)
        assert (logits.device, tuple(logits.shape)) == (GPU, (2, labels, 20, 20))


def test_what_is_left_on_the_cpu_is_found(
    methods: Callable[..., tuple], known_widths: None, fake: None
) -> None:
    """That these tests can fail."""
    method, _ = methods(("seam", "hsc"), GPU)
    method.contrast.class1_vectors = torch.zeros_like(method.contrast.class1_vectors, device="cpu")
    with pytest.raises(RuntimeError, match="device"):
        method.losses(batch(GPU))
