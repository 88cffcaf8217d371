"""How commands and options are spelled, so that they work when they are pasted where this process was started.

A command is spelled as the script that it is, with the Python and the folder of scripts that were used, or as
`hw8 NAME`. The rooms below know neither: in their messages a setting stands as `name`, a command as `hw8 NAME WORDS`.
"""

import re
import shlex
import shutil
import sys
from pathlib import Path

MARKED = re.compile(r"`(?:hw8 ([\w-]+)([^`]*)|([a-z][\w.-]*))`")


def spelled(name: str, *words: object) -> str:
    """A command with its words as one would paste it: `hw8 NAME WORDS` or `python scripts/NAME.py WORDS`, quoted."""
    return " ".join([_start(name), *(shlex.quote(str(word)) for word in words)])


def for_shell(message: str) -> str:
    """A message of the rooms below with its settings and commands spelled for the command line."""
    return MARKED.sub(lambda found: _start(found[1]) + found[2] if found[1] else option(found[3]), message)


def option(setting: str) -> str:
    """The option that sets it: `--held-out-minimum` for data.held_out_minimum."""
    return "--" + setting.rpartition(".")[2].replace("_", "-")


def own_words() -> list[str]:
    """This process's command line after the command."""
    return sys.argv[1:] if _program() is None else sys.argv[2:]


def own_spelling() -> str | None:
    """This process's own command, of `hw8 NAME`; None for a script."""
    return None if _program() is None else spelled(sys.argv[1].replace("-", "_"))


def program() -> str:
    """What stands before a command's name where the command hw8 is used."""
    return _program() or "hw8"


def interpreter() -> str:
    """`python` if that is what runs this process, else the path to what does, for instance .venv/bin/python."""
    return shlex.quote("python" if _on_path("python") else _short(Path(sys.executable)))


def installed(file: Path) -> str:
    """A program of this environment by its name if the shell finds it so, else by its path."""
    return shlex.quote(file.name if _on_path(file.name) else _short(file))


def _program() -> str | None:
    """`hw8` or `python -m hw8` if this process was started so; None for a script."""
    started = Path(sys.argv[0])
    if started.name == "__main__.py" and started.parent.name == "hw8":
        return f"{interpreter()} -m hw8"
    return installed(started) if started.stem == "hw8" else None


def _start(name: str) -> str:
    """A command, spelled as this process's own is."""
    before = _program()
    return _script(name) if before is None else f"{before} {name}"


def _script(name: str) -> str:
    """A script, beside the one that this process runs if it runs one."""
    started = Path(sys.argv[0])
    folder = started.parent if started.suffix == ".py" and started.parent.name == "scripts" else Path("scripts")
    return f"{interpreter()} {shlex.quote(str(folder / f'{name}.py'))}"


def _on_path(name: str) -> bool:
    """Whether the shell finds this program in the environment that runs this process."""
    # Not by what the files are in the end: a virtual environment's python is a link to the one outside.
    found = shutil.which(name)
    return found is not None and Path(found).absolute().parent == Path(sys.executable).parent


def _short(path: Path) -> str:
    """A path from here if that is a way down, else in full."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
