"""The exponential moving average of a model's weights (Polyak and Juditsky 1992), which is what scores."""

import torch
from torch import nn


def averaging_decay(step: int, longest: float) -> float:
    """Decay at a step, from 0.1 up to `longest`: short memory at first, so that early weights are forgotten."""
    return min(longest, (1 + step) / (10 + step))  # TensorFlow's ExponentialMovingAverage has this ramp


@torch.no_grad()
def update_average(average: nn.Module, current: nn.Module, decay: float) -> None:
    """Move averaged weights and normalisation statistics towards the current ones, in place.

    Other buffers (codebooks, centres, unit vectors, counters) are copied, since their average has no meaning.
    """
    old, new = average.state_dict(), current.state_dict()
    learned = {name for name, _ in current.named_parameters()}
    blended = [name for name in new if name in learned or name.endswith(("running_mean", "running_var"))]
    torch._foreach_lerp_([old[name] for name in blended], [new[name] for name in blended], 1 - decay)
    for name in new.keys() - set(blended):
        old[name].copy_(new[name])
