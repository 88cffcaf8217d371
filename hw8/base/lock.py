"""One process at a time in a folder: a second one is refused, with the first one named."""

import contextlib
import datetime
import errno
import fcntl
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from hw8.base.errors import InputError, printable
from hw8.base.processes import processes

NAME = ".in-use.json"
BEAT = 30.0  # seconds between two signs of life
SILENT = 300.0  # seconds without one after which an owner on another machine counts as gone
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)

log = logging.getLogger(__name__)


@contextlib.contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Own a folder while the block runs; it is made if it is not there.

    Raises InputError, naming process and machine, if another one owns it, or if the folder cannot be written to. The
    system gives the lock of a process that died to the next one, which is said aloud; an owner on another machine
    whose disk does not carry locks counts as gone after five minutes without a sign of life. What a dead owner was
    writing is removed. Of several processes of a job the first owns the folder for all.
    """
    job = processes()
    owner: _Owner | None = None
    problem = ""
    if job.main:
        try:
            owner = _Owner(folder)
        except InputError as error:
            problem = str(error)
    job.refuse_together(problem)
    try:
        yield
    finally:
        if owner is not None:
            owner.leave()


def is_left_over(path: Path) -> bool:
    """Whether a file is a lock or something half-written, which count as nothing in a folder."""
    return path.name == NAME or (path.name.startswith(".") and path.suffix == ".part")


class _Owner:
    """The lock of a folder, taken."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._made = not folder.exists()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._handle = self._take()
            for leftover in folder.glob(".*.part"):
                leftover.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{folder}: cannot write here ({error.strerror}); choose another folder") from None
        self._done = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    def leave(self) -> None:
        """Give the folder free; one that was made for nothing vanishes."""
        self._done.set()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
        os.close(self._handle)
        if self._made:
            with contextlib.suppress(OSError):
                self.path.parent.rmdir()

    def _take(self) -> int:
        """The open lock file, locked and with our name in it."""
        while True:
            # Never through a link: the folder may come from a stranger.
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            try:
                self._lock(handle)
                if self._is_there(handle):
                    self._write_name(handle)
                    return handle
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)  # its owner has just left and removed it

    def _lock(self, handle: int) -> None:
        """Lock the file. Raises InputError if it is somebody's."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._refusal(_read(handle)) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        found = _read(handle)
        if not found:
            return
        silent = time.time() - os.fstat(handle).st_mtime
        if found.get("host") != socket.gethostname() and silent < SILENT:
            raise self._refusal(found)
        log.warning("%s: %s left without a word; going on after it", self.path.parent, _name(found))

    def _refusal(self, found: dict[str, object]) -> InputError:
        return InputError(
            f"{self.path.parent}: in use by {_name(found)}; wait for it, stop it, or choose another folder with `out`"
        )

    def _is_there(self, handle: int) -> bool:
        try:
            return os.path.samestat(os.fstat(handle), os.lstat(self.path))
        except FileNotFoundError:
            return False

    def _write_name(self, handle: int) -> None:
        since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        name = json.dumps({"process": os.getpid(), "host": socket.gethostname(), "since": since}).encode()
        os.ftruncate(handle, 0)
        os.pwrite(handle, name + b"\n", 0)

    def _beat(self) -> None:
        while not self._done.wait(BEAT):
            with contextlib.suppress(OSError):
                os.utime(self._handle)


def _read(handle: int) -> dict[str, object]:
    """What the lock file says of its owner; empty if nothing."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        found = json.loads(os.pread(handle, 1000, 0))
        if isinstance(found, dict):
            return found
    return {}


def _name(found: dict[str, object]) -> str:
    """The owner in words; what a file says is shown with its control characters escaped."""
    process, host, since = (str(found.get(key, "unknown"))[:80] for key in ("process", "host", "since"))
    return printable(f"process {process} on {host} (since {since})")
