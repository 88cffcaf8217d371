"""AdamW; and Muon, whose steps for the kernels of convolutions are orthogonalised momentum."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

MOMENTUM = 0.95  # share of the past in the gradients' average, and in Nesterov's look ahead; Jordan's value
# Of Newton and Schulz's iteration x -> a x + b (x x') x + c (x x')^2 x, and how often it is made. Jordan's, chosen so
# that small singular values grow fast; the values end between about .7 and 1.2, not at 1, which is near enough.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
# Root mean square of an update, in learning rates, about that of AdamW, so that both take the same rate (Liu and others
# 2025, "Muon is scalable for LLM training", section 2.2).
SCALE = 0.2


class AdamW(torch.optim.AdamW):
    """PyTorch's AdamW without the decorators by which torch.compile goes around its methods.

    At their first call they import the compiler, which takes about as long as the rest of PyTorch (1.5 to 2 seconds of
    processor time, measured on an AMD EPYC).
    """

    add_param_group = inspect.unwrap(torch.optim.AdamW.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.AdamW.zero_grad)
    state_dict = inspect.unwrap(torch.optim.AdamW.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.AdamW.load_state_dict)
    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))


class Muon(AdamW):
    """AdamW, but for the convolutions' kernels, where the step is orthogonalised momentum (Jordan and others 2024).

    A kernel (O, I, H, W) is taken as a matrix (O, I H W), and its averaged gradient U S V' replaced by about U V': all
    directions of the matrix learn equally fast, also those in which gradients are small.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float) -> None:
        # Not fused: the fused step skips by itself what the gradient scaler found to overflow, and ours would not.
        super().__init__(groups, lr=lr)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Step the kernels, then the other weights."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim == 4 and p.grad is not None:
                    state = self.state[p]
                    if not state:
                        # AdamW counts the steps of a weight, and cannot load a state without.
                        state |= {"step": torch.zeros(()), "momentum": torch.zeros_like(p)}
                    state["step"] += 1
                    state["momentum"].lerp_(p.grad, 1 - MOMENTUM)
                    ahead = p.grad.lerp(state["momentum"], MOMENTUM)
                    matrix = orthogonalised(ahead.flatten(1))
                    factor = SCALE * max(matrix.shape) ** 0.5
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.sub_(matrix.reshape(p.shape), alpha=group["lr"] * factor)
                    p.grad = None  # so that AdamW leaves it
        return super().step(closure)


def orthogonalised(matrix_IJ: Tensor) -> Tensor:
    """About U V' of a matrix (I, J) = U S V', without computing either: singular values between about .7 and 1.2."""
    a, b, c = COEFFICIENTS
    wide = matrix_IJ.T if len(matrix_IJ) > matrix_IJ.shape[1] else matrix_IJ
    x = wide / (wide.norm() + 1e-7)  # of a gradient of zeros, zeros
    # x -> p x turns x x' into p x x' p: iterating on these small matrices, x is needed only at the start and the end.
    square, product = x @ x.T, None
    for _ in range(ITERATIONS):
        p = b * square + c * square @ square
        p.diagonal().add_(a)
        product = p if product is None else p @ product
        square = p @ square @ p
    x = product @ x
    return x if wide is matrix_IJ else x.T
