"""What is asked of a reader, whatever the file: measured while it reads one case."""

import contextlib
import ctypes
import dataclasses
import gc
import hashlib
import os
import re
import resource
import shutil
import signal
import sys
import time
import traceback
import unicodedata
import warnings
from collections.abc import Iterator
from pathlib import Path

import hw8

from .cases import EITHER, LOADED, REFUSED, Case, Invalid, Reader

SECONDS = 5.0
SLACK = 20_000_000
MEGABYTES = {"pictures": 600}  # of 25 million pixels, several times over while they are converted; of others:
MOST = 300
LONGEST = 600
ADDRESS_SPACE = 6 << 30
HASHED = 4 << 20
CANARY = "canary"
UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
UNSEEN = (DeprecationWarning, PendingDeprecationWarning, ResourceWarning, ImportWarning)  # by default
STARTING = {"os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen", "socket.connect", "pty.spawn"}
CHANGING = {
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "shutil.rmtree",
    "os.chown",
    "os.utime",
}


@dataclasses.dataclass
class Outcome:
    """What came of one case; `problems` is empty if the reader did what is asked."""

    name: str
    outcome: str
    message: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0
    problems: list[str] = dataclasses.field(default_factory=list)


class TooSlow(BaseException):
    """Time is up. No Exception, so that a reader that catches those does not take it for a damaged file."""


class Watch:
    """Hears what Python is asked to open, change and start while a case is read."""

    def __init__(self) -> None:
        self.inside: Path | None = None
        self.seen: list[str] = []
        sys.addaudithook(self._hear)

    @contextlib.contextmanager
    def over(self, folder: Path) -> Iterator[list[str]]:
        """Listen during a block; only `folder` may be written to."""
        self.seen, self.inside = [], folder
        try:
            yield self.seen
        finally:
            self.inside = None

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.inside is None:
            return
        if event in STARTING:
            self.seen.append(f"{event} {arguments[0]!r}"[:200])
        elif (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING) or event in CHANGING:
            self._outside(event, arguments[0])

    def _outside(self, event: str, path: object) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return
        place = Path(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100 (links stay as they are)
        if self.inside is not None and place != Path(os.devnull) and self.inside not in (place, *place.parents):
            self.seen.append(f"{event} {str(place)!r}"[:200])


def limit_address_space() -> None:
    """Let a reader that asks for any number of gigabytes fail, rather than the machine."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESS_SPACE, used + ADDRESS_SPACE))


def judge(reader: Reader, case: Case, base: Path, scratch: Path, watch: Watch) -> Outcome:
    """Make a case in a folder of its own, read it, and say what came of it."""
    folder = scratch / "case"
    folder.mkdir()
    case.make(folder, base)
    path = folder / (case.file or reader.file)
    before, beside = _snapshot(folder), set(scratch.iterdir())
    found = Outcome(f"{reader.name}: {case.name}", "failed")
    _settle_memory()
    start = _resident()
    with watch.over(folder) as seen, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for kind in UNSEEN:
            warnings.simplefilter("ignore", kind)
        began = time.process_time()
        _read(reader, base, path, found)
        found.seconds = round(time.process_time() - began, 3)
    found.megabytes = round(max(0.0, (_peak() - start) / 1e6), 1)
    _check_message(reader, case, folder, found)
    if found.outcome in (LOADED, REFUSED) and case.expected not in (EITHER, found.outcome):
        found.problems.append(f"was {found.outcome}, should be {case.expected}")
    if found.seconds > SECONDS:
        found.problems.append(f"took {found.seconds:.1f} s of work")
    if found.megabytes > MEGABYTES.get(reader.name, MOST):
        found.problems.append(f"took {found.megabytes:.0f} MB")
    found.problems += [f"reached outside: {what}" for what in seen]
    found.problems += [f"printed a warning: {str(item.message)[:120]!r}" for item in warned]
    found.problems += [f"made or removed {path.name} beside its folder" for path in set(scratch.iterdir()) ^ beside]
    found.problems += _changes(reader, found.outcome, before, _snapshot(folder))
    _remove(folder)
    return found


def _read(reader: Reader, base: Path, path: Path, found: Outcome) -> None:
    """Let the reader read, with the clock running."""
    from hw8.base.errors import InputError

    try:
        try:
            _alarm(SECONDS)
            reader.read(base, path)
        finally:
            _alarm(0)  # inside, for it may ring until it is off
        found.outcome = LOADED
    except InputError as error:
        found.outcome, found.message = REFUSED, str(error)
    except Invalid as error:
        found.problems.append(f"loaded, but {error}")
    except TooSlow:
        found.problems.append("was not done in time")
    except BaseException as error:
        found.problems.append(f"{type(error).__name__}: {' '.join(str(error).split())[:160]} {_where(error)}")


def _alarm(seconds: float) -> None:
    """Raise TooSlow after so many seconds of work, or twice as many in all: other processes may be at work."""
    for timer, number, patience in ((signal.ITIMER_PROF, signal.SIGPROF, 1), (signal.ITIMER_REAL, signal.SIGALRM, 2)):
        signal.signal(number, _time_is_up)
        signal.setitimer(timer, seconds * patience)


def _time_is_up(*_: object) -> None:
    raise TooSlow


def _where(error: BaseException) -> str:
    """The last line of hw8 that an error passed through."""
    package = Path(hw8.__file__).parent
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if package in Path(frame.filename).parents]
    if not frames:
        return "(not in hw8)"
    return f"({Path(frames[-1].filename).relative_to(package)}:{frames[-1].lineno})"


def _check_message(reader: Reader, case: Case, folder: Path, found: Outcome) -> None:
    """A refusal is one short line, printable, that names the file."""
    if found.outcome != REFUSED:
        return
    text = found.message
    own = text.replace(str(folder), "FOLDER")
    odd = sorted({character for character in text if unicodedata.category(character) in UNPRINTABLE})
    if odd:
        found.problems.append(f"its message has the characters {odd!r}: {own[:120]!r}")
    if len(own) > LONGEST:
        found.problems.append(f"its message has {len(own):,} characters: {own[:120]!r}")
    if reader.names_file and str(folder) not in text and (case.names is None or case.names not in text):
        found.problems.append(f"its message does not name the file: {own[:160]!r}")
    if not own.strip():
        found.problems.append("its message is empty")
    found.message = own[:LONGEST]


def says_what_to_do(message: str) -> bool:
    """Whether a refusal says what would be right, or what to do."""
    return bool(re.search(r"; |must|expected|at most|at least|is not a (finite|row) number|cannot be built", message))


def _snapshot(folder: Path) -> dict[str, tuple[object, ...]]:
    """What is in a folder: kind, size, time and content of everything in it."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content: object = None
        if path.is_symlink():
            content = os.readlink(path)  # noqa: PTH115 (as it stands)
        elif path.is_file() and status.st_size <= HASHED:
            content = hashlib.blake2b(path.read_bytes()).hexdigest()
        size = (None, None) if path.is_dir() else (status.st_size, status.st_mtime_ns)
        found[str(path.relative_to(folder))] = (status.st_mode, *size, content)
    return found


def _changes(
    reader: Reader, outcome: str, before: dict[str, tuple[object, ...]], after: dict[str, tuple[object, ...]]
) -> list[str]:
    """What a reader changed that it may not: nothing at all, but for what a training writes into its own folder."""
    if reader.may_write and outcome != REFUSED:
        return []
    names = [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
    return [f"changed {name}" for name in names if not Path(name).name.startswith(reader.may_write or ("\0",))]


def _remove(folder: Path) -> None:
    shutil.rmtree(folder)


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    return 0


def _resident() -> int:
    return _status("VmRSS:")


def _settle_memory() -> None:
    """Give back what earlier cases left and begin the peak anew, unless they left next to nothing."""
    if _peak() - _settled[-1] < SLACK:
        return
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    _settled[:] = [_resident()]


_settled = [0]  # what was in use when memory was last given back


def _peak() -> int:
    """The largest resident memory since `_settle_memory`, where the system tells it, else since the start."""
    return _status("VmHWM:") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
