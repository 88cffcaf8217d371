"""How a command is spelled in messages and records: as the script that it is, or as `hw8 NAME`, as it was started."""

import sys
from pathlib import Path

_program: str | None = None  # what stands before a command's name; None for a script


def started_as(program: str) -> None:
    """Spell commands so from now on, for instance `hw8`."""
    global _program
    _program = program


def spelled(name: str) -> str:
    """The command as one would type it, in the way this process was started: `hw8 NAME` or `python scripts/NAME.py`."""
    return f"python scripts/{name}.py" if _program is None else f"{_program} {name}"


def own_spelling() -> str | None:
    """This process's own command, of `hw8 NAME`; None for a script."""
    return None if _program is None else spelled(Path(sys.argv[0]).stem)
