"""Two processes with half of the batch each, against one that has it whole."""

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, multiprocessing

from hsc.base import distributed
from hsc.base.distributed import GradientAverage, gather, own_share, processes
from hsc.base.errors import HscError
from hsc.data.stream import StepSampler
from hsc.engine.checkpoints import ResumeFile
from hsc.engine.loading import step_batches
from hsc.engine.runtime import Runtime
from hsc.engine.training import check_start
from hsc.methods.contrasts.hsc import HscContrast
from hsc.methods.training import build_method
from hsc.params.method import MethodChoice
from hsc.params.recipe import NetworkParams, TrainCamParams
from hsc.psa.network import affinity_network
from hsc.psa.training import AffinityObjective

CLASSES = ("a", "b", "c")
CROP, N, W = 32, 4, 2
VARIANTS = [("seam", "hsc"), ("eps", "ppc"), ("seam", "ppc"), ("eps", "hsc"), ("eps", "none")]
Batch = dict[str, Tensor]


def make_batch(seed: int) -> Batch:
    """Four pictures; each half lacks a class that the other has."""
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    tags = [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]]
    return {
        "image": 2 * rand(N, 3, CROP, CROP) - 1,
        "tags": torch.tensor(tags, dtype=torch.float64),
        "saliency": rand(N, 1, CROP, CROP),
    }


def two_steps(run: MethodChoice, network: NetworkParams, params: TrainCamParams) -> dict[str, Any]:
    """Losses and averaged gradients of the second step, which knows the first one's prototypes."""
    torch.manual_seed(3)
    method = build_method(CLASSES, run, network, params).double().train()
    refined = count_refined(method.contrast)
    with GradientAverage(method.parameters()) as average:
        for seed in (0, 1):
            method.zero_grad()
            batch = make_batch(seed)
            terms = method.losses({name: own_share(value) for name, value in batch.items()})
            terms["loss"].backward()
            average.finish()
            method.commit()
    gradients = {name: p.grad for name, p in method.named_parameters() if p.grad is not None}
    return {
        "terms": {name: term.detach() for name, term in terms.items()},
        "gradients": gradients,
        "buffers": dict(method.contrast.named_buffers()) if method.contrast else {},
        "refined": refined,
    }


def affinity_step() -> dict[str, Any]:
    """AffinityNet's losses and averaged gradients; the second half of the batch has few pairs."""
    spec = {"backbone": "small", "widths": [4, 4, 8, 8], "output_stride": 4}
    torch.manual_seed(3)
    network = affinity_network(spec | {"affinity_widths": [3, 4, 5], "radius": 3})
    objective = AffinityObjective(network, stride=4).double().train()
    label = torch.randint(0, 3, (N, CROP, CROP), generator=torch.Generator().manual_seed(1))
    label = label[:, ::8, ::8].repeat_interleave(8, 1).repeat_interleave(8, 2)
    label[N // 2 :, 8:] = 255
    batch = {"image": make_batch(0)["image"], "label": label}
    terms = objective.losses({name: own_share(value) for name, value in batch.items()})
    with GradientAverage(objective.parameters()) as average:
        terms["loss"].backward()
        average.finish()
    return {
        "terms": {name: term.detach() for name, term in terms.items()},
        "gradients": {name: p.grad for name, p in network.named_parameters()},
    }


def count_refined(contrast: Any) -> list[int]:
    """The number of pictures of each later call of the CRF."""
    counts: list[int] = []
    if isinstance(contrast, HscContrast):
        refine = contrast._refine_labels

        def counting(image: Tensor, labels: Tensor) -> Tensor:
            counts.append(len(image))
            return refine(image, labels)

        contrast._refine_labels = counting
    return counts


def gathered(values: Tensor) -> dict[str, Tensor]:
    """What comes back from a gather, forward and backward; the loss differs by process."""
    own = own_share(values).clone().requires_grad_()
    whole = gather(own)
    (whole * torch.arange(1.0, 1 + len(values))).sum().mul(1 + dist.get_rank()).backward()
    return {"whole": whole.detach(), "gradient": own.grad}


def averaged() -> dict[str, Any]:
    """Gradients of three steps of three layers, the second of which rests in the second step.

    One layer is a message; the third layer comes in with the third step.
    """
    layers = [torch.nn.Parameter(torch.ones(2)) for _ in range(3)]
    there: list[int] = []
    steps = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distributed, "_BUCKET", 4)
        with GradientAverage(layers) as average:
            layers[0].register_hook(lambda _: there.append(len(average._sent)))
            for used in ((0, 1), (0,), (0, 1, 2)):
                for layer in layers:
                    layer.grad = None
                value = torch.tensor([1.0, 10.0]) * (1 + dist.get_rank())
                for number in used:
                    value = value * layers[number]
                value.sum().backward()
                average.finish()
                steps.append(
                    [None if layer.grad is None else layer.grad.clone() for layer in layers]
                )
    value = layers[0].sum()
    value.backward()
    return {"steps": steps, "there": there, "behind": layers[0].grad}


def loaded() -> list[list[int]]:
    """The places of a training's samples that this process loads, by step."""
    runtime = Runtime(torch.device("cpu"), bf16=False, workers=0)
    return [batch.tolist() for batch in step_batches(_Places(), 0, N, 3, runtime)(0)]


class _Places(torch.utils.data.Dataset[int]):
    def __len__(self) -> int:
        return 7

    def __getitem__(self, position: tuple[int, int]) -> int:
        return position[0]


def uneven() -> list[str]:
    """How batches that cannot be shared are refused."""
    runtime = Runtime(torch.device("cpu"), bf16=False, workers=0)
    texts = []
    for attempt in (
        lambda: own_share([1, 2, 3]),
        lambda: step_batches(_Places(), 0, 3, 1, runtime),
    ):
        try:
            attempt()
        except (ValueError, HscError) as error:
            texts.append(f"{type(error).__name__}: {error}")
    return texts


def apart() -> str:
    """How states of different steps are refused."""
    runtime = Runtime(torch.device("cpu"), bf16=False, workers=0)
    resume = ResumeFile(Path("there"), "toy", "key")
    check_start(3, resume, runtime)
    try:
        check_start(3 + dist.get_rank(), resume, runtime)
    except HscError as error:
        return str(error)
    return ""


def work(rank: int, folder: Path, request: list[tuple[Any, ...]]) -> None:
    """One of the processes; writes what it found to `<folder>/<rank>.pt`."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=W)
    found = {
        "processes": processes(),
        "gather": gathered(torch.tensor([3.0, 5.0, 7.0, 11.0])),
        "loaded": loaded(),
        "uneven": uneven(),
        "apart": apart(),
        "affinity": affinity_step(),
        "averaged": averaged(),
        "runs": [two_steps(*arguments) for arguments in request],
    }
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def request_(
    tiny_run: Callable[..., MethodChoice],
    tiny_network: NetworkParams,
    tiny_cam_params: TrainCamParams,
    cpu: Any,
) -> list[tuple[Any, ...]]:
    """One entry a variant: what `two_steps` takes."""
    return [
        (tiny_run(baseline=baseline, contrast=contrast), tiny_network, tiny_cam_params)
        for baseline, contrast in VARIANTS
    ]


@pytest.fixture(scope="module")
def found(
    tmp_path_factory: pytest.TempPathFactory, request_: list[tuple[Any, ...]]
) -> list[dict[str, Any]]:
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("processes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("GLOO_SOCKET_IFNAME", os.environ.get("GLOO_SOCKET_IFNAME", "lo"))
        multiprocessing.spawn(work, (folder, request_), nprocs=W)
    return [torch.load(folder / f"{rank}.pt") for rank in range(W)]


@pytest.mark.parametrize("index", range(len(VARIANTS)), ids=["+".join(v) for v in VARIANTS])
def test_losses_and_gradients_are_those_of_one_process(
    found: list[dict[str, Any]], request_: list[tuple[Any, ...]], index: int
) -> None:
    expected = two_steps(*request_[index])
    assert expected["terms"]["loss"].dtype == torch.float64
    assert any(gradient.any() for gradient in expected["gradients"].values())
    for process in found:
        run = process["runs"][index]
        for part in ("terms", "gradients", "buffers"):
            assert run[part].keys() == expected[part].keys()
            for name, value in expected[part].items():
                torch.testing.assert_close(
                    run[part][name], value, atol=1e-9, rtol=1e-9, msg=lambda m, n=name: f"{n}: {m}"
                )


def test_affinities_are_learned_from_the_pairs_of_the_whole_batch(
    found: list[dict[str, Any]],
) -> None:
    expected = affinity_step()
    assert all(value > 0 for value in expected["terms"].values())
    for process in found:
        for part in ("terms", "gradients"):
            for name, value in expected[part].items():
                torch.testing.assert_close(
                    process["affinity"][part][name], value, atol=1e-9, rtol=1e-9
                )


def test_the_processes_share_the_crf(
    found: list[dict[str, Any]], request_: list[tuple[Any, ...]]
) -> None:
    index = VARIANTS.index(("seam", "hsc"))
    assert two_steps(*request_[index])["refined"] == [N, N]
    assert [process["runs"][index]["refined"] for process in found] == [[N // W, N // W]] * W


def test_gather_and_its_gradient(found: list[dict[str, Any]]) -> None:
    """The losses are 1 and 2 times the weighted sum: a part's gradient is 3 times its weights."""
    assert [process["processes"] for process in found] == [W, W]
    for rank, process in enumerate(found):
        assert process["gather"]["whole"].tolist() == [3, 5, 7, 11]
        assert process["gather"]["gradient"].tolist() == [[3, 6], [9, 12]][rank]


def test_the_processes_share_every_batch(found: list[dict[str, Any]]) -> None:
    whole = [[g for g, _ in batch] for batch in StepSampler(0, 7, N, 0, 3)]
    parts = [process["loaded"] for process in found]
    assert [first + second for first, second in zip(*parts, strict=True)] == whole


def test_a_batch_that_cannot_be_shared(found: list[dict[str, Any]]) -> None:
    for process in found:
        plain, user = process["uneven"]
        assert plain.startswith("ValueError: a batch of 3")
        assert user.startswith("MachineError: batch_size: 3 pictures")


def test_states_of_different_steps(found: list[dict[str, Any]]) -> None:
    for process in found:
        assert process["apart"].startswith("there/toy-key.pt: the processes found states of")


def test_alone_nothing_is_exchanged() -> None:
    value = torch.ones(3, requires_grad=True)
    assert processes() == 1
    assert gather(value) is value
    assert own_share(value) is value
    parameter = torch.nn.Parameter(torch.ones(2))
    with GradientAverage([parameter, torch.nn.Parameter(torch.ones(1))]) as average:
        (parameter * torch.tensor([1.0, 2.0])).sum().backward()
        average.finish()
    assert parameter.grad.tolist() == [1, 2]


def test_means_are_sent_while_the_backward_pass_goes_on(found: list[dict[str, Any]]) -> None:
    """And are those of the gradients that there are."""
    mean = torch.tensor([1.5, 15.0])
    for process in found:
        for step, used in zip(process["averaged"]["steps"], ((0, 1), (0,), (0, 1, 2)), strict=True):
            for number, gradient in enumerate(step):
                assert gradient is None if number not in used else torch.equal(gradient, mean)
        # The second layer's, in the third step; in the second it is missing.
        assert process["averaged"]["there"] == [0, 0, 1, 0]
        assert torch.equal(process["averaged"]["behind"], mean + 1), "nothing is left behind"


def test_gradients_go_in_messages_of_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """In their order, one type a message; what is larger than a message goes alone."""
    monkeypatch.setattr(distributed, "_BUCKET", 100)
    kinds = [(10, torch.float32)] * 3 + [(10, torch.float64), (50, torch.float64)]
    kinds += [(1, torch.float64)] * 2 + [(25, torch.float32), (1, torch.float32)]
    gradients = [torch.zeros(size, dtype=dtype) for size, dtype in kinds]
    buckets = list(distributed._buckets(gradients))
    assert [len(bucket) for bucket in buckets] == [2, 1, 1, 1, 2, 1, 1]
    sent = itertools.chain.from_iterable(buckets)
    assert all(one is two for one, two in zip(sent, gradients, strict=True))
    assert list(distributed._buckets([])) == []
