"""Kaggle's list of submissions, read from whatever the client of any version prints."""

import contextlib
import csv
import dataclasses
import io
import re
from datetime import UTC, datetime

from hw8.base.errors import InputError
from hw8.kaggle.client import Answer, single_spaced
from hw8.kaggle.ledger import as_score


@dataclasses.dataclass(frozen=True)
class Listed:
    """A submission in Kaggle's list; None for what the client did not tell."""

    ref: str | None
    name: str | None
    date: datetime | None
    message: str | None
    status: str | None
    public: str
    private: str


def read_list(text: str) -> list[Listed]:
    """Kaggle's list from what the client printed: CSV, perhaps after other lines, with its columns in any order.

    Raises InputError if there is none in it.
    """
    try:
        return _found_list(text)
    except (csv.Error, LookupError):
        reason = Answer(0, text).last()
    raise InputError(f"kaggle printed no list of submissions ({reason}); pip install --upgrade kaggle")


def _found_list(text: str) -> list[Listed]:
    """The same. Raises LookupError if there is none, and csv.Error."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        names = [re.sub("[^a-z]", "", name.lower()) for name in next(csv.reader([line]), [])]
        if len(names) > 1 and ("filename" in names or "description" in names):
            rows = csv.reader(io.StringIO("\n".join(lines[number + 1 :]), newline=""))
            return [_listed(dict(zip(names, row, strict=True))) for row in rows if len(row) == len(names)]
    if "no submissions found" in text.lower():
        return []
    raise LookupError


def _listed(row: dict[str, str]) -> Listed:
    message, status, ref = row.get("description"), row.get("status"), row.get("ref", "")
    return Listed(
        ref=ref if re.fullmatch("[0-9]{1,18}", ref) else None,
        name=row.get("filename"),
        date=_date(row.get("date", "")),
        message=None if message is None else single_spaced(message),
        status=None if status is None else status.rpartition(".")[2].lower(),
        public=as_score(row.get("publicscore", "")),
        private=as_score(row.get("privatescore", "")),
    )


def _date(text: str) -> datetime | None:
    """A time in UTC, which Kaggle's are without saying so."""
    with contextlib.suppress(ValueError, OverflowError):
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return None
