"""The exponential moving average of a model's weights (Polyak and Juditsky 1992), which is what scores."""

import torch
from torch import Tensor, nn


def averaging_decay(step: int, max_decay: float) -> float:
    """Decay at a step, from 0.1 up to `max_decay`: short memory at first, so that early weights are forgotten."""
    return min(max_decay, (1 + step) / (10 + step))  # TensorFlow's ExponentialMovingAverage has this ramp


@torch.no_grad()
def update_average(average: nn.Module, current: nn.Module, decay: float | Tensor) -> None:
    """Move averaged weights and normalisation statistics towards the current ones, in place; `decay` may be on a GPU.

    Other buffers (codebooks, centres, unit vectors, counters) are copied, since their average has no meaning.
    """
    old, new = average.state_dict(), current.state_dict()
    learned = {name for name, _ in current.named_parameters()}
    blended = [name for name in new if name in learned or name.endswith(("running_mean", "running_var"))]
    old_values, new_values = [old[name] for name in blended], [new[name] for name in blended]
    if isinstance(decay, Tensor):
        towards = torch._foreach_sub(new_values, old_values)
        torch._foreach_mul_(towards, 1 - decay)
        torch._foreach_add_(old_values, towards)
    else:
        torch._foreach_lerp_(old_values, new_values, 1 - decay)
    if others := new.keys() - set(blended):
        torch._foreach_copy_([old[name] for name in others], [new[name] for name in others])
