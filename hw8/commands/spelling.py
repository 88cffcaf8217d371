"""How commands and options are spelled, so that they work when pasted into the shell that started this process.

A command is spelled as its script, with the Python and the folder of scripts that were used, or as `hw8 NAME`. The
rooms below know neither: in their messages a setting stands as `name`, a command as `hw8 NAME WORDS`, in backticks.
"""

import re
import shlex
import shutil
import sys
from pathlib import Path

MARKED = re.compile(r"`(?:hw8 ([\w-]+)([^`]*)|([a-z][\w.-]*))`")


def spelled(name: str, *words: object) -> str:
    """A command with its words, quoted for a shell: `hw8 NAME WORDS` or `python scripts/NAME.py WORDS`."""
    return " ".join([_start(name), *(shlex.quote(str(word)) for word in words)])


def in_browser(page: Path) -> str:
    """The command that opens a page in a browser, on every system that has Python."""
    return f"{interpreter()} -m webbrowser {shlex.quote(str(page))}"


def as_folder(path: Path) -> str:
    """A folder as `--data` takes it: one named like a source, or an option, is spelled so that it is no such name."""
    from hw8.data.sources import NAMED_SOURCES

    return f"./{path}" if str(path) in NAMED_SOURCES or str(path).startswith("-") else str(path)


def for_shell(message: str) -> str:
    """A message of the rooms below with its settings and commands spelled for the command line."""
    return MARKED.sub(lambda match: _start(match[1]) + match[2] if match[1] else option(match[3]), message)


def option(setting: str) -> str:
    """The option of a setting: `--held-out-minimum` for data.held_out_minimum."""
    return "--" + setting.rpartition(".")[2].replace("_", "-")


def own_words() -> list[str]:
    """The words after the command on this process's command line."""
    return sys.argv[1:] if _program() is None else sys.argv[2:]


def own_spelling() -> str | None:
    """This process's own command as `hw8 NAME`; None for a script."""
    return None if _program() is None else spelled(sys.argv[1].replace("-", "_"))


def program() -> str:
    """The word or words before a command's name where the command hw8 is used."""
    return _program() or "hw8"


def interpreter() -> str:
    """`python` if the shell finds the Python of this process so, else its path, for instance .venv/bin/python."""
    return shlex.quote("python" if _on_path("python") else _short(Path(sys.executable)))


def installed(file: Path) -> str:
    """A program of this environment by its name if the shell finds it so, else by its path."""
    return shlex.quote(file.name if _on_path(file.name) else _short(file))


def _program() -> str | None:
    """`hw8` or `python -m hw8` if this process was started so; None for a script."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py" and program.parent.name == "hw8":
        return f"{interpreter()} -m hw8"
    return installed(program) if program.stem == "hw8" else None


def _start(name: str) -> str:
    """A command, spelled as this process's own: after `hw8`, or as a script beside the one that runs."""
    if (before := _program()) is not None:
        return f"{before} {name}"
    script = Path(sys.argv[0])
    is_script = script.suffix == ".py" and script.absolute().parent.name == "scripts"
    folder = script.parent if is_script else Path("scripts")
    return f"{interpreter()} {shlex.quote(str(folder / f'{name}.py'))}"


def _on_path(name: str) -> bool:
    """Whether the shell finds this program in the environment that runs this process."""
    # Links are not resolved: a virtual environment's python is a link to the one outside.
    path = shutil.which(name)
    return path is not None and Path(path).absolute().parent == Path(sys.executable).parent


def _short(path: Path) -> str:
    """A path relative to the current folder if it lies in it, else in full."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
