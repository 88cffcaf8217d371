"""Files and folders that appear whole or not at all: written beside their place, then renamed."""

import contextlib
import csv
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from hw8.base.errors import InputError, error_reason
from hw8.base.processes import processes

# Bytes of a text file, chosen by hand: some twenty times a summary.json, the longest that hw8 writes. A larger file was
# given by mistake, and is not read into memory.
MAX_TEXT = 100_000


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it onto `path` if the block succeeds, else remove it.

    Of several processes only rank 0 writes; the files of the others vanish. The bytes are flushed to the disk before
    the rename, so that a crash leaves either the old file or the new one. Raises InputError if the folder cannot be
    written to.
    """
    if not processes().is_main:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder) / path.name
        return
    whole = path.absolute()  # of `.` too, which has no name of its own
    temporary = whole.with_name(f".{whole.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
    except OSError as error:
        reason = error_reason(error)
        raise InputError(f"{path}: cannot write here ({reason}); choose another folder") from None
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        reason = error_reason(error)
        raise InputError(f"{path}: could not be written ({reason}); free space or choose another folder") from None
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `folder`, for the block to fill and rename; remove it if it was not renamed.

    Raises InputError if it cannot be made or filled.
    """
    whole = folder.absolute()
    temporary = whole.with_name(f".{whole.name}.{secrets.token_hex(4)}")
    try:
        temporary.mkdir(parents=True)
        yield temporary
    except OSError as error:
        raise InputError(f"{folder}: cannot be written here ({error_reason(error)}); choose another place") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def is_in_the_way(folder: Path) -> bool:
    """Whether a file, or a folder that holds something, is where a new folder is to be."""
    return folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))


def check_replaceable(path: Path, setting: str, header: str) -> None:
    """Raise InputError for a file that hw8 did not write: its first line does not match `header`, a regular expression.

    An empty file may be replaced. Raises InputError for a folder, too, and where nothing can be written.
    """
    whole = path.absolute()
    nearest = next((folder for folder in whole.parents if folder.exists()), whole.parent)
    if path.is_dir() or not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        what = "is a folder" if path.is_dir() else f"cannot be written to {nearest}"
        raise InputError(f"`{setting}` {path}: {what}; choose another name")
    first = first_line(path)
    if first and not re.fullmatch(header, first):
        raise InputError(f"`{setting}` {path}: was not written by this command, and would be lost; choose another name")


def first_line(path: Path) -> str:
    """Return up to 1,000 bytes of the first line of a file, without its end; empty if there is no file."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.readline(1000).decode("utf-8-sig", errors="replace").rstrip("\r\n")


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, whole or not at all. Raises InputError if that fails."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_table(path: Path, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a CSV file, whole or not at all; floats have the digits with which they read back the same.

    Raises InputError if that fails.
    """
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])


def read_text(path: Path) -> str:
    """Return the content of a text file. Raises OSError, or ValueError if it is over 100,000 bytes or not UTF-8."""
    if path.stat().st_size > MAX_TEXT:
        raise ValueError(f"larger than {MAX_TEXT:,} bytes")
    return path.read_text(encoding="utf-8")
