"""Download data, check it, and put it where training looks for it. The same command resumes after a break.

hw8 is the homework (1.5 GB, its SHA-256 checked); lfw is Labeled Faces in the Wild, through scikit-learn, with drawn
anomalies.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from hw8 import download
from hw8.base.errors import InputError
from hw8.commands.parsing import Omittable, parse
from hw8.commands.spelling import as_folder, spelled


@dataclasses.dataclass
class Arguments:
    """The command line of scripts/download_data.py."""

    what: tyro.conf.Positional[Literal["hw8", "lfw"]]
    """Which data."""
    out: Annotated[Omittable[Path], tyro.conf.arg(metavar="DIR")] = None
    """Folder to put it in. Default: data for hw8, data/lfw for lfw."""
    url: Annotated[Omittable[str], tyro.conf.arg(metavar="BASE")] = None
    """A mirror of the homework's files: their names are appended. Default: their public home on GitHub."""
    source: Literal["home", "kaggle"] = "home"
    """Download the homework from its public home (or --url), or from the competition with Kaggle's own program."""


def main() -> None:
    """Parse, download, and print where the data are."""
    arguments = parse(Arguments, __doc__ or "")
    from hw8.data.lfw import write_lfw  # these two import NumPy, which would slow --help
    from hw8.data.sources import HOMEWORK, LFW

    if arguments.url is not None and (arguments.what == "lfw" or arguments.source == "kaggle"):
        raise InputError(f"--url {arguments.url}: is for the homework from its home; omit it")
    if arguments.what == "lfw" and arguments.source != "home":
        raise InputError(f"--source {arguments.source}: is for the homework; omit it")
    if arguments.what == "lfw":
        out = write_lfw(arguments.out or LFW)
    else:
        out = arguments.out or HOMEWORK
        if arguments.source == "kaggle":
            download.download_from_kaggle(out)
        else:
            download.download_files(out, arguments.url or download.HOME)
    print(f"Wrote:    {out}")
    where = "hw8" if arguments.what == "hw8" and out == HOMEWORK else as_folder(out)
    print(f"Next:     {spelled('train', '--data', where)}")
