"""Models by name: one decorator registers a builder, one function calls it."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, dataclass_transform

import torch

from hw8.base.errors import InputError, shown
from hw8.base.registry import register
from hw8.config.limits import settings_dataclass
from hw8.models.output import Model

# 2 GB in float32, and four times that while it trains; the largest preset, fcn, has thirteen million on 64x64 pixels.
MAX_PARAMETERS = 500_000_000
MODELS: dict[str, Callable[..., Model]] = {}
Builder = TypeVar("Builder", bound=Callable[..., Model])
Options = TypeVar("Options")


@dataclass_transform(frozen_default=True)
def model_options(cls: type[Options]) -> type[Options]:
    """Turn a class into a model's options: a frozen dataclass whose types state the limits of each field."""
    return settings_dataclass("model.options")(cls)


@model_options
class NoOptions:
    """The model has no options."""


def register_model(builder: Builder) -> Builder:
    """Register `builder(side, channels, options)` under the function's name.

    `options` is annotated with the dataclass of the model's options; a model without any takes `side` and `channels`
    alone. Raises ValueError if the name is taken.
    """
    return register(builder, MODELS, "model")


def options_class(name: str) -> type[Any]:
    """The dataclass of a model's options. Raises InputError for an unknown model."""
    if name not in MODELS:
        raise InputError(f"`model` {name}: unknown; choose one of {', '.join(sorted(MODELS))}")
    parameter = inspect.signature(MODELS[name]).parameters.get("options")
    return NoOptions if parameter is None else parameter.annotation


def create_model(
    name: str,
    side: int,
    channels: int = 3,
    options: Mapping[str, Any] | None = None,
    weights: Mapping[str, torch.Tensor] | None = None,
) -> Model:
    """Build a registered model for images of `side` x `side` pixels, with `weights` if they are given.

    Raises InputError for an unknown name, an unknown or bad option, a model of over 500 million parameters, and
    weights that do not fit: before any memory is taken for the model.
    """
    checked = options_class(name)(**options or {})
    arguments = (side, channels) if isinstance(checked, NoOptions) else (side, channels, checked)
    try:
        with torch.device("meta"):  # shapes alone, which take no memory however large the options
            sketch = MODELS[name](*arguments)
        size = sum(value.numel() for value in (*sketch.parameters(), *sketch.buffers()))
        if size > MAX_PARAMETERS:
            raise ValueError(f"it would have {size:,} parameters; at most {MAX_PARAMETERS:,} are allowed")
        if weights is not None:
            sketch.load_state_dict(weights, assign=True)
        model = MODELS[name](*arguments)
        if weights is not None:
            model.load_state_dict(weights)
        return model
    except (ValueError, RuntimeError) as error:
        reason, values = " ".join(str(error).split())[:160], f" with {shown(dict(options), 160)}" if options else ""
        raise InputError(f"model {name} cannot be built at side {side}{values}: {reason}") from None
