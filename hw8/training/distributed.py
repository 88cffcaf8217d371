"""One batch shared by several processes: its gradient, and normalisation over all of it."""

import types
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from hw8.base.processes import processes
from hw8.models.output import Model

NORMALISATION = ("running_mean", "running_var", "num_batches_tracked")  # buffers of a batch normalisation


def all_reduce_gradients(model: Model, loss: Tensor, stop: bool) -> tuple[Tensor, bool]:
    """Sum the gradients of all processes in place; return the sum of their losses, and whether any wants to stop.

    One all_reduce carries all of it. Buffers that are learned from a batch (codebooks, centres) are broadcast from
    rank 0, as in PyTorch's DistributedDataParallel; normalisation has counted every process's images already.
    """
    job = processes()
    if job.world_size == 1:
        return loss, stop
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flag = torch.full((1,), float(stop), device=loss.device)
    total = job.all_reduce(torch.cat([*(g.flatten() for g in gradients), loss.view(1), flag]))
    for gradient, part in zip(gradients, total.split([*map(Tensor.numel, gradients), 2]), strict=False):
        gradient.copy_(part.view_as(gradient))
    learned = [name for name in sorted(model.learned_buffers()) if name.rsplit(".", 1)[-1] not in NORMALISATION]
    job.broadcast_tensors([model.get_buffer(name) for name in learned])
    return total[-2], bool(total[-1] > 0)


def synchronise_norms(model: nn.Module) -> None:
    """Let every batch normalisation of the model count the images of all processes while it trains.

    PyTorch's own SyncBatchNorm works on GPUs only. Weights, statistics and their names stay as they are.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.forward = types.MethodType(_forward, module)  # type: ignore[method-assign]


class _AllReduce(torch.autograd.Function):
    """The sum of all processes' tensors; its gradient is the sum of all processes' gradients."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:  # noqa: ARG004
        """Return the sum."""
        return processes().all_reduce(value.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        """Return the sum of the gradients."""
        return processes().all_reduce(gradient.clone())


def _forward(self: Any, x: Tensor) -> Tensor:
    """Batch normalisation (Ioffe and Szegedy 2015) over the batch of all processes, in float32 or float64."""
    if not self.training:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
    with torch.autocast(x.device.type, enabled=False):
        wide = x if x.dtype == torch.float64 else x.float()
        axes = [axis for axis in range(x.ndim) if axis != 1]
        shape = [1, -1] + [1] * (x.ndim - 2)
        count = wide.new_full((1,), x.numel() // x.shape[1])
        sums: Tensor = _AllReduce.apply(torch.cat([wide.sum(axes), count]))
        total = sums[-1].detach()
        mean = sums[:-1] / total
        centred = wide - mean.view(shape)
        # The squares in a second round: their mean less the mean's square would lose digits.
        squares: Tensor = _AllReduce.apply(centred.square().sum(axes))
        variance = squares / total
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (total / (total - 1)), self.momentum)
        scaled = centred * (variance + self.eps).rsqrt().view(shape)
        if self.weight is not None:
            scaled = scaled * self.weight.view(shape)
        if self.bias is not None:
            scaled = scaled + self.bias.view(shape)
        return scaled.to(x.dtype)
