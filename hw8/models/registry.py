"""Models by name: one decorator registers a builder, one function calls it."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch

from hw8.base.errors import InputError, shown
from hw8.models.options import check_options
from hw8.models.output import Model

LARGEST = 500_000_000
MODELS: dict[str, Callable[..., Model]] = {}
Builder = TypeVar("Builder", bound=Callable[..., Model])


def register_model(builder: Builder) -> Builder:
    """Register `builder(side, channels, **options)`; the model's name is the function's name.

    Raises ValueError if the name is taken.
    """
    name = builder.__name__
    if name in MODELS:
        raise ValueError(f"model {name!r} is registered twice")
    MODELS[name] = builder
    return builder


def create_model(
    name: str,
    side: int,
    channels: int = 3,
    options: Mapping[str, Any] | None = None,
    weights: Mapping[str, torch.Tensor] | None = None,
) -> Model:
    """Build a registered model for images of `side` x `side` pixels, with `weights` if they are given.

    Raises InputError for an unknown name, an option the model does not have, a value it cannot take, a model of over
    500 million parameters, and weights that do not fit: before any memory is taken for it.
    """
    if name not in MODELS:
        raise InputError(f"`model` {name}: unknown; choose one of {', '.join(sorted(MODELS))}")
    builder, options = MODELS[name], options or {}
    try:
        check_options(builder, options)
        with torch.device("meta"):  # shapes alone: a stranger's settings may ask for any size
            sketch = builder(side, channels, **options)
        size = sum(value.numel() for value in (*sketch.parameters(), *sketch.buffers()))
        if size > LARGEST:
            raise ValueError(f"it would have {size:,} parameters; at most {LARGEST:,} are taken")
        if weights is None:
            return builder(side, channels, **options)
        sketch.load_state_dict(weights, assign=True)
        model = builder(side, channels, **options)
        model.load_state_dict(weights)
        return model
    except (TypeError, ValueError, RuntimeError, OverflowError, RecursionError, MemoryError) as error:
        reason, given = " ".join(str(error).split())[:160], shown(dict(options), 160)
        raise InputError(f"model {name} cannot be built at side {side} with {given}: {reason}") from None
