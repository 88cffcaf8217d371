"""The command `hw8`, also as `python -m hw8`: the commands by their names.

hw8 train --preset boss        as python scripts/train.py --preset boss
"""

import sys

from hw8 import commands


def main() -> None:
    """Run the command named first on the command line, as its script would; leaves with the script's exit code."""
    name = sys.argv[1].replace("-", "_") if sys.argv[1:] else ""
    if name in commands.COMMANDS:
        commands.run(name)
    else:
        from hw8.commands import parsing

        parsing.run(_answer)


def _answer() -> None:
    """Answer what is not a command: --help, --version, nothing, or a name that is none. Raises InputError."""
    from hw8 import __version__
    from hw8.base.errors import InputError, nearest, shown
    from hw8.commands.spelling import program

    first = sys.argv[1] if sys.argv[1:] else ""
    if first in ("-h", "--help"):
        print(_listing(program()))
    elif first == "--version":
        print(f"hw8 {__version__}")
    elif not first:
        raise InputError(f"no command is given; {program()} --help lists them")
    elif first.startswith("-"):
        raise InputError(f"{shown(first)}: the command comes first; {program()} --help lists them")
    else:
        hint = nearest(first.replace("-", "_"), commands.COMMANDS)
        raise InputError(f"{shown(first)}: no such command;{hint} {program()} --help lists them")


def _listing(program: str) -> str:
    """Every command, with the first line of what it says of itself."""
    from hw8 import __doc__ as text

    usage = f"usage: {program} COMMAND ...    ({program} COMMAND --help tells the command's options)"
    lines = [usage, "", *(text or "").splitlines(), ""]
    width = max(map(len, commands.COMMANDS))
    lines += [f"  {name:<{width}}  {about}" for name, about in commands.COMMANDS.items()]
    return "\n".join([*lines, "", f"Start with {program} train, then {program} predict."])


if __name__ == "__main__":
    main()
