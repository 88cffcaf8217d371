"""One process at a time in a folder: a second one is refused with a message that names the first."""

import contextlib
import datetime
import json
import logging
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from hw8.base.errors import InputError
from hw8.base.files import read_text, write_text
from hw8.base.processes import processes

LOCK, OWNER = ".in-use.lock", ".in-use.json"  # the lock itself, and who holds it

log = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which is made if it is missing, while the block runs.

    Raises InputError if another process holds it, with that process and its machine, or if the folder cannot be
    written to. The system releases the lock of a process that died: the next holder logs that, and removes the files
    that were being written. Of several processes of a job rank 0 holds the lock for all.
    """
    with contextlib.ExitStack() as stack:
        processes().on_rank_0(lambda: stack.enter_context(_locked(folder)))
        yield


def is_left_over(path: Path) -> bool:
    """Whether a file is a lock or half-written, so that a folder with nothing else counts as empty."""
    return path.name in (LOCK, OWNER) or (path.name.startswith(".") and path.suffix == ".part")


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock, with our name beside it. A folder that was made here and stays empty is removed at the end."""
    is_new, lock, owner = not folder.exists(), FileLock(folder / LOCK, timeout=0), folder / OWNER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        hint = "wait for it, stop it, or choose another folder"
        raise InputError(f"{folder}: in use by {_described(owner)}; {hint}") from None
    except (OSError, NotImplementedError) as error:  # some network disks have no locks
        reason = getattr(error, "strerror", None) or "its disk has no locks"
        raise InputError(f"{folder}: cannot write here ({reason}); choose another folder") from None
    try:
        if owner.exists():
            log.warning("%s: %s ended without releasing it; its lock is taken over", folder, _described(owner))
        for leftover in folder.glob(".*.part"):
            leftover.unlink(missing_ok=True)
        since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        write_text(owner, json.dumps({"process": os.getpid(), "host": platform.node(), "since": since}) + "\n")
        yield
    finally:
        owner.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # Windows cannot remove an open file: there filelock does so at the release
            (folder / LOCK).unlink(missing_ok=True)
        lock.release()
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _described(owner: Path) -> str:
    """The process, machine and time that the owner's file names."""
    try:
        values = json.loads(read_text(owner))
        return f"process {values['process']} on {values['host']} (since {values['since']})"
    except (OSError, ValueError, TypeError, KeyError):
        return "another process"
