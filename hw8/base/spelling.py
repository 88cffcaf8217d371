"""How a command is spelled in messages and records, so that it works when it is pasted where this process was started.

As the script that it is, with the Python and the folder of scripts that were used, or as `hw8 NAME`.
"""

import shlex
import shutil
import sys
from pathlib import Path

_program: str | None = None  # what stands before a command's name; None for a script


def started_as(program: str) -> None:
    """Spell commands so from now on, for instance `hw8`."""
    global _program
    _program = program


def spelled(name: str, *words: object) -> str:
    """A command with its words as one would paste it: `hw8 NAME WORDS` or `python scripts/NAME.py WORDS`, quoted."""
    start = script(name) if _program is None else f"{_program} {name}"
    return " ".join([start, *(shlex.quote(str(word)) for word in words)])


def own_spelling() -> str | None:
    """This process's own command, of `hw8 NAME`; None for a script."""
    return None if _program is None else spelled(Path(sys.argv[0]).stem)


def script(name: str) -> str:
    """A script, beside the one that this process runs if it runs one."""
    started = Path(sys.argv[0])
    folder = started.parent if started.suffix == ".py" and started.parent.name == "scripts" else Path("scripts")
    return f"{interpreter()} {shlex.quote(str(folder / f'{name}.py'))}"


def interpreter() -> str:
    """`python` if that is what runs this process, else the path to what does, for instance .venv/bin/python."""
    return shlex.quote("python" if _on_path("python") else _short(Path(sys.executable)))


def installed(program: Path) -> str:
    """A program of this environment by its name if the shell finds it so, else by its path."""
    return shlex.quote(program.name if _on_path(program.name) else _short(program))


def _on_path(name: str) -> bool:
    """Whether the shell finds this program in the environment that runs this process."""
    # Not by what the files are in the end: a virtual environment's python is a link to the one outside.
    found = shutil.which(name)
    return found is not None and Path(found).absolute().parent == Path(sys.executable).parent


def _short(path: Path) -> str:
    """A path from here if that is a way down, else in full."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
