"""Run by torchrun in a test: the gradient of a batch that processes share is that of the whole, in float64."""

import sys

import torch

from hw8.base.processes import processes
from hw8.models import create_model
from hw8.training.distributed import synchronise_norms


def gradients(model: torch.nn.Module, x_NCHW: torch.Tensor, count: int) -> torch.Tensor:
    output = model(x_NCHW)
    (output.recon_NCHW.double() - x_NCHW).square().flatten(1).mean(1).sum().div(count).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def main() -> None:
    torch.manual_seed(0)
    alone = create_model("resnet", 32, 3, {"widths": [8, 8, 16, 16], "latent": 8}).double().train()
    shared = create_model("resnet", 32, 3, {"widths": [8, 8, 16, 16], "latent": 8}).double().train()
    shared.load_state_dict(alone.state_dict())
    x_NCHW = torch.rand(13, 3, 32, 32, dtype=torch.float64) * 2 - 1
    expected = gradients(alone, x_NCHW, 13)
    job = processes()
    synchronise_norms(shared)
    mine = torch.arange(13).tensor_split(job.world_size)[job.rank]
    total = job.all_reduce(gradients(shared, x_NCHW[mine], 13))
    torch.testing.assert_close(total, expected, rtol=1e-4, atol=1e-6)  # the last Tanh is float32
    for (name, buffer), other in zip(shared.named_buffers(), alone.buffers(), strict=True):
        torch.testing.assert_close(buffer, other, rtol=1e-5, atol=1e-7, msg=name)
    print("the same", file=sys.stdout, flush=True)


if __name__ == "__main__":
    main()
