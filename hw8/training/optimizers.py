"""Clipping; AdamW; and Muon, whose steps for the kernels of convolutions are orthogonalised momentum."""

import inspect
from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

MOMENTUM = 0.95  # share of the past in the gradients' average, and in Nesterov's look ahead; Jordan's value
# Of Newton and Schulz's iteration x -> a x + b (x x') x + c (x x')^2 x, and how often it is made. Jordan's, chosen so
# that small singular values grow fast; the values end between about .7 and 1.2, not at 1, which is near enough.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
# Root mean square of an update, in learning rates, about that of AdamW, so that both take the same rate (Liu and others
# 2025, "Muon is scalable for LLM training", section 2.2).
SCALE = 0.2
# Rows up to which matrices are multiplied together on a CPU: larger ones take less time one by one (measured on two
# cores, with one thread and with two).
STACKED = 128


def clip_gradients(model: nn.Module, max_norm: float) -> Tensor:
    """Scale all gradients together so that their norm is `max_norm` at most; return the norm before, a scalar."""
    weights = [p for p in model.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm([cast(Tensor, p.grad) for p in weights])
    # PyTorch multiplies in any case, if only by 1, so that it need not wait for a GPU. On a CPU nothing is waited for,
    # and a pass over memory saved.
    if norm.device.type != "cpu" or not norm + 1e-6 <= max_norm:
        torch.nn.utils.clip_grads_with_norm_(weights, max_norm, norm)
    return norm


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

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Step the kernels, then the other weights."""
        for group in self.param_groups:
            if kernels := [p for p in group["params"] if p.ndim == 4 and p.grad is not None]:
                self._step_kernels(kernels, **group)
        return super().step(closure)

    def _step_kernels(self, kernels: list[Tensor], lr: float | Tensor, weight_decay: float, **_: object) -> None:
        for p in kernels:
            if not self.state[p]:
                # AdamW counts the steps of a weight, and cannot load a state without; here the count is not used.
                self.state[p] |= {"step": torch.zeros(()), "momentum": torch.zeros_like(p)}
        grads, momenta = [cast(Tensor, p.grad) for p in kernels], [self.state[p]["momentum"] for p in kernels]
        overflowed = getattr(self, "found_inf", None)  # 1 or 0, set by the gradient scaler while a fused step is made
        if overflowed is None:
            torch._foreach_lerp_(momenta, grads, 1 - MOMENTUM)
        else:
            applies = 1 - overflowed
            lr, grads = lr * applies, [grad.where(applies > 0, 0.0) for grad in grads]
            for momentum, grad in zip(momenta, grads, strict=True):
                momentum.lerp_(grad, (1 - MOMENTUM) * applies)
        ahead = torch._foreach_lerp(grads, momenta, MOMENTUM)
        matrices = orthogonalised([gradient.flatten(1) for gradient in ahead])
        torch._foreach_mul_(kernels, 1 - lr * weight_decay)
        for p, matrix in zip(kernels, matrices, strict=True):
            factor, update = SCALE * max(matrix.shape) ** 0.5, matrix.reshape(p.shape)
            if isinstance(lr, Tensor):
                p.addcmul_(update, lr, value=-factor)
            else:
                p.sub_(update, alpha=lr * factor)
            p.grad = None  # so that AdamW leaves it


def orthogonalised(matrices: Sequence[Tensor]) -> list[Tensor]:
    """About U V' of each matrix (I, J) = U S V', without computing either: singular values between about .7 and 1.2."""
    wide = [matrix.T if len(matrix) > matrix.shape[1] else matrix for matrix in matrices]
    norms = torch._foreach_norm(wide)
    torch._foreach_add_(norms, 1e-7)  # of a gradient of zeros, zeros
    xs = [x / norm for x, norm in zip(wide, norms, strict=True)]
    products = _newton_schulz_products([x @ x.T for x in xs])
    results = (product @ x for product, x in zip(products, xs, strict=True))
    return [x.T if len(m) > m.shape[1] else x for m, x in zip(matrices, results, strict=True)]


def _newton_schulz_products(squares: list[Tensor]) -> list[Tensor]:
    """The product of all factors p of the iteration x -> p x, from the matrix x x' (I, I) of each x.

    x -> p x turns x x' into p x x' p: iterating on these small matrices, x is needed only at the start and the end.
    Those of one size are multiplied together, since to start a small product takes longer than the product itself.
    """
    groups: dict[tuple[int, int | None], list[int]] = {}  # by size, and of large matrices each by itself
    for place, square in enumerate(squares):
        is_large = square.device.type == "cpu" and len(square) > STACKED
        groups.setdefault((len(square), place if is_large else None), []).append(place)
    products: dict[int, Tensor] = {}
    for places in groups.values():
        products |= zip(places, _newton_schulz_product(torch.stack([squares[place] for place in places])), strict=True)
    return [products[place] for place in range(len(squares))]


def _newton_schulz_product(square: Tensor) -> Tensor:
    """The product of all factors p, from several matrices x x' (K, I, I)."""
    product = p = _factor(square)
    for _ in range(ITERATIONS - 1):
        square = p @ square @ p
        p = _factor(square)
        product = p @ product
    return product


def _factor(square: Tensor) -> Tensor:
    """p of one iteration x -> p x, from x x': a + b x x' + c (x x')^2."""
    a, b, c = COEFFICIENTS
    p = b * square + c * square @ square
    p.diagonal(dim1=-2, dim2=-1).add_(a)
    return p
