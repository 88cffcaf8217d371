"""The two ways a command ends early: the input is at fault, or the user stopped it."""

import difflib
import shlex
from collections.abc import Iterable, Sequence

# Characters of a message, chosen by hand: about six lines of a terminal. A path or a value quoted from a file may be
# longer than any reader wants to see.
MAX_LENGTH = 600


class InputError(ValueError):
    """Bad usage or bad input: one line that says what is wrong, where, and what to do (exit code 2).

    A setting stands in the message as `name`, a command as `hw8 NAME WORDS` (see `command`); the command line spells
    them as they are typed there. Text quoted from a file may hold anything: the message is made `printable`, and the
    middle of one over 600 characters is cut. `choices` are lines to choose from, which a command prints below.
    """

    def __init__(self, message: str, choices: Sequence[str] = ()) -> None:
        message = printable(message)
        if len(message) > MAX_LENGTH:
            message = f"{message[: MAX_LENGTH // 2]} ... {message[-MAX_LENGTH // 3 :]}"
        super().__init__(message)
        self.choices = tuple(choices)


class TrainingFailed(InputError):
    """A training that cannot succeed with its settings and images; its run says so instead of scoring."""


class Interrupted(Exception):
    """Stopped by the user or the system with the work saved; the message says how to resume (exit code 130)."""


def command(name: str, *words: object) -> str:
    """Return a command as messages quote it, its words escaped for a shell: `hw8 NAME WORDS`."""
    return f"`{shlex.join(['hw8', name, *map(str, words)])}`"


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """Return " did you mean X?" for the most similar of the names, or an empty text if none is similar."""
    similar = difflib.get_close_matches(word, list(names), 1)
    return f" did you mean {similar[0]}?" if similar else ""


def printable(text: str, longest: int | None = None) -> str:
    """Return up to `longest` characters with unprintable ones escaped, so that no file can control a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text[:longest])


def error_reason(error: BaseException, longest: int = 120) -> str:
    """Return the beginning of an error's message on one line, to be quoted in an InputError; of an OSError its cause.

    The path and the number that an OSError's message has besides would stand in the line a second time.
    """
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:longest]


def shown(value: object, longest: int = 80) -> str:
    """Return `repr(value)`, cut to `longest` characters."""
    text = repr(value)
    return text if len(text) <= longest else f"{text[:longest]}..."
