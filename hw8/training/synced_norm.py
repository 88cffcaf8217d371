"""Batch normalisation over the batch of all processes (SyncBatchNorm, on any device)."""

import types
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm


def synchronise_norms(model: nn.Module) -> None:
    """Let every batch normalisation of the model count the images of all processes while it trains.

    PyTorch's own SyncBatchNorm works on GPUs only. Weights, statistics and their names stay as they are.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.forward = types.MethodType(_forward, module)  # type: ignore[method-assign]


def _forward(self: Any, x: Tensor) -> Tensor:
    if not self.training:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
    from torch.distributed.nn.functional import all_reduce  # its gradient is the sum of all processes' gradients

    with torch.autocast(x.device.type, enabled=False):
        wide = x.float()
        axes = [axis for axis in range(x.ndim) if axis != 1]
        shape = [1, -1] + [1] * (x.ndim - 2)
        count = wide.new_full((1,), x.numel() // x.shape[1])
        found = all_reduce(torch.cat([wide.sum(axes), count]))
        total = found[-1].detach()
        mean = found[:-1] / total
        centred = wide - mean.view(shape)
        # The squares in a second round: their mean less the mean's square would lose digits.
        variance = all_reduce(centred.square().sum(axes)) / total
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (total / (total - 1)), self.momentum)
        scaled = centred * (variance + self.eps).rsqrt().view(shape)
        return (scaled * self.weight.view(shape) + self.bias.view(shape)).to(x.dtype)
