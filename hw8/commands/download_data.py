"""Fetch data, check it, and put it where training looks for it. The same command goes on after a break.

hw8 is the homework (1.5 GB, its SHA-256 checked); lfw is Labeled Faces in the Wild, through scikit-learn, with drawn
anomalies.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from hw8.commands.parsing import parse
from hw8.commands.spelling import spelled


@dataclasses.dataclass
class Arguments:
    """The command line of scripts/download_data.py."""

    what: tyro.conf.Positional[Literal["hw8", "lfw"]]
    """Which data."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder to put them in. Default: data for hw8, data/lfw for lfw."""
    url: Annotated[str | None, tyro.conf.arg(metavar="BASE")] = None
    """A mirror of the homework's files: their names are appended. Default: their public home on GitHub."""
    source: Literal["home", "kaggle"] = "home"
    """Fetch the homework from its public home (or --url), or from the competition with Kaggle's own program."""


def main() -> None:
    """Parse, fetch, and print where the data are."""
    arguments = parse(Arguments, __doc__ or "")
    from hw8.base.errors import InputError
    from hw8.data.lfw import write_lfw
    from hw8.download.homework import HOME, download_files, download_from_kaggle

    homework = Path("data")
    if arguments.url is not None and (arguments.what == "lfw" or arguments.source == "kaggle"):
        raise InputError(f"--url {arguments.url}: is for the homework from its home; leave it away")
    if arguments.what == "lfw":
        if arguments.source != "home":
            raise InputError(f"--source {arguments.source}: is for the homework; leave it away")
        out = write_lfw(arguments.out or homework / "lfw")
    else:
        out = arguments.out or homework
        if arguments.source == "kaggle":
            download_from_kaggle(out)
        else:
            download_files(out, arguments.url or HOME)
    print(f"Wrote:    {out}")
    where = "hw8" if arguments.what == "hw8" and out == homework else _as_folder(out)
    print(f"Next:     {spelled('train', '--data', where)}")


def _as_folder(path: Path) -> str:
    """The path as it is taken for a folder: not for a named source, nor for an option."""
    from hw8.data.sources import NAMED

    return f"./{path}" if str(path) in NAMED or str(path).startswith("-") else str(path)
