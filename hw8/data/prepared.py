"""The files of a prepared folder: images as they are decoded, which picture each is, labels, and what was skipped."""

import contextlib
import csv
import hashlib
import os
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from hw8.data.labels import NORMAL
from hw8.data.layout import Walk, escaped
from hw8.data.pictures import read_pictures

if TYPE_CHECKING:
    from tqdm import tqdm

    from hw8.data.folder import Preparation

# In the order in which they are put in place: a folder with a training set is complete.
FILES = (
    "skipped.csv", "testing_files.csv", "training_files.csv", "testing_labels.csv", "testingset.npy", "trainingset.npy",
)  # fmt: skip
SKIPPED, TESTING_FILES, TRAINING_FILES, LABELS, TESTING, TRAINING = FILES


def write_files(path: Path, names: list[str], rows: "array[int]") -> None:
    """Which picture each image of a part is."""
    _write_table(path, ("ID", "file"), ((str(place), escaped(names[row])) for place, row in enumerate(rows)))


def write_images(
    path: Path, root: Path, names: list[str], settings: "Preparation", found: Walk, bar: "tqdm[Any]"
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
