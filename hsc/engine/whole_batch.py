"""Layers that look at the whole batch where each process has a share of it.

Batch norm takes its statistics over the batch, and dropout draws for it. With layers that know
their own share only, several processes would train another network than one process does.

Letters: n pictures of the own share, W processes, C channels, H W cells of a map.
"""

import torch
from torch import Tensor, nn

from hsc.base.distributed import gather, own_share, processes


def use_whole_batch(module: nn.Module) -> None:
    """Replace the norms and dropouts below `module` by those of the whole batch; alone, none.

    Parameters and buffers stay the same objects under the same names.
    """
    if processes() == 1:
        return
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, _WholeBatchNorm2d(child))
        elif isinstance(child, nn.Dropout2d):
            setattr(module, name, _WholeBatchDropout2d(child.p))
        elif isinstance(child, nn.Dropout):
            setattr(module, name, _WholeBatchDropout(child.p))
        else:
            use_whole_batch(child)


class _WholeBatchNorm2d(nn.BatchNorm2d):
    """The norm of a single process with the whole batch; torch's SyncBatchNorm needs a GPU."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.weight, self.bias = norm.weight, norm.bias
        for name, buffer in norm.named_buffers():
            setattr(self, name, buffer)
        self.train(norm.training)

    def forward(self, maps: Tensor) -> Tensor:
        """(n, C, H, W) to the same shape and dtype."""
        if not self.training:
            return super().forward(maps)
        # At least float32, as the fused norm computes inside.
        wide = maps.to(torch.promote_types(maps.dtype, torch.float32))
        own = torch.stack([wide.mean((0, 2, 3)), wide.var((0, 2, 3), correction=0)])
        means, variances = gather(own[None]).unbind(1)  # (W, C) each; the shares are equally large
        mean = means.mean(0)
        variance = variances.mean(0) + (means - mean).square().mean(0)
        self._remember(mean.detach(), variance.detach(), processes() * maps[:, 0].numel())
        scale = self.weight * torch.rsqrt(variance + self.eps)
        normed = (wide - mean[:, None, None]) * scale[:, None, None] + self.bias[:, None, None]
        return normed.to(maps.dtype)

    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / max(1, count - 1)), self.momentum)


class _WholeBatchDropout2d(nn.Dropout2d):
    """Draws for the whole batch in every process and takes the own share of it.

    So every process's generator is where a single process's would be, which is why one state of
    it is enough to resume all of them.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """(n, C, H, W) to the same."""
        if not self.training or self.p == 0:
            return super().forward(maps)
        count, channels = maps.shape[:2]
        kept = maps.new_empty(processes() * count, channels, 1, 1).bernoulli_(1 - self.p)
        return maps * own_share(kept.div_(1 - self.p))


class _WholeBatchDropout(nn.Dropout):
    """The same for dropout of single values; torch draws them in the order of the memory."""

    def forward(self, maps: Tensor) -> Tensor:
        """(n, C, H, W) to the same."""
        if not self.training or self.p == 0:
            return super().forward(maps)
        layout = torch.contiguous_format
        if not maps.is_contiguous() and maps.is_contiguous(memory_format=torch.channels_last):
            layout = torch.channels_last
        kept = torch.empty(
            (processes() * len(maps), *maps.shape[1:]),
            dtype=maps.dtype,
            device=maps.device,
            memory_format=layout,
        ).bernoulli_(1 - self.p)
        return maps * own_share(kept.div_(1 - self.p))
