"""Put the parts that predict --shard wrote together to one submission, checked."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from hw8.base.errors import InputError
from hw8.base.files import check_replaceable
from hw8.commands.parsing import parse
from hw8.commands.spelling import spelled


@dataclasses.dataclass
class Arguments:
    """The command line of scripts/merge.py."""

    parts: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="PART ...")]
    """The parts, in any order."""
    out: Path
    """File to write."""


def main() -> None:
    """Parse, merge, and print where the file is."""
    arguments = parse(Arguments, __doc__ or "")
    from hw8.runs.submission import merge_parts

    if not arguments.parts:
        raise InputError("no parts are given; see --help")
    if arguments.out.suffix != ".csv":
        raise InputError(f"--out {arguments.out}: must end in .csv")
    check_replaceable(arguments.out, "out", "ID,score")
    rows = merge_parts(arguments.parts, arguments.out)
    print(f"Wrote:    {arguments.out} ({rows:,} rows, validated)")
    print(f"Next:     {spelled('check', arguments.out, '--rows', rows)}")
