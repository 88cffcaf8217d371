"""The command `hw8`, also as `python -m hw8`: the programs of scripts/ by their names.

    hw8 train --preset boss        as python scripts/train.py --preset boss

The scripts are the only place where a command is: in a checkout they stand beside the package, installed, inside it.
"""

import sys
from pathlib import Path

from hw8.base.spelling import installed, interpreter, started_as

HERE = Path(__file__).parent


def main() -> None:
    """Run the command named first on the command line, as its script would; leaves with the script's exit code."""
    own = Path(sys.argv[0])
    program = installed(own) if own.stem == "hw8" else f"{interpreter()} -m hw8"
    started_as(program)
    script = scripts().get(sys.argv[1].replace("-", "_")) if sys.argv[1:] else None
    if script is None:
        from hw8.commands.parsing import run

        run(lambda: _tell(program))
        return
    import runpy

    sys.argv = [str(script), *sys.argv[2:]]
    runpy.run_path(str(script), run_name="__main__")


def scripts() -> dict[str, Path]:
    """The scripts by name, installed or of the checkout."""
    inside = HERE / "scripts"
    folder = inside if inside.is_dir() else HERE.parent / "scripts"
    return {path.stem: path for path in sorted(folder.glob("[a-z]*.py"))}


def _tell(program: str) -> None:
    """Answer what is not a command: --help, --version, nothing, or a name that is none. Raises InputError."""
    from hw8 import __version__
    from hw8.base.errors import InputError, nearest, shown

    first = sys.argv[1] if sys.argv[1:] else ""
    if first in ("-h", "--help"):
        print(_listing(program))
    elif first == "--version":
        print(f"hw8 {__version__}")
    elif not first:
        raise InputError(f"no command is given; {program} --help lists them")
    elif first.startswith("-"):
        raise InputError(f"{shown(first)}: the command comes first; {program} --help lists them")
    else:
        raise InputError(
            f"{shown(first)}: no such command;{nearest(first.replace('-', '_'), scripts())} {program} --help lists them"
        )


def _listing(program: str) -> str:
    """Every command, with the first line of what its script says of itself."""
    import ast

    from hw8 import __doc__ as text

    usage = f"usage: {program} COMMAND ...    ({program} COMMAND --help tells the command's options)"
    lines = [usage, "", *(text or "").splitlines(), ""]
    found = scripts()
    width = max(map(len, found), default=0)
    for name, path in found.items():
        said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        lines.append(f"  {name:<{width}}  {said.partition(chr(10))[0]}")
    return "\n".join([*lines, "", f"Start with {program} train, then {program} predict."])


if __name__ == "__main__":
    main()
