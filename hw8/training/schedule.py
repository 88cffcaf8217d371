"""Learning rate and weight averaging as pure functions of the step: nothing to save, nothing to lose."""

import math

from hw8.config import TrainConfig


def learning_rate(step: int, steps: int, config: TrainConfig) -> float:
    """Linear warm-up to `config.lr`, then half a cosine down to its final share (Loshchilov and Hutter 2017)."""
    warmup = math.ceil(steps * config.warmup_share)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - 1 - warmup)
    share = config.final_lr_share + (1 - config.final_lr_share) * (1 + math.cos(math.pi * progress)) / 2
    return config.lr * share


def averaging_decay(step: int, config: TrainConfig) -> float:
    """Decay of the weight average at a step: short memory at first, so that early weights are forgotten."""
    return min(config.ema_decay, (1 + step) / (10 + step))
