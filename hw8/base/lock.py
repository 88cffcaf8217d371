"""One process at a time in a folder: a second one is refused, with the first one named."""

import contextlib
import datetime
import json
import logging
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from hw8.base.errors import InputError, printable
from hw8.base.files import read_text, write_text
from hw8.base.processes import processes

LOCK, OWNER = ".in-use.lock", ".in-use.json"

log = logging.getLogger(__name__)


@contextlib.contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Own a folder while the block runs; it is made if it is not there.

    Raises InputError, naming process and machine, if another one owns it, or if the folder cannot be written to. The
    system gives the lock of a process that died to the next one, which is said aloud, and what the dead one was writing
    is removed. Of several processes of a job the first owns the folder for all.
    """
    job, problem = processes(), ""
    with contextlib.ExitStack() as stack:
        if job.main:
            try:
                stack.enter_context(_locked(folder))
            except InputError as error:
                problem = str(error)
        job.refuse_together(problem)
        yield


def is_left_over(path: Path) -> bool:
    """Whether a file is a lock or something half-written, which count as nothing in a folder."""
    return path.name in (LOCK, OWNER) or (path.name.startswith(".") and path.suffix == ".part")


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, with our name beside it. A folder that was made for nothing vanishes at the end."""
    made, lock, owner = not folder.exists(), FileLock(folder / LOCK, timeout=0), folder / OWNER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        name = _name(_read(owner))
        raise InputError(
            f"{folder}: in use by {name}; wait for it, stop it, or choose another folder with `out`"
        ) from None
    except NotImplementedError:
        raise InputError(f"{folder}: its disk carries no locks; choose a folder on another") from None
    except OSError as error:
        raise InputError(f"{folder}: cannot write here ({error.strerror}); choose another folder") from None
    try:
        if before := _read(owner):
            log.warning("%s: %s left without a word; going on after it", folder, _name(before))
        for leftover in folder.glob(".*.part"):
            leftover.unlink(missing_ok=True)
        since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        write_text(owner, json.dumps({"process": os.getpid(), "host": platform.node(), "since": since}) + "\n")
        yield
    finally:
        owner.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # Windows removes no file that is open
            (folder / LOCK).unlink(missing_ok=True)
        lock.release()
        with contextlib.suppress(OSError):
            (folder / LOCK).unlink(missing_ok=True)
            if made:
                folder.rmdir()


def _read(owner: Path) -> dict[str, object]:
    """What the file says of the owner; empty if nothing."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        values = json.loads(read_text(owner))
        if isinstance(values, dict):
            return values
    return {}


def _name(owner: dict[str, object]) -> str:
    """The owner in words; what a file says is shown with its control characters escaped."""
    process, host, since = (str(owner.get(key, "unknown"))[:80] for key in ("process", "host", "since"))
    return printable(f"process {process} on {host} (since {since})")
