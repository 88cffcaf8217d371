"""Frozen dataclasses whose types state what each field may hold, and those types."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypeVar, dataclass_transform, get_args

import tyro
from pydantic import AfterValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass
from pydantic.fields import FieldInfo

from hw8.base.errors import InputError, did_you_mean, shown

Kind = TypeVar("Kind")

# Strict, because Python takes True for a whole number, and 3.0 and "3" would otherwise become 3 without a word.
STRICT = ConfigDict(strict=True, allow_inf_nan=False, extra="forbid")
LIMITS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
# Far above any real setting; past 10**18 or so NumPy and PyTorch fail with overflow errors of their own.
MAX_COUNT = 10**9


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable text on one line")
    return text


Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
CountOrZero = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what both NumPy and PyTorch take
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Word = Annotated[str, AfterValidator(_printable)]


@dataclass_transform(frozen_default=True)
def settings_dataclass(section: str) -> Callable[[type[Kind]], type[Kind]]:
    """Turn a class into a frozen dataclass that refuses values outside its fields' types, and shows limits in --help.

    Its constructor raises InputError with the section, the field and the rule, for instance
    `train.lr = nan: must be a finite number`.
    """

    def decorate(cls: type[Kind]) -> type[Kind]:
        for name, annotation in cls.__annotations__.items():
            cls.__annotations__[name] = _with_limits_in_help(annotation)
        checked: Any = dataclass(frozen=True, config=STRICT)(cls)
        construct = checked.__init__

        @functools.wraps(construct)
        def __init__(self: Any, /, *args: Any, **values: Any) -> None:  # noqa: N807
            try:
                construct(self, *args, **values)
            except ValidationError as error:
                raise InputError(_message(error, section, checked)) from None

        checked.__init__ = __init__
        return checked

    return decorate


def _message(error: ValidationError, section: str, kind: type[Any]) -> str:
    """The first fault in one line: section, field, value and rule."""
    fault = error.errors(include_url=False)[0]
    rule = fault["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    for kind_of_limit, limit in fault.get("ctx", {}).items():
        if kind_of_limit in LIMITS:
            rule = f"must be {LIMITS[kind_of_limit]} {limit:.10g}"
    prefix = f"{section}." if section else ""
    if not fault["loc"]:  # two fields that contradict each other: __post_init__ names them
        return prefix + rule
    name, *places = fault["loc"]
    if fault["type"] == "unexpected_keyword_argument":
        known = [field.name for field in dataclasses.fields(kind)]
        rule = f"unknown;{did_you_mean(str(name), known)} known: {', '.join(known) or 'none'}"
    elif fault["type"] == "missing":  # pydantic names the place of the first entry that a list is short of
        places, rule = [], "has too few entries"
    elif fault["type"] == "float_type" and isinstance(fault["input"], str):
        rule += ", in YAML for instance 1.0e-3"  # which YAML reads as a number, but 1e-3 as text
    entry = "".join(f"[{place}]" for place in places)
    return f"{prefix}{name}{entry} = {shown(fault['input'])}: {rule}"


def _with_limits_in_help(annotation: Any) -> Any:
    """The same type; --help prints its limits before the default."""
    limits = ", ".join(f"{LIMITS[name]} {value}" for name, value in _limits(annotation))
    if not limits:
        return annotation
    return Annotated[annotation, tyro.conf.arg(help_behavior_hint=lambda default: f"({limits}; default: {default})")]


def _limits(annotation: Any) -> Iterator[tuple[str, Any]]:
    """The names and values of the limits inside a type, for instance ("ge", 1)."""
    if isinstance(annotation, FieldInfo):
        for limit in annotation.metadata:
            yield from ((name, getattr(limit, name)) for name in LIMITS if hasattr(limit, name))
    # The entries of a tuple of four share one type, whose limits are listed once.
    for part in dict.fromkeys(get_args(annotation)):
        yield from _limits(part)
