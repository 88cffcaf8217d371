"""A prepared folder: its settings, and its files of images, of which picture each is, of labels and of skipped ones."""

import contextlib
import csv
import dataclasses
import hashlib
import os
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from hw8.base.errors import InputError
from hw8.data.arrays import SMALLEST_SIDE
from hw8.data.labels import NORMAL
from hw8.data.layout import Walk, escaped
from hw8.data.pictures import Crop, read_pictures

if TYPE_CHECKING:
    from tqdm import tqdm

# In the order in which they are put in place: a folder with a training set is complete.
FILES = (
    "skipped.csv", "testing_files.csv", "training_files.csv", "testing_labels.csv", "testingset.npy", "trainingset.npy",
)  # fmt: skip
SKIPPED, TESTING_FILES, TRAINING_FILES, LABELS, TESTING, TRAINING = FILES
LARGEST_SIDE = 1024


@dataclasses.dataclass(frozen=True)
class Preparation:
    """How pictures become images, and which of them are held back to test on."""

    side: int = 64
    """Side of the images in pixels."""
    crop: Crop = "centre"
    """Keep the centre square, or the whole picture: with bars in the colour of its edge, or out of proportion."""
    grey: bool = False
    """One channel instead of three."""
    test_share: float | None = None
    """Share of the normal pictures held back to test on. Default: 0.2 where anomalies are labelled, else none."""
    unlabelled: bool = False
    """All pictures are images to score that nobody has labelled: a test set, and no training set."""
    seed: int = 0
    """Seed of what is held back, and of the order of the test set."""
    workers: int | None = None
    """Threads that decode; the files are the same with any number. Default: one for each processor."""

    def __post_init__(self) -> None:
        if not SMALLEST_SIDE <= self.side <= LARGEST_SIDE:
            raise InputError(f"`side` {self.side}: must be {SMALLEST_SIDE} to {LARGEST_SIDE} pixels")
        if self.test_share is not None and not 0 < self.test_share < 1:
            raise InputError(f"`test_share` {self.test_share:g}: must lie between 0 and 1")
        if self.test_share is not None and self.unlabelled:
            raise InputError("`unlabelled` makes a test set of all pictures; leave `test_share` away")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"`seed` {self.seed}: must lie in [0, 2**32)")
        if self.workers is not None and not 1 <= self.workers <= 256:
            raise InputError(f"`workers` {self.workers}: must lie in [1, 256]")

    @property
    def channels(self) -> int:
        """1 or 3."""
        return 1 if self.grey else 3


def write_files(path: Path, names: list[str], rows: "array[int]") -> None:
    """Which picture each image of a part is."""
    _write_table(path, ("ID", "file"), ((str(place), escaped(names[row])) for place, row in enumerate(rows)))


def write_images(
    path: Path, root: Path, names: list[str], settings: Preparation, found: Walk, bar: "tqdm[Any]"
) -> "tuple[np.ndarray, array[int]]":
    """Write a part as a .npy file; gives a hash (uint64) and the place in `names` of each image in it.

    Pictures that cannot be read join the skipped, and leave no hole.
    """
    hashes, rows = bytearray(), array("q")
    shape = settings.side, settings.side, settings.channels
    pictures = read_pictures(root, names, settings.side, settings.channels, settings.crop, settings.workers)
    with path.open("wb") as file, contextlib.closing(pictures):
        _write_header(file, (0, *shape))  # of the same length whatever the count is, which is known at the end
        for row, image in enumerate(pictures):
            if isinstance(image, str):
                found.skipped.append((names[row], image))
            else:
                pixels = image.tobytes()
                file.write(pixels)
                hashes += hashlib.blake2b(pixels, digest_size=8).digest()
                rows.append(row)
            bar.update()
        file.seek(0)
        _write_header(file, (len(rows), *shape))
        file.flush()
        os.fsync(file.fileno())
    return np.frombuffer(hashes, np.uint64), rows


def _write_header(file: IO[bytes], shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def write_tables(aside: Path, kinds: list[str] | None, found: Walk) -> None:
    """The labels of the test set, and what was skipped; neither if there are none."""
    if kinds is not None:
        rows = [(str(row), str(int(kind != NORMAL)), kind) for row, kind in enumerate(kinds)]
        _write_table(aside / LABELS, ("ID", "label", "kind"), rows)
    if found.skipped:
        _write_table(aside / SKIPPED, ("file", "reason"), [(escaped(name), reason) for name, reason in found.skipped])


def _write_table(path: Path, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([header, *rows])
        file.flush()
        os.fsync(file.fileno())
