"""The ledger: a CSV file of all submissions, one a line, that people may edit and spreadsheets may open."""

import contextlib
import csv
import dataclasses
import io
import logging
import math
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from hw8.base.errors import InputError, shown
from hw8.base.files import atomic_write, open_regular

LEDGER = Path("submissions/ledger.csv")
SENDING, SENT, COMPLETE, ERROR, FAILED = STATUSES = ("sending", "sent", "complete", "error", "failed")
LARGEST = 10_000_000  # bytes: some 30,000 submissions
LOCK_SECONDS = 30.0

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Entry:
    """A line of the ledger, every field as text. `date` is UTC to the microsecond and names the entry.

    `status` is sending (until the client answers; counted, for it may have arrived), sent, complete (scored), error
    (Kaggle could not score it) or failed (nothing arrived; not counted). `ref` is Kaggle's own number.
    """

    date: str
    competition: str
    file: str
    sha256: str
    message: str
    run: str = ""
    preset: str = ""
    held_out_auc: str = ""
    status: str = SENDING
    public: str = ""
    private: str = ""
    ref: str = ""

    @property
    def when(self) -> datetime:
        """The date as a time in UTC."""
        return datetime.fromisoformat(self.date).astimezone(UTC)

    @property
    def minute(self) -> str:
        """The date as people read it."""
        return f"{self.when:%Y-%m-%d %H:%M}"


COLUMNS = tuple(field.name for field in dataclasses.fields(Entry))


class Ledger:
    """The file of all submissions; one process at a time changes it, and it is written whole or not at all."""

    def __init__(self, path: Path = LEDGER) -> None:
        self.path = path

    def entries(self) -> list[Entry]:
        """All submissions, oldest first; none if there is no file. Raises InputError if it is damaged."""
        (_, header), *rows = self._rows() or [(1, list(COLUMNS))]
        if header != list(COLUMNS):
            found, due = shown(",".join(header)), ",".join(COLUMNS)
            raise InputError(f"{self.path}: its header is {found}; it must be {due}, with commas between the columns")
        entries = []
        for line, cells in rows:
            if reason := _fault(cells):
                raise InputError(f"{self.path}: line {line}: {reason}; mend or remove that line")
            entries.append(Entry(*cells))
        return sorted(entries, key=lambda entry: entry.when)

    def _rows(self) -> list[tuple[int, list[str]]]:
        """Lines with anything in them, by number; a file has a first one. Raises InputError if it is no CSV file."""
        try:
            with open_regular(self.path) as file:
                content = file.read(LARGEST + 1)
            if len(content) > LARGEST:
                raise ValueError(f"it is larger than {LARGEST:,} bytes")
            reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
            return [(reader.line_num, row) for row in reader if any(row)] or [(1, [])]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read ({error.strerror}); check `ledger`") from None
        except (ValueError, csv.Error) as error:
            raise InputError(f"{self.path}: is no CSV file in UTF-8 ({error}); mend it or move it away") from None

    @contextlib.contextmanager
    def changing(self) -> Iterator[list[Entry]]:
        """The entries, to be changed in place; they are written if the block succeeds. Other processes wait.

        Raises InputError for a damaged ledger, one that cannot be written, and after half a minute's wait.
        """
        with _locked(self.path.with_name(f".{self.path.name}.lock")):
            entries = self.entries()
            before = list(entries)
            yield entries
            if entries == before:
                return
            try:
                self._write(entries)
            except InputError as error:
                raise InputError(str(error).replace("`out`", "another `ledger`")) from None

    def _write(self, entries: list[Entry]) -> None:
        with atomic_write(self.path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(map(dataclasses.astuple, entries))

    def settle(self, sent: Entry, status: str) -> None:
        """Write down how sending an entry ended. Raises InputError as `changing` does.

        What a refresh meanwhile learned of its score stays; that it was in no list yet does not.
        """
        with self.changing() as entries:
            for place, entry in enumerate(entries):
                if entry.date == sent.date and entry.status in (SENDING, FAILED):
                    entries[place] = dataclasses.replace(entry, status=status)


def is_plain(text: str) -> bool:
    """Whether a text can be written to a file of lines: no control characters, and no bytes that are no letters."""
    return not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text)


def as_score(text: str) -> str:
    """A score as Kaggle wrote it; nothing if it is none (yet)."""
    with contextlib.suppress(ValueError):
        return text.strip() if math.isfinite(float(text)) else ""
    return ""


def _fault(cells: list[str]) -> str | None:
    """What is wrong with a line that somebody may have edited."""
    if len(cells) != len(COLUMNS):
        return f"has {len(cells)} cells where {len(COLUMNS)} are due"
    if not all(map(is_plain, cells)):
        return "has control characters in it"
    entry = Entry(*cells)
    try:
        known = datetime.fromisoformat(entry.date).tzinfo is not None and entry.when.year > 0
    except (ValueError, OverflowError):
        known = False
    if not known:
        return f"date {shown(entry.date)} is no time with its zone"
    if entry.status not in STATUSES:
        return f"status {shown(entry.status)} is none of {', '.join(STATUSES)}"
    bad = [text for text in (entry.public, entry.private) if text != as_score(text)]
    return f"score {shown(bad[0])} is not a finite number" if bad else None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file, which the system gives free if we die. Raises InputError after half a minute's wait."""
    lock = FileLock(path, timeout=LOCK_SECONDS)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise InputError(f"{path}: another process keeps the ledger to itself; stop it and try again") from None
    except NotImplementedError:
        raise InputError(f"{path}: its disk carries no locks; choose another `ledger`") from None
    except OSError as error:
        raise InputError(f"{path}: cannot write here ({error.strerror}); choose another `ledger`") from None
    try:
        yield
    finally:
        lock.release()
