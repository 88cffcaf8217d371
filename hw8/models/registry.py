"""Models by name: one decorator registers a builder, one function calls it."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from hw8.errors import InputError
from hw8.models.output import Model

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


def create_model(name: str, side: int, channels: int = 3, options: Mapping[str, Any] | None = None) -> Model:
    """Build a registered model for images of `side` x `side` pixels.

    Raises InputError for an unknown name, an option the model does not have, or a value it cannot take.
    """
    if name not in MODELS:
        raise InputError(f"--model {name}: unknown; choose one of {', '.join(sorted(MODELS))}")
    builder = MODELS[name]
    known = [item for item in inspect.signature(builder).parameters if item not in ("side", "channels")]
    options = options or {}
    for option in options:
        if option not in known:
            raise InputError(f"model {name} has no option {option!r}; it has {', '.join(known)}")
    try:
        return builder(side, channels, **options)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"model {name} cannot be built at side {side} with {dict(options)}: {reason}") from None
