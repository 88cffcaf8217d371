"""Reading command lines into dataclasses with tyro, and its errors in plain words."""

import contextlib
import io
import re
import shlex
import sys
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import tyro

from hw8.base.errors import InputError, did_you_mean
from hw8.commands.spelling import interpreter, option, own_spelling, own_words

Arguments = TypeVar("Arguments")
STYLE = (tyro.conf.OmitArgPrefixes, tyro.conf.SuppressFixed)
Value = TypeVar("Value")
# An option that may be omitted and cannot be None; its help text says what holds then.
Omittable = Annotated[Value | None, tyro.conf.DisallowNone, tyro.conf.arg(help_behavior_hint="")]


def parse(kind: type[Arguments], text: str, default: Any = None, argv: Sequence[str] | None = None) -> Arguments:
    """Read the command line into a dataclass. Raises InputError for bad usage, and exits after --help."""
    frame = io.StringIO()
    defaults = {} if default is None else {"default": default}
    words = own_words() if argv is None else argv
    # None is a value of some settings of a run only, for instance `--crop None`.
    style = STYLE if defaults else (*STYLE, tyro.conf.DisallowNone)
    try:
        with contextlib.redirect_stderr(frame):
            return tyro.cli(kind, prog=own_spelling(), description=text, args=words, config=style, **defaults)
    except SystemExit as leaving:
        if leaving.code in (0, None):
            raise
        line = _in_plain_words(frame.getvalue())
        unknown = re.match(r"Unrecognized options?: ([^,]+)", line)
        hint = _instead_of(unknown[1], option_names(kind, defaults)) if unknown else ""
        raise InputError(f"{line};{hint} see --help") from None


def _instead_of(word: str, options: set[str]) -> str:
    """The question "did you mean --X?" for an unknown option, or a run without its option; else an empty text."""
    if word.startswith("--"):
        return did_you_mean(word, options)
    return f" did you mean --run {word}?" if "--run" in options and not word.isdecimal() else ""


def option_names(kind: type[Any], defaults: dict[str, Any]) -> set[str]:
    """The names of all options, which start the lines of the help text; an indented one only mentions an option."""
    text = io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(text):
        tyro.cli(kind, args=["--help"], config=STYLE, **defaults)
    lines = re.findall(r"^\W (--?\w.+)", text.getvalue(), re.MULTILINE)
    return {name for line in lines for name in re.findall(r"--[\w.-]+", line.partition("  ")[0])}


def _in_plain_words(frame: str) -> str:
    """What tyro's frame says is wrong with the command line, with the option first, as in messages of our own."""
    line = _first_line(frame)
    if line.startswith("Missing from"):
        missing, _, unknown = frame.partition("Unrecognized options:")
        names = re.findall(r"^. {5}(\S.*?) *.$", unknown or missing, re.MULTILINE)
        if unknown:
            return f"Unrecognized options: {', '.join(names[:-1])}"  # the last is --help
        return f"missing: {', '.join(names[:-1])}"
    if match := re.match(r"Missing value for argument '(\S+)'", line):
        return f"{match[1]}: a value is missing"
    if match := re.match(r"invalid choice '(.*)' for argument '(\S+)'. Expected one of \((.*?),?\)", line):
        return f"{match[2]} {match[1]}: must be one of {match[3].replace(chr(39), '')}"
    if match := re.match(r"Error parsing (--\S+): (.*)'([^']*)'\W*$", line):
        kinds = {"int": "a whole number is expected", "float": "a number is expected"}
        kind = re.search(r"\b(int|float)\b", match[2], re.IGNORECASE)
        return f"{match[1]} {match[3]}: {kinds[kind[1].lower()] if kind else 'cannot be read'}"
    line = re.sub(r"^Error parsing [\w.]+: ", "", line)
    if match := re.match(r"([\w.]+) = (\S+): (must .*)", line):  # a limit of a setting, as files have it
        return f"{option(match[1])} {match[2]}: {match[3]}"
    return line


def _first_line(frame: str) -> str:
    """The message inside tyro's frame, without its hints."""
    message: list[str] = []
    for line in frame.splitlines()[1:]:
        text = line.strip("│|╭╮╰╯+ ")  # drawn in ASCII where the terminal has no other characters
        if text.strip("─-"):
            message.append(text.strip("─ "))
        elif message:
            break
    return " ".join(message) or "bad usage"


def is_given(name: str, argv: Sequence[str]) -> bool:
    """Whether an option is on the command line."""
    return any(word.partition("=")[0].replace("_", "-") == f"--{name}" for word in argv)


def command_line() -> str:
    """The command that started this process, as one would type it."""
    start = own_spelling() or f"{interpreter()} {shlex.quote(sys.argv[0])}"
    return f"{start} {shlex.join(own_words())}".rstrip()
