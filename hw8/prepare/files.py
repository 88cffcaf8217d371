"""The files of a prepared folder: images, which picture each of them is, labels, and skipped pictures."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hw8.base.errors import InputError, printable
from hw8.base.files import write_table, write_text
from hw8.base.lock import locked
from hw8.data.labels import NORMAL
from hw8.data.picture_folder import PictureFolder
from hw8.data.pictures import read_pictures
from hw8.data.shards import shard_paths
from hw8.data.sources import LABELS, PREPARED, TESTING, TESTING_FILES, TRAINING, TRAINING_FILES
from hw8.prepare.layout import Parts
from hw8.prepare.settings import Preparation

if TYPE_CHECKING:
    from tqdm import tqdm

SKIPPED = "skipped.csv"
# In the order in which they are moved into place: a folder with a training set is complete.
FILES = SKIPPED, PREPARED, TESTING_FILES, TRAINING_FILES, LABELS, TESTING, TRAINING
TEMPORARY = ".hw8-prepare-"  # how the names of folders begin that hold half-written files


class Written(NamedTuple):
    """The places of the written pictures among those given, uint64 hashes of the images (N,), and the largest level."""

    rows: list[int]
    hash_N: np.ndarray
    brightest: int


@contextlib.contextmanager
def all_or_none(out: Path) -> Iterator[Path]:
    """Yield a hidden folder in `out` to write in; if the block succeeds, its files are moved to `out`, else removed.

    Raises InputError if `out` is in use, holds such files already, or cannot be written to.
    """
    with locked(out):
        numbered = [path.name for name in (TRAINING, TESTING) for path in shard_paths(out / name)]
        present = [name for name in FILES if os.path.lexists(out / name)] + numbered
        if present:
            raise InputError(f"{out}: already holds {present[-1]}; choose another folder, or remove it first")
        for leftover in out.glob(f"{TEMPORARY}*"):  # of a process that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=out, ignore_cleanup_errors=True) as temporary:
                yield Path(temporary)
                written = [path for name in FILES if (path := Path(temporary, name)).exists()]
                for path in written:  # all are on the disk, which may take seconds, before the first is moved
                    with path.open("rb+") as file:
                        os.fsync(file.fileno())
                for path in written:
                    path.replace(out / path.name)
        except OSError as error:
            reason = error.strerror
            raise InputError(f"{out}: could not be written ({reason}); free some space or choose another") from None


def write_images(
    path: Path, names: list[str], folder: PictureFolder, settings: Preparation, bar: "tqdm[Any]"
) -> Written:
    """Write pictures as an array file. Unreadable ones are skipped and leave no gap. Without names there is no file."""
    rows: list[int] = []
    hashes, brightest = bytearray(), 0
    if not names:
        return Written(rows, np.empty(0, np.uint64), brightest)
    side, _, channels = settings.shape
    pictures = read_pictures(folder.root, names, side, channels, settings.crop, settings.workers)
    with path.open("wb") as file, contextlib.closing(pictures):
        _write_header(file, (0, *settings.shape))  # of the same length for any number, which is known at the end
        for row, image in enumerate(pictures):
            if isinstance(image, str):
                folder.skipped[names[row]] = image
            else:
                pixels = image.tobytes()
                file.write(pixels)
                # To count equal images: of a million different ones, two share a hash with probability 3e-8.
                hashes += hashlib.blake2b(pixels, digest_size=8).digest()
                rows.append(row)
                brightest = max(brightest, int(image.max()))
            bar.update()
        file.seek(0)
        _write_header(file, (len(rows), *settings.shape))
    return Written(rows, np.frombuffer(hashes, np.uint64), brightest)


def _write_header(file: IO[bytes], shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def write_tables(out: Path, parts: Parts, settings: Preparation) -> None:
    """Write how the images were made, and which picture each is, the test labels and what was skipped, if any."""
    write_text(out / PREPARED, json.dumps({name: getattr(settings, name) for name in ("side", "crop", "grey")}) + "\n")
    if parts.training:
        write_table(out / TRAINING_FILES, ("ID", "file"), enumerate(map(printable, parts.training)))
    if parts.testing:
        names = [printable(name) for name, _ in parts.testing]
        write_table(out / TESTING_FILES, ("ID", "file"), enumerate(names))
    if parts.labelled:
        labels = [(row, int(kind != NORMAL), kind) for row, (_, kind) in enumerate(parts.testing)]
        write_table(out / LABELS, ("ID", "label", "kind"), labels)
    if parts.folder.skipped:
        skipped = [(printable(name), reason) for name, reason in sorted(parts.folder.skipped.items())]
        write_table(out / SKIPPED, ("file", "reason"), skipped)
