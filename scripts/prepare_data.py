"""Turn a folder of pictures into the array files that hw8 trains on.

IMAGES is a folder of normal pictures; or has folders normal/ and anomaly/KIND/, or train/good/, test/good/ and
test/KIND/; or a table labels.csv of file,label[,kind]; or, with --unlabelled, holds pictures to score. Pictures are
JPEG, PNG, WebP, BMP, TIFF or GIF files.
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from hw8.commands.parsing import parse, run
from hw8.prepare.folder import prepare
from hw8.prepare.prepared import Preparation


@dataclasses.dataclass
class Arguments:
    """The command line of scripts/prepare_data.py."""

    images: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="IMAGES")]
    """Folder of pictures, with any folders in it."""
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    """Folder for trainingset.npy and, where anomalies are labelled, testingset.npy and testing_labels.csv; and tables
    of which picture each image is."""
    settings: Preparation = dataclasses.field(default_factory=Preparation)


def main() -> None:
    """Parse, prepare, and say what was written and what was left out."""
    arguments = parse(Arguments, __doc__ or "")
    print(prepare(arguments.images, arguments.out, arguments.settings).text())


if __name__ == "__main__":
    run(main)
