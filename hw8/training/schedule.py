"""Epochs for the number of images, and the learning rate as a pure function of the step: nothing to save."""

import dataclasses
import math

from hw8.config import TrainConfig
from hw8.data.loader import batch_count

# Images per step where there are few, chosen by hand: as many steps of larger batches would take longer, and batch
# normalisation gets unsteady in much smaller ones.
SMALL_BATCH = 64


def with_enough_steps(config: TrainConfig, rows: int) -> TrainConfig:
    """Return the settings for `rows` training images: with more epochs if they would make under `least_steps` steps.

    After 15 steps, for instance, a model has learned nothing, however many epochs its preset was made for.
    """
    if config.epochs * batch_count(rows, config.batch_size) >= config.least_steps:
        return config
    batch = min(config.batch_size, SMALL_BATCH)
    epochs = max(config.epochs, math.ceil(config.least_steps / batch_count(rows, batch)))
    return dataclasses.replace(config, epochs=epochs, batch_size=batch)


def learning_rate(step: int, steps: int, config: TrainConfig) -> float:
    """Linear warm-up to `config.lr`, then half a cosine down to its final share (Loshchilov and Hutter 2017)."""
    warmup = math.ceil(steps * config.warmup_share)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - 1 - warmup)
    share = config.final_lr_share + (1 - config.final_lr_share) * (1 + math.cos(math.pi * progress)) / 2
    return config.lr * share
