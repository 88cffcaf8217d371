"""Functions that are found by their own names: models, presets, classical baselines, kinds of synthetic anomaly."""

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def register(function: Function, functions: dict[str, Any], kind: str) -> Function:
    """Add a function to `functions` under its name. Raises ValueError, naming the `kind`, if the name is taken."""
    name = function.__name__
    if name in functions:
        raise ValueError(f"{kind} {name!r} is registered twice")
    functions[name] = function
    return function
