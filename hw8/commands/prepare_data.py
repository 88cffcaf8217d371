"""Turn a folder of pictures into the array files that hw8 trains on.

IMAGES is a folder of normal pictures; or has folders normal/ and anomaly/KIND/, or train/good/, test/good/ and
test/KIND/; or a table labels.csv of file,label[,kind]. With --test-share 1 all its pictures become a labelled test set,
with --unlabelled one without labels. Pictures are JPEG, PNG, WebP, BMP, TIFF or GIF files.
"""

import contextlib
import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from hw8.base.errors import InputError, printable
from hw8.commands.parsing import parse
from hw8.commands.spelling import as_folder, for_shell, spelled
from hw8.config import SUBMISSIONS
from hw8.data.arrays import SIDE_STEP
from hw8.data.sources import open_source
from hw8.prepare.folder import prepare, report
from hw8.prepare.settings import Preparation


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
    """Parse, prepare, and print what was written and what was skipped."""
    arguments = parse(Arguments, __doc__ or "")
    parts = prepare(arguments.images, arguments.out, arguments.settings)
    text = for_shell(report(parts, arguments.out, arguments.settings))
    print(f"{text}\n{printable(_following(arguments.out, bool(parts.training), arguments.settings))}")


def _following(out: Path, has_training_set: bool, settings: Preparation) -> str:
    """The line of the command that trains on the images or, without a training set, scores them with the newest run.

    Without a run that can score them there is no such command, and the line says what it takes.
    """
    if has_training_set:
        return "Next:     " + spelled(
            "train", "--data", as_folder(out), *(["--preset", "fcn"] if settings.side % SIDE_STEP else [])
        )
    from hw8.runs.trained_run import TrainedRun
    from hw8.training.run_folder import finished_runs

    for run in finished_runs():
        with contextlib.suppress(InputError):  # it is damaged, or takes images of another size: the next one
            trained = TrainedRun.load(run)
            trained.open_test(open_source(as_folder(out)))
            if trained.folder is not None and trained.folder.picture_crop() not in (None, settings.crop):
                continue
            scores = SUBMISSIONS / f"{out.resolve().name}.csv"
            return "Next:     " + spelled("predict", "--run", run, "--data", as_folder(out), "--out", scores)
    return (
        f"No run:   none that is finished takes such images; train one on normal pictures prepared alike, then score "
        f"these with {spelled('predict', '--data', as_folder(out))}"
    )
