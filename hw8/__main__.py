"""The command `hw8`, also as `python -m hw8`: calls a command by its name.

hw8 train --preset boss        as python scripts/train.py --preset boss
"""

import sys

from hw8 import commands


def main() -> None:
    """Run the command that the first word names, as its script would, and exit with its code."""
    name = sys.argv[1].replace("-", "_") if sys.argv[1:] else ""
    if name in commands.COMMANDS:
        commands.run(name)
    else:
        from hw8.commands import exit_codes

        exit_codes.run(_answer)


def _answer() -> None:
    """Answer --help and --version. Raises InputError for no command or an unknown one."""
    from hw8 import __version__
    from hw8.base.errors import InputError, did_you_mean, shown
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
        hint = did_you_mean(first.replace("-", "_"), commands.COMMANDS)
        raise InputError(f"{shown(first)}: no such command;{hint} {program()} --help lists them")


def _listing(program: str) -> str:
    """The text of --help: every command with its description."""
    from hw8 import __doc__ as text
    from hw8.base.text import aligned

    usage = f"usage: {program} COMMAND ...    ({program} COMMAND --help lists the command's options)"
    listed = [f"  {line}" for line in aligned([*commands.COMMANDS.items()], left=2)]
    start = f"Start with {program} train, then {program} predict."
    return "\n".join([usage, "", *(text or "").splitlines(), "", *listed, "", start])


if __name__ == "__main__":
    main()
