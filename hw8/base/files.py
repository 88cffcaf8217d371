"""Files that appear whole or not at all: written aside in the same folder, then renamed."""

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from hw8.base.errors import InputError
from hw8.base.processes import processes

LARGEST_TEXT = 100_000


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it onto `path` if the block succeeds, else remove it.

    Of several processes only the first writes; the others' files vanish. The bytes are flushed to the disk before
    the rename, so that a crash leaves either the old file or the new one. Raises InputError if the folder cannot be
    written to.
    """
    if not processes().main:
        with tempfile.TemporaryDirectory() as nowhere:
            yield Path(nowhere) / path.name
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        raise InputError(f"{path}: cannot write here ({error.strerror}); choose another folder with `out`") from None
    os.close(handle)
    aside = Path(name)
    try:
        yield aside
        with aside.open("rb+") as written:
            os.fsync(written.fileno())
        aside.chmod(0o666 & ~_umask())
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise InputError(f"{path}: could not be written ({error.strerror}); free some space or choose `out`") from None
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `folder`, to be renamed onto it; what is left of it at the end is removed.

    Raises InputError if it cannot be made or filled.
    """
    aside = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        aside.chmod(0o755)
        yield aside
    except OSError as error:
        raise InputError(f"{folder}: cannot be written here ({error.strerror}); choose another place") from None
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, whole or not at all."""
    with atomic_write(path) as aside:
        aside.write_text(text, encoding="utf-8")


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading. Raises OSError if it is a folder, a pipe or a device, without waiting for either."""
    # Windows has neither of the flags, and no pipes among its files; its text mode would change bytes.
    flags = [getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY")]
    handle = os.open(path, os.O_RDONLY | sum(flags))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return os.fdopen(handle, "rb")


def read_text(path: Path) -> str:
    """A small text file whole. Raises OSError, or ValueError if it is no UTF-8 or over 100,000 bytes."""
    with open_regular(path) as file:
        content = file.read(LARGEST_TEXT + 1)
    if len(content) > LARGEST_TEXT:
        raise ValueError(f"it is larger than {LARGEST_TEXT:,} bytes")
    return content.decode("utf-8")


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
