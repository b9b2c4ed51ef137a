"""What the processes of a distributed training exchange; without others nothing is exchanged.

The losses of a method are of the whole batch (prototypes, pairs of pictures, shares of the
strongest pixels), so every process computes them on everybody's maps: `gather` what the networks
said of the own share of the batch, compute the same loss everywhere, average the gradients
(`GradientAverage`). That gives the gradients of a single process that has the whole batch.

`process_group` joins the processes that torchrun started.

Letters: N batch, W processes.
"""

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import Parameter

from hsc.base.launch import Place

_Item = TypeVar("_Item")
_BUCKET = 25 << 20  # bytes of a message


def processes() -> int:
    """How many processes train together: 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this process is the one that writes and talks: rank 0, or alone."""
    return processes() == 1 or dist.get_rank() == 0


@contextlib.contextmanager
def process_group(place: Place, device: torch.device) -> Iterator[None]:
    """Train with the other processes inside: NCCL between GPUs, Gloo between CPUs.

    Alone there is no group. Returns once all processes have arrived.
    """
    if place.processes == 1:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def own_share(batch: Sequence[_Item]) -> Sequence[_Item]:
    """This process's part of the whole batch, in its order: process r has the r-th of W parts.

    Raises ValueError when the batch cannot be shared out evenly.
    """
    count = processes()
    if len(batch) % count:
        raise ValueError(f"a batch of {len(batch)} cannot be shared among {count} processes")
    if count == 1:
        return batch
    size = len(batch) // count
    return batch[dist.get_rank() * size : (dist.get_rank() + 1) * size]


def own_part(items: Sequence[_Item]) -> Sequence[_Item]:
    """This process's part of a list of any length: process r has every W-th item, from the r-th."""
    return items if processes() == 1 else items[dist.get_rank() :: processes()]


def all_here(device: torch.device) -> None:
    """Wait until every process has arrived."""
    gather(torch.zeros(1, device=device))


def gather(own: Tensor) -> Tensor:
    """Every process's (N / W, ...) in the order of the batch, (N, ...), differentiable.

    The shape has to be the same everywhere. A gradient that reaches the result comes back as the
    sum of the gradients of all processes, W times a single process's where all compute the same
    loss; the average of the parameters' gradients takes the W out again. Alone: `own` itself.
    """
    return own if processes() == 1 else _Gather.apply(own)


class GradientAverage:
    """Replaces each gradient by its mean over the processes; alone, leaves it as it is.

    A context manager around the steps of a training. Many gradients go in one message, the last
    layers' first; from the second step on a message is sent as soon as its gradients are there,
    while the backward pass goes on. A parameter without a gradient is left out, which has to be so
    in every process.
    """

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        self._parameters = [each for each in parameters if each.requires_grad][::-1]
        self._planned: list[list[Parameter]] = []  # messages, in their order
        self._begun = 0  # how many of them are sent in this step
        self._ready: set[Parameter] = set()
        self._sent: list[tuple[list[Parameter], Tensor, Any]] = []
        self._hooks: list[Any] = []

    def __enter__(self) -> Self:
        if processes() > 1:
            self._hooks = [
                each.register_post_accumulate_grad_hook(self._note) for each in self._parameters
            ]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def finish(self) -> None:
        """After each backward pass: from here on the gradients are their means."""
        if processes() == 1:
            return
        known = set(itertools.chain.from_iterable(self._planned))
        new = [each for each in self._parameters if each in self._ready and each not in known]
        self._planned += _buckets(new)
        for bucket in self._planned[self._begun :]:
            self._send([each for each in bucket if each in self._ready])
        for bucket, flat, message in self._sent:
            message.wait()
            _take_means(bucket, flat / processes())
        self._begun, self._ready, self._sent = 0, set(), []

    def _note(self, parameter: Parameter) -> None:
        """Its gradient is there: send every message that waited for it, none before its turn."""
        self._ready.add(parameter)
        while self._begun < len(self._planned) and self._ready.issuperset(
            self._planned[self._begun]
        ):
            self._send(self._planned[self._begun])

    def _send(self, bucket: list[Parameter]) -> None:
        self._begun += 1
        if bucket:
            flat = torch.cat([each.grad.flatten() for each in bucket])
            self._sent.append((bucket, flat, dist.all_reduce(flat, async_op=True)))


def _take_means(bucket: Sequence[Parameter], means: Tensor) -> None:
    sizes = [each.numel() for each in bucket]
    for each, mean in zip(bucket, means.split(sizes), strict=True):
        each.grad.copy_(mean.view(each.shape))


def _buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Tensors in their order, of one type, up to a size a list; a larger one is alone."""
    bucket: list[Tensor] = []
    held = 0
    for tensor in tensors:
        held += tensor.nbytes
        if bucket and (held > _BUCKET or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket, held = [], tensor.nbytes
        bucket.append(tensor)
    if bucket:
        yield bucket


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        ctx.size = len(own)
        own = own.contiguous()
        parts = [torch.empty_like(own) for _ in range(processes())]
        dist.all_gather(parts, own)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.narrow(0, dist.get_rank() * ctx.size, ctx.size)
