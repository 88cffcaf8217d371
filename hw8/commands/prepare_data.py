"""Turn a folder of pictures into the array files that hw8 trains on.

IMAGES is a folder of normal pictures; or has folders normal/ and anomaly/KIND/, or train/good/, test/good/ and
test/KIND/; or a table labels.csv of file,label[,kind]; or, with --unlabelled, holds pictures to score. Pictures are
JPEG, PNG, WebP, BMP, TIFF or GIF files.
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from hw8.base.errors import InputError, printable
from hw8.commands.parsing import parse
from hw8.commands.spelling import for_shell, spelled
from hw8.prepare.folder import Prepared, prepare
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
    done = prepare(arguments.images, arguments.out, arguments.settings)
    print(f"{for_shell(done.text())}\nNext:     {printable(_next_command(done))}")


def _next_command(done: Prepared) -> str:
    """Train on the images or, if there are only images to score, score them with the run finished last."""
    from hw8.training.run_folder import newest_run

    if done.training:
        return spelled("train", "--data", done.out)
    try:
        return spelled("predict", "--run", newest_run(), "--data", done.out)
    except InputError:
        return f"train a run on images like these, {spelled('train')}, then {spelled('predict', '--data', done.out)}"
