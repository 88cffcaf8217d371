"""A folder of pictures as the array files that hw8 trains on: found, split, decoded and written."""

import dataclasses
import sys
from pathlib import Path

import numpy as np

from hw8.base.interrupts import stopping_as_interrupted
from hw8.data.picture_folder import find_pictures
from hw8.prepare.files import TESTING, TRAINING, all_or_none, write_images, write_tables
from hw8.prepare.layout import Parts, recognise, split
from hw8.prepare.settings import Preparation


def prepare(images: Path, out: Path, settings: Preparation) -> Parts:
    """Write the pictures in `images` as array files in `out`, all of them or none; return what was written.

    Memory grows with the number of pictures, not with their sizes. Raises InputError if there is nothing to read, too
    little to train or test on, a wrong labels.csv, no space on the disk, or another process at work in `out`; and
    Interrupted after Ctrl-C, with nothing written.
    """
    from tqdm import tqdm

    folder = find_pictures(images)
    if settings.unlabelled:
        testing = [(name, "") for name in folder.names]
        planned = Parts(folder, "pictures to score, without labels", [], testing)
    else:
        planned = split(recognise(folder), settings.test_share, settings.seed)
    test_names = [name for name, _ in planned.testing]
    total = len(planned.training) + len(test_names)
    pause = 0.1 if sys.stderr.isatty() else 15.0  # seconds between two lines: logs need fewer than a terminal
    interruptible = stopping_as_interrupted(f"interrupted: nothing was written to {out}")
    with interruptible, all_or_none(out) as temporary:
        with tqdm(total=total, desc="pictures", unit="img", mininterval=pause, file=sys.stderr) as bar:
            train_rows, train_hash_N = write_images(temporary / TRAINING, planned.training, folder, settings, bar)
            test_rows, test_hash_N = write_images(temporary / TESTING, test_names, folder, settings, bar)
        parts = dataclasses.replace(
            planned,
            training=[planned.training[row] for row in train_rows],
            testing=[planned.testing[row] for row in test_rows],
            repeated=len(train_hash_N) - len(np.unique(train_hash_N)),
            shared=int(np.isin(test_hash_N, train_hash_N).sum()),
        )
        if not settings.unlabelled:
            parts.check()
        if not test_rows and (test_names or settings.unlabelled):
            raise folder.refusal("no picture to test on can be read")
        write_tables(temporary, parts)
    return parts
