"""Norm and dropout over the shares of two processes, against torch's own over the whole batch."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, multiprocessing, nn

from hsc.base.distributed import GradientAverage, gather, own_share
from hsc.engine.whole_batch import use_whole_batch

N, W = 4, 2
LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


def make() -> nn.Module:
    """Two live norms, one of them with frozen scales, one frozen norm, dropouts between them."""
    torch.manual_seed(1)
    frozen = nn.BatchNorm2d(4, eps=1e-3)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.Sequential(nn.BatchNorm2d(4, eps=1e-3, momentum=0.3), nn.ReLU()),
        nn.Dropout2d(0.4),
        nn.Conv2d(4, 4, 1),
        nn.Dropout(0.3),
        frozen,
        nn.BatchNorm2d(4).requires_grad_(False),
    )
    network.double().train()
    frozen.eval()
    return network


def two_steps(shared: bool, layout: torch.memory_format) -> dict[str, Any]:
    """Outputs, gradients, state and random state; `shared` puts the layers of the whole in."""
    network = make().to(memory_format=layout)
    before = list(network.parameters())
    if shared:
        use_whole_batch(network)
    assert all(one is other for one, other in zip(network.parameters(), before, strict=True))
    torch.manual_seed(2)
    outputs = []
    for step in range(2):
        generator = torch.Generator().manual_seed(step)
        # pictures that differ much: the statistics of a half are not the whole's
        sizes = torch.tensor([1.0, 2.0, 5.0, 9.0], dtype=torch.float64)[:, None, None, None]
        images = sizes * (1 + torch.randn(N, 3, 6, 5, generator=generator, dtype=torch.float64))
        network.zero_grad()
        whole = gather(network(own_share(images).contiguous(memory_format=layout)))
        with GradientAverage(network.parameters()) as average:
            whole[:, :, 1:].pow(3).mean().backward()
            average.finish()
        outputs.append(whole.detach())
    return {
        "outputs": torch.stack(outputs),
        "eval": network.eval()(images).detach(),
        "gradients": {k: p.grad for k, p in network.named_parameters() if p.grad is not None},
        "state": network.state_dict(),
        "random": torch.get_rng_state(),
    }


def bf16() -> Tensor:
    """A norm's output on bfloat16 maps."""
    norm = nn.Sequential(nn.BatchNorm2d(3))
    use_whole_batch(norm)
    generator = torch.Generator().manual_seed(0)
    maps = 50 + torch.randn(N, 3, 8, 8, generator=generator)
    return gather(norm(own_share(maps.bfloat16()))).detach()


def work(rank: int, folder: Path) -> None:
    """One of the processes; writes what it found to `<folder>/<rank>.pt`."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=W)
    found = {name: two_steps(True, layout) for name, layout in LAYOUTS.items()}
    torch.save(found | {"bf16": bf16()}, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("processes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("GLOO_SOCKET_IFNAME", os.environ.get("GLOO_SOCKET_IFNAME", "lo"))
        multiprocessing.spawn(work, (folder,), nprocs=W)
    return [torch.load(folder / f"{rank}.pt") for rank in range(W)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("part", ["outputs", "eval", "gradients", "state", "random"])
def test_two_processes_compute_what_one_computes(
    found: list[dict[str, Any]], part: str, layout: str
) -> None:
    expected = two_steps(False, LAYOUTS[layout])[part]
    for process in found:
        torch.testing.assert_close(process[layout][part], expected, atol=1e-9, rtol=1e-9)


def test_half_precision_keeps_its_dtype_and_not_its_rounding(found: list[dict[str, Any]]) -> None:
    expected = bf16()
    assert expected.dtype == torch.bfloat16
    for process in found:
        assert process["bf16"].dtype == torch.bfloat16
        torch.testing.assert_close(process["bf16"], expected, atol=0.02, rtol=0.01)


def test_alone_the_layers_stay() -> None:
    network = make()
    layers = list(network.modules())
    use_whole_batch(network)
    assert all(one is other for one, other in zip(network.modules(), layers, strict=True))
