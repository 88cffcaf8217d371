"""The ledger: a CSV file with one submission per line, which people may edit."""

import contextlib
import csv
import dataclasses
import io
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from hw8.base.errors import InputError, error_reason, shown
from hw8.base.files import write_table
from hw8.config import SUBMISSIONS

LEDGER = SUBMISSIONS / "ledger.csv"
SENDING, SENT, COMPLETE, ERROR, FAILED = STATUSES = ("sending", "sent", "complete", "error", "failed")
# Seconds to wait for another process that changes the ledger, which takes it milliseconds; chosen by hand.
LOCK_SECONDS = 30.0


@dataclasses.dataclass(frozen=True)
class Entry:
    """A line of the ledger, every field as text. `date` is UTC to the microsecond and identifies the entry.

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
        """The date to the minute, as it is printed."""
        return f"{self.when:%Y-%m-%d %H:%M}"


COLUMNS = [field.name for field in dataclasses.fields(Entry)]


class Ledger:
    """The file of all submissions. One process at a time changes it, and every write is atomic."""

    def __init__(self, path: Path = LEDGER) -> None:
        self.path = path

    def entries(self) -> list[Entry]:
        """All submissions, oldest first; empty if there is no file. Raises InputError if it is damaged."""
        if not self.path.exists():
            return []
        try:
            text = self.path.read_text(encoding="utf-8-sig")  # Excel writes a byte-order mark
            reader = csv.reader(io.StringIO(text), strict=True)
            header, *rows = [(reader.line_num, row) for row in reader if any(row)] or [(1, [])]
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read ({error_reason(error)}); check `ledger`") from None
        except (ValueError, csv.Error) as error:
            reason = error_reason(error)
            raise InputError(f"{self.path}: is no CSV file in UTF-8 ({reason}); correct it or move it away") from None
        if header[1] != COLUMNS:
            columns = ",".join(COLUMNS)
            raise InputError(f"{self.path}: its header is {shown(','.join(header[1]))}; it must be {columns}")
        for line, cells in rows:
            if fault := _fault(cells):
                raise InputError(f"{self.path}: line {line}: {fault}; correct or remove that line")
        return sorted((Entry(*cells) for _, cells in rows), key=lambda entry: entry.when)

    @contextlib.contextmanager
    def changing(self) -> Iterator[list[Entry]]:
        """Yield the entries, to be changed in place; they are written if the block succeeds. Other processes wait.

        Raises InputError for a ledger that is damaged, that cannot be written, or that stays locked.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=LOCK_SECONDS).acquire()
        except Timeout:
            raise InputError(f"{self.path}: another process keeps it locked; stop that one and try again") from None
        except (OSError, NotImplementedError) as error:
            raise InputError(
                f"{self.path}: cannot be locked here ({error_reason(error)}); choose another `ledger`"
            ) from None
        with lock:
            entries = self.entries()
            before = list(entries)
            yield entries
            if entries == before:
                return
            write_table(self.path, COLUMNS, map(dataclasses.astuple, entries))


def as_score(text: str) -> str:
    """The score as Kaggle wrote it; empty if it is none (yet)."""
    with contextlib.suppress(ValueError):
        return text.strip() if math.isfinite(float(text)) else ""
    return ""


def _fault(cells: list[str]) -> str | None:
    """What is wrong with a line that somebody may have edited, or None."""
    if len(cells) != len(COLUMNS):
        return f"has {len(cells)} cells where {len(COLUMNS)} are due"
    entry = Entry(*cells)
    try:
        has_zone = datetime.fromisoformat(entry.date).tzinfo is not None
    except ValueError:
        has_zone = False
    if not has_zone:
        return f"date {shown(entry.date)} is no time with its zone"
    if entry.status not in STATUSES:
        return f"status {shown(entry.status)} is none of {', '.join(STATUSES)}"
    bad = [score for score in (entry.public, entry.private) if score.strip() != as_score(score)]
    return f"score {shown(bad[0])} is not a finite number" if bad else None
