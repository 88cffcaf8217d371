"""Submitting with Kaggle's official client, and a ledger of what was submitted and what came of it.

hw8 itself never touches the network: it starts the client `kaggle` as a process. The client's command line was chosen
over its Python interface because the words used here mean the same in versions 1.5.16, 1.6.17, 1.7.4.5 and 2.2.4, while
`import kaggle` signs in at once, may print, ask the network or end the process, and names its classes anew from version
to version; and a process can be given a time limit.
"""

import contextlib
import csv
import dataclasses
import fcntl
import hashlib
import io
import json
import logging
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hw8.errors import InputError, Interrupted, printable
from hw8.files import read_text, written_aside
from hw8.lock import NO_LOCKS
from hw8.tables import read_table

COMPETITION = "ml2023spring-hw8"
LEDGER = Path("submissions/ledger.csv")
A_DAY = 5  # submissions, by the homework's rules; Kaggle's days are UTC
SENDING, SENT, COMPLETE, ERROR, FAILED = STATUSES = ("sending", "sent", "complete", "error", "failed")
LONGEST_MESSAGE = 500
PAGE = 200  # the most that Kaggle lists at once; clients before 2.0 list 20
SHORT_PAGE = 20
WINDOW = timedelta(hours=1)  # between our clock before an upload and Kaggle's after it
LOCK_SECONDS = 30.0

SIGN_IN = (
    "kaggle is not signed in; run `kaggle auth login`, or save a token of https://www.kaggle.com/settings/api as "
    "~/.kaggle/access_token (clients before 2.0: its kaggle.json in ~/.kaggle/, chmod 600)"
)
# What the client's words mean: each of these says that nothing was submitted.
REFUSALS = (
    (r"\b401\b|authentication required|unauthori[sz]ed|unauthenticated|find kaggle\.json|invalid credentials", SIGN_IN),
    (r"allowance|submission limit|daily limit", "Kaggle counts today's submissions as used; try again after 00:00 UTC"),
    (
        r"\b403\b|forbidden|permission '[^']*' was denied|accept\w*\b.*\brules",
        "Kaggle does not let this account in; join, and accept the rules on "
        "https://www.kaggle.com/competitions/{competition}/rules",
    ),
    (r"\b404\b|could not find competition", "Kaggle knows no competition {competition}; check --competition"),
    (r"\b429\b|too many requests", "Kaggle was asked too often; try again in some minutes"),
    (r"could not submit to competition", "the upload did not get through; try again"),
    (
        r"name ?resolution|failed to establish|connection refused|unreachable|connect to proxy|certificate verify",
        "Kaggle cannot be reached; check the connection of this machine and its proxy settings",
    ),
    (r"no module named", "the client lacks a module that its installation left out; pip install it"),
    (
        r"unrecognized arguments|invalid choice|arguments are required",
        "this version of the client takes other arguments; pip install --upgrade kaggle",
    ),
)
RISKY = re.compile(r"(^|[;,])(?=[=+\-@'\t\r\uff1d\uff0b\uff0d\uff20])")
GUARDED = re.compile(r"(^|[;,])'")
# Whatever may be a key or a token in what the client prints: it is never shown.
SECRETS = re.compile(r"(?i)((?:basic|bearer)\s+)\S+|\b(?=[\w-]*\d)[\w-]{20,}=*|\?\S+|(?<=key)[\"']?\s*[:=]\s*\S+")

UNKNOWN = "it may have arrived and is counted; python scripts/submit.py --refresh tells"

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
        """The date as a time."""
        return datetime.fromisoformat(self.date).astimezone(UTC)


COLUMNS = tuple(field.name for field in dataclasses.fields(Entry))


class Ledger:
    """The file of all submissions; one process at a time changes it, and it is written whole or not at all.

    A text that a spreadsheet would run as a formula (it begins with = + - @, or does so after a comma or semicolon)
    stands there with an apostrophe before it, and so does one that begins with an apostrophe; reading takes one off.
    """

    def __init__(self, path: Path = LEDGER) -> None:
        self.path = path

    def entries(self) -> list[Entry]:
        """All submissions, oldest first; none if there is no file. Raises InputError if it is damaged."""
        if not self.path.exists():
            return []
        rows = read_table(self.path, COLUMNS).to_dict("records")
        entries = [Entry(**{name: GUARDED.sub(r"\1", row[name]) for name in COLUMNS}) for row in rows]
        for line, entry in enumerate(entries, start=2):
            if reason := _fault(entry):
                raise InputError(f"{self.path}: line {line}: {reason}; mend or remove that line")
        return entries

    @contextlib.contextmanager
    def changing(self) -> Iterator[list[Entry]]:
        """The entries, to be changed in place; they are written if the block succeeds. Other processes wait."""
        with _locked(self.path.with_name(f".{self.path.name}.lock")):
            entries = self.entries()
            yield entries
            try:
                self._write(entries)
            except InputError as error:
                raise InputError(str(error).replace("--out", "another --ledger")) from None

    def _write(self, entries: Sequence[Entry]) -> None:
        with written_aside(self.path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            for entry in entries:
                writer.writerow([RISKY.sub(r"\1'", text) for text in dataclasses.astuple(entry)])

    def mark(self, entry: Entry, status: str) -> None:
        """Give an entry another status."""
        with self.changing() as entries:
            entries[:] = [
                dataclasses.replace(item, status=status) if item.date == entry.date else item for item in entries
            ]


def _fault(entry: Entry) -> str | None:
    """What is wrong with an entry that somebody may have edited."""
    try:
        if datetime.fromisoformat(entry.date).tzinfo is None:
            raise ValueError
    except ValueError:
        return f"date {entry.date!r} is no time with its zone"
    if entry.status not in STATUSES:
        return f"status {entry.status!r} is none of {', '.join(STATUSES)}"
    bad = [text for text in (entry.public, entry.private) if text != _score(text)]
    return f"score {bad[0]!r} is not a finite number" if bad else None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file, which the system gives free if we die. Raises InputError after half a minute's wait."""
    deadline = time.monotonic() + LOCK_SECONDS
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise InputError(f"{path}: cannot write here ({error.strerror}); choose another --ledger") from None
    try:
        while not _taken(handle, path):
            if time.monotonic() > deadline:
                raise InputError(f"{path}: another process keeps the ledger to itself; stop it and try again")
            time.sleep(0.05)
        yield
    finally:
        os.close(handle)


def _taken(handle: int, path: Path) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        log.warning("%s: this disk carries no locks; submit from one process at a time", path)
    return True


def find_client() -> str:
    """The client's path: as the shell finds it, else beside this Python. Raises InputError if it is nowhere."""
    beside = str(Path(sys.executable).parent)
    # With six, which kaggle 2.2.4 imports without asking for it.
    found = shutil.which("kaggle") or shutil.which("kaggle", path=beside)
    if found is None:
        raise InputError(f"the official client is not installed; pip install kaggle six, then: {SIGN_IN}")
    return found


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the client said: its exit code, its standard output, and all its words without its warnings."""

    code: int
    output: str
    words: str

    def last(self) -> str:
        """Its last line, which is what it comes down to, short and without anything that may be secret."""
        lines = [line for line in self.words.splitlines() if line.strip()]
        return printable(single_spaced(SECRETS.sub(r"\1[...]", lines[-1] if lines else "without a word")))[:200]

    def refusal(self, competition: str) -> str | None:
        """Why nothing was submitted, and what to do; None if that is not sure."""
        for pattern, advice in REFUSALS:
            if re.search(pattern, self.words, re.IGNORECASE):
                said = "" if advice is SIGN_IN else f" (kaggle: {self.last()})"
                return advice.format(competition=competition) + said
        return None

    def success(self) -> str | None:
        """The line that says that a submission was taken; None if none does."""
        lines = self.output.splitlines() if self.code == 0 else []
        return next((printable(single_spaced(line)) for line in lines if re.search(r"(?i)\bsuccess", line)), None)


def ask(client: str, words: list[str], seconds: float) -> Answer:
    """Run the client. Raises InputError if it cannot be started, and subprocess.TimeoutExpired; then it is stopped."""
    # VERBOSE makes it print its requests, with the token in them.
    environment = os.environ | {"PYTHONIOENCODING": "utf-8", "VERBOSE": "false", "VERBOSE_OUTPUT": "false"}
    try:
        process = subprocess.Popen(
            [client, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            encoding="utf-8", errors="replace", env=environment, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise InputError(
            f"{client}: cannot be started ({error.strerror}); pip install --force-reinstall kaggle"
        ) from None
    with process:
        try:
            output, errors = process.communicate(timeout=seconds)
        except BaseException:
            # The group, for a wrapper's child would hold our pipes open for as long as it likes.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    lines = (output + "\n" + errors).splitlines()
    return Answer(process.returncode, output, "\n".join(line for line in lines if not line.startswith("Warning:")))


def draft(file: Path, message: str, rows: int, run: Path | None = None, competition: str = COMPETITION) -> Entry:
    """A submission that is fit to be sent, not in the ledger yet.

    `rows` is the number of test images. `run` is where the file comes from; without it, the run of the file's name in
    runs/, if there is one. Raises InputError for a file, message, run or competition that is not right.
    """
    from hw8.submission import check_submission  # late, for it takes seconds to load

    _check_name(competition)
    text = single_spaced(message)
    # The client's parser would drop a message that is two dashes.
    if not 0 < len(text) <= LONGEST_MESSAGE or not _plain(text) or text == "--":
        raise InputError(f"--message: must be 1 to {LONGEST_MESSAGE} letters, no control characters, and not just --")
    if not _plain(str(file)):
        raise InputError(f"{str(file)!r}: has control characters in its name; rename it")
    check_submission(file, rows)
    origin = run or _origin(file)
    known = _described(origin) if _plain(str(origin)) else {}
    if run is not None and not known:
        raise InputError(f"--run {run}: no finished run here (its summary.json is missing or damaged); check the name")
    return Entry("", competition, file.as_posix(), _digest(file), text, **known)


def _check_name(competition: str) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", competition):
        raise InputError(f"--competition {competition!r}: must be as in the address of its page: {COMPETITION}")


def _plain(text: str) -> bool:
    """Whether a text can be written to a file of lines: no control characters, and no bytes that are no letters."""
    return not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text)


def single_spaced(text: str) -> str:
    """A text with every run of white space as one space: a message is sent so, and compared so."""
    return " ".join(text.split())


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _origin(file: Path) -> Path:
    """Where a file of this name comes from: predict.py's runs/NAME, or a comparison's own folder of a run."""
    from hw8.runs import RUNS

    return file.parent if file.name == "scores.csv" else RUNS / file.stem


def _described(run: Path) -> dict[str, str]:
    """A run's path, preset and held-out macro AUC, also of a detector in a comparison; nothing if it does not tell."""
    for name in ("summary.json", "result.json"):
        with contextlib.suppress(OSError, ValueError, RecursionError, KeyError, TypeError):
            found = json.loads(read_text(run / name))
            auc = float(found["held_out"]["macro_auc"] if name == "summary.json" else found["held_out_auc"])
            return {"run": run.as_posix(), "preset": single_spaced(str(found["preset"])), "held_out_auc": f"{auc:.5f}"}
    return {}


def used_today(entries: Sequence[Entry], competition: str, now: datetime) -> list[Entry]:
    """What counts of today's five: everything of this day in UTC but what surely failed."""
    today = now.astimezone(UTC).date()
    mine = [entry for entry in entries if entry.competition == competition and entry.status != FAILED]
    return [entry for entry in mine if entry.when.date() == today]


def budget(entries: Sequence[Entry], competition: str, now: datetime) -> str:
    """Today's budget in words."""
    used = len(used_today(entries, competition, now))
    return f"{used} of {A_DAY} submissions used today ({now.astimezone(UTC):%Y-%m-%d} UTC) by the ledger"


def warnings(entries: Sequence[Entry], new: Entry) -> list[str]:
    """Lines about what one would regret: the same file again, and uploads of which nobody knows how they ended."""
    same = [item for item in entries if item.sha256 == new.sha256 and item.competition == new.competition]
    same = [item for item in same if item.status != FAILED]
    lines = [
        f"{new.file}: the same file was submitted on {_minute(item)} as {printable(item.file)}" for item in same[-1:]
    ]
    open_ones = [item for item in entries if item.status == SENDING and item.competition == new.competition]
    return lines + [
        f"{printable(item.file)} of {_minute(item)}: is still being sent, or never finished; counted until --refresh"
        for item in open_ones
    ]


def submit(new: Entry, ledger: Ledger, seconds: float, force: bool = False, now: datetime | None = None) -> str:
    """Send a draft, and return Kaggle's answer; the ledger has it before the upload begins.

    Raises InputError for a sixth of the day (unless `force`), without a client, and for whatever the client says but
    success; the ledger then counts it unless it surely did not arrive. Interrupted likewise.
    """
    client = find_client()
    entry = _entered(new, ledger, force, now or datetime.now(UTC))
    try:
        answer = ask(client, submit_words(entry), seconds)
    except subprocess.TimeoutExpired:
        raise InputError(f"{new.file}: no answer in {seconds:g} seconds (--timeout); {UNKNOWN}") from None
    except KeyboardInterrupt:
        raise Interrupted(f"{new.file}: stopped while it was sent; {UNKNOWN}") from None
    except InputError:
        ledger.mark(entry, FAILED)
        raise
    success = answer.success()
    if success:
        _arrived(entry, ledger)
        return success
    refusal = answer.refusal(new.competition)
    if refusal:
        ledger.mark(entry, FAILED)
        raise InputError(f"{new.file}: not submitted: {refusal}")
    raise InputError(f"{new.file}: kaggle ended with code {answer.code} ({answer.last()}); {UNKNOWN}")


def _entered(new: Entry, ledger: Ledger, force: bool, now: datetime) -> Entry:
    """Write the draft into the ledger as being sent. Raises InputError if today's submissions are used."""
    moment = now.astimezone(UTC)
    with ledger.changing() as entries:
        check_budget(entries, new.competition, moment, force)
        while any(entry.when == moment for entry in entries):
            moment += timedelta(microseconds=1)
        entry = dataclasses.replace(new, date=moment.isoformat(timespec="microseconds"), status=SENDING)
        entries.append(entry)
    return entry


def _arrived(entry: Entry, ledger: Ledger) -> None:
    """Write down that an entry was sent."""
    try:
        ledger.mark(entry, SENT)
    except InputError as error:
        raise InputError(f"{entry.file}: was submitted, but not marked so: {error}") from None
    with contextlib.suppress(OSError):
        if _digest(Path(entry.file)) != entry.sha256:
            log.warning("Warning:  %s: was changed while it was sent; see what it scores", entry.file)


def check_budget(entries: Sequence[Entry], competition: str, now: datetime, force: bool) -> None:
    """Raise InputError if today's submissions are used, unless `force`."""
    used = used_today(entries, competition, now)
    if len(used) < A_DAY or force:
        return
    day = now.astimezone(UTC)
    minutes = 24 * 60 - (day.hour * 60 + day.minute)
    unsure = sum(entry.status == SENDING for entry in used)
    note = f" ({unsure} of them unfinished: --refresh may free them)" if unsure else ""
    raise InputError(
        f"{competition}: {budget(entries, competition, now)}{note}; wait {minutes // 60} h {minutes % 60} min for "
        "00:00 UTC, or add --force"
    )


def submit_words(entry: Entry) -> list[str]:
    """The client's command line for an entry.

    Long words with = keep a message or file that begins with a dash from being taken for an option; the client also
    takes a command line that ends in -h or --help for a call for help, which --quiet at the end prevents.
    """
    file = Path(entry.file).absolute()
    words = [f"--message={entry.message}", f"--file={file}", f"--competition={entry.competition}", "--quiet"]
    return ["competitions", "submit", *words]


def refresh_words(competition: str, paged: bool) -> list[str]:
    """The client's command line for the list of submissions; `paged` asks for more than the newest twenty."""
    page = [f"--page-size={PAGE}"] if paged else []
    return ["competitions", "submissions", "--csv", *page, f"--competition={competition}", "--quiet"]


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


def refresh(ledger: Ledger, competition: str, seconds: float, now: datetime | None = None) -> list[str]:
    """Ask for the list of submissions and put scores into the ledger; returns lines that say what changed.

    An entry that was being sent and is in no list is set to failed, once it is an hour old. Raises InputError if the
    client does not give the list; the ledger is then left as it is.
    """
    moment = now or datetime.now(UTC)
    listed = read_list(_ask_for_list(competition, seconds).output)
    with ledger.changing() as entries:
        found = match(entries, listed, competition)
        before = list(entries)
        for place, item in found.items():
            entries[place] = _updated(entries[place], listed[item])
        for place, entry in enumerate(entries):
            mine = entry.competition == competition and entry.status == SENDING and place not in found
            if mine and entry.when < moment - WINDOW and _reaches(listed, entry.when):
                entries[place] = dataclasses.replace(entry, status=FAILED)
    lines = [
        f"{printable(new.file)} of {_minute(new)}: {new.status}, public {new.public or '-'}, "
        f"private {new.private or '-'}"
        for old, new in zip(before, entries, strict=True)
        if old != new
    ]
    today = moment.astimezone(UTC).date()
    strangers = sum(
        item.date is not None and item.date.date() == today
        for number, item in enumerate(listed)
        if number not in found.values()
    )
    if strangers:
        lines.append(f"{strangers} of today's submissions were made elsewhere: Kaggle counts them, the ledger does not")
    return lines or ["nothing new"]


def _ask_for_list(competition: str, seconds: float) -> Answer:
    """The client's list of submissions, of a client of any version. Raises InputError."""
    _check_name(competition)
    client = find_client()
    try:
        answer = ask(client, refresh_words(competition, paged=True), seconds)
        if answer.code == 2 and "page-size" in answer.words:
            answer = ask(client, refresh_words(competition, paged=False), seconds)
    except subprocess.TimeoutExpired:
        raise InputError(f"{competition}: no list in {seconds:g} seconds (--timeout); try again") from None
    if answer.code != 0:
        reason = answer.refusal(competition) or f"kaggle ended with code {answer.code} ({answer.last()}); try again"
        raise InputError(f"{competition}: no list of submissions: {reason}")
    return answer


def read_list(text: str) -> list[Listed]:
    """Kaggle's list from what the client printed: CSV, perhaps after other lines, with its columns in any order.

    Raises InputError if there is none in it.
    """
    try:
        return _found_list(text)
    except (csv.Error, LookupError):
        reason = Answer(0, "", text).last()
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
    date, message, status = row.get("date", ""), row.get("description"), row.get("status")
    ref = row.get("ref", "")
    moment = None
    with contextlib.suppress(ValueError):
        moment = datetime.fromisoformat(date)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return Listed(
        ref if re.fullmatch("[0-9]{1,18}", ref) else None, row.get("filename"), moment,
        None if message is None else single_spaced(message),
        None if status is None else status.rpartition(".")[2].lower(),
        _score(row.get("publicscore", "")), _score(row.get("privatescore", "")),
    )  # fmt: skip


def _score(text: str) -> str:
    """A score as Kaggle wrote it; nothing if it is none (yet)."""
    with contextlib.suppress(ValueError):
        return text.strip() if math.isfinite(float(text)) else ""
    return ""


def match(entries: Sequence[Entry], listed: Sequence[Listed], competition: str) -> dict[int, int]:
    """Which entry is which of the listed, by place: by Kaggle's number, else by file name, message and nearest time.

    Without a date only what can be nothing else is matched.
    """
    pairs: list[tuple[float, int, int]] = []
    for place, entry in enumerate(entries):
        for number, item in enumerate(listed):
            if entry.competition == competition and (apart := _apart(entry, item)) is not None:
                pairs.append((apart, place, number))
    found: dict[int, int] = {}
    for apart, place, number in sorted(pairs):
        taken = place in found or number in found.values()
        if not taken and (apart < math.inf or _only(pairs, place, number)):
            found[place] = number
    return found


def _only(pairs: Sequence[tuple[float, int, int]], place: int, number: int) -> bool:
    """Whether these two have no other choice among what has no date."""
    return sum(apart == math.inf and (one == place or other == number) for apart, one, other in pairs) == 1


def _apart(entry: Entry, item: Listed) -> float | None:
    """Seconds between an entry and a listed submission; infinity if unknown; None if they are not the same."""
    if entry.ref and item.ref:
        return -1.0 if entry.ref == item.ref else None
    same = item.name in (None, Path(entry.file).name) and item.message in (None, entry.message)
    if not same or (item.name is None and item.message is None):
        return None
    if item.date is None:
        return math.inf
    apart = abs(item.date - entry.when)
    if apart > WINDOW:
        return None
    # What counts as failed may have arrived all the same, but only if it is nothing else's.
    return (apart + WINDOW * (entry.status == FAILED)).total_seconds()


def _updated(entry: Entry, item: Listed) -> Entry:
    """The entry with what Kaggle says; what it does not say any more is kept."""
    said = COMPLETE if item.status is None and item.public else item.status
    status = said if said in (COMPLETE, ERROR) else entry.status if entry.status in (COMPLETE, ERROR) else SENT
    return dataclasses.replace(
        entry, status=status, public=item.public or entry.public, private=item.private or entry.private,
        ref=item.ref or entry.ref,
    )  # fmt: skip


def _reaches(listed: Sequence[Listed], when: datetime) -> bool:
    """Whether the list goes back far enough to hold what was sent then."""
    dates = [item.date for item in listed if item.date is not None]
    return len(dates) == len(listed) and (len(listed) < SHORT_PAGE or min(dates) < when)


def listing(entries: Sequence[Entry]) -> str:
    """The ledger as a table, newest last."""
    if not entries:
        return "No submissions yet"
    head = ("date (UTC)", "file", "run", "preset", "held-out", "public", "private", "status", "message")
    rows = [head] + [
        (_minute(item), item.file, item.run, item.preset, item.held_out_auc, item.public, item.private, item.status,
         item.message if len(item.message) <= 40 else item.message[:37] + "...")
        for item in entries
    ]  # fmt: skip
    widths = [max(len(printable(row[column])) for row in rows) for column in range(len(head))]
    lines = ["  ".join(printable(cell).ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def _minute(entry: Entry) -> str:
    return f"{entry.when:%Y-%m-%d %H:%M}"


def scores_of_run(entries: Sequence[Entry], run: Path) -> tuple[float, float]:
    """Kaggle's public and private score of a run in a comparison (NaN if unknown), from its newest scored entry.

    An entry is the run's if its file is, by digest, the run's scores.csv, or else if it names the run.
    """
    scored = [entry for entry in entries if entry.public or entry.private]
    scores = run / "scores.csv"
    digest = _digest(scores) if scored and scores.exists() else ""
    same = [entry for entry in scored if entry.sha256 == digest]
    named = [entry for entry in scored if entry.run and Path(entry.run).resolve() == run.resolve()]
    for entry in (same or named)[-1:]:
        return float(entry.public or "nan"), float(entry.private or "nan")
    return math.nan, math.nan
