"""The two ways a command ends early: the input is at fault, or the user stopped it."""

import difflib
import shlex
from collections.abc import Iterable, Sequence

LONGEST = 600


class InputError(ValueError):
    """Bad usage or bad input: one line saying what is wrong, where, and what to do (exit code 2).

    A setting stands in the message as `name`, a command as `hw8 NAME WORDS` (see `command`); the command line spells
    them as they are typed there. What is quoted of a file may hold anything: it is made `printable`, and of over 600
    characters the middle goes. `choices` are lines to choose from, which a command prints below.
    """

    def __init__(self, message: str, choices: Sequence[str] = ()) -> None:
        super().__init__(one_line(message))
        self.choices = tuple(choices)


def command(name: str, *words: object) -> str:
    """A command as messages name it, its words quoted for a shell: `hw8 NAME WORDS`."""
    return f"`{shlex.join(['hw8', name, *map(str, words)])}`"


def nearest(word: str, known: Iterable[str]) -> str:
    """The words " did you mean X?" for the nearest of the known names, or nothing if none is near."""
    near = difflib.get_close_matches(word, list(known), 1, 0.6)
    return f" did you mean {near[0]}?" if near else ""


def one_line(text: str) -> str:
    """Text of any origin, fit to be printed on a line."""
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} ... {text[-LONGEST // 3 :]}"
    return printable(text)


def printable(text: str, longest: int | None = None) -> str:
    """Up to so many characters, unprintable ones as Python writes them: no text from elsewhere steers a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text[:longest])


class Interrupted(Exception):
    """Stopped by the user or the system with the work saved; the message says how to go on (exit code 130)."""


def shown(value: object, longest: int = 80) -> str:
    """A value as Python writes it, cut; a whole number too long to be written is called that."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= longest else f"{text[:longest]}..."
