"""Whether a value may be given for a model's option: judged by the builder's own annotations."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

LARGEST = {int: 1_000_000, float: 1e9}  # in absolute value; sizes are limited by the parameters they make, too
LONGEST = 64
LONGEST_WORD = 100


def check_options(builder: Callable[..., object], options: Mapping[str, Any]) -> None:
    """Raise ValueError for an option that the builder has not, or a value of another type or far out of any range."""
    parameters = inspect.signature(builder).parameters
    known = [name for name in parameters if name not in ("side", "channels")]
    for name, value in options.items():
        if name not in known:
            raise ValueError(f"it has no option {name!r}; it has {', '.join(known) or 'none'}")
        _check(name, value, parameters[name].annotation)


def _check(name: str, value: Any, kind: Any) -> None:
    if get_origin(kind) is Literal:
        good, wanted = value in get_args(kind), f"one of {', '.join(map(str, get_args(kind)))}"
    elif get_origin(kind) is Sequence:
        good, wanted = isinstance(value, list | tuple) and len(value) <= LONGEST, f"a list of at most {LONGEST}"
        for entry in value if good else ():
            _check(f"an entry of {name}", entry, get_args(kind)[0])
    elif kind is str:
        good, wanted = isinstance(value, str) and len(value) <= LONGEST_WORD, "a word"
    elif kind is bool:
        good, wanted = isinstance(value, bool), "true or false"
    else:
        kinds = (int,) if kind is int else (int, float)
        good = type(value) in kinds and abs(value) <= LARGEST[kind] and math.isfinite(value)
        wanted = f"a {'whole ' if kind is int else ''}number of at most {LARGEST[kind]:,.0f}"
    if not good:
        raise ValueError(f"{name} must be {wanted}")
