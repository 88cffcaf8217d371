"""Submitting, against a stand-in for the official client that takes exactly the words which the real one takes."""

import dataclasses
import errno
import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw8 import kaggle
from hw8.errors import InputError, Interrupted
from hw8.evaluation.standings import summarise
from hw8.kaggle import COLUMNS, COMPETITION, Entry, Ledger, draft, listing, match, read_list, refresh, submit
from hw8.report.leaderboard import notes, readable, with_kaggle_scores, write_leaderboard
from hw8.submission import write_submission

SCRIPT = Path(__file__).parents[1] / "scripts" / "submit.py"
NOON = datetime(2023, 5, 1, 12, tzinfo=UTC)
ROWS = 3
HEAD = "ref,fileName,date,description,status,publicScore,privateScore"

# The parser is that of kaggle 2.2.4 (kaggle/cli.py) for these two commands; `old` leaves out what 1.7.4.5 has not.
STAND_IN = """#!PYTHON
import argparse, csv, datetime, json, os, pathlib, signal, subprocess, sys, time

home = pathlib.Path(__file__).parent
mode = (home / "mode").read_text().split()
parser = argparse.ArgumentParser(formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("-v", "--version", action="version", version="Kaggle CLI 2.2.4")
parser.add_argument("-W", "--no-warn", dest="disable_version_warning", action="store_true")
commands = parser.add_subparsers(title="commands", dest="command")
commands.required = True
competitions = commands.add_parser("competitions", aliases=["c"])
verbs = competitions.add_subparsers(title="commands", dest="verb")
verbs.required = True
submit = verbs.add_parser("submit")
submit.add_argument("competition", nargs="?", default=None)
submit.add_argument("-c", "--competition", dest="competition_opt", required=False)
submit.add_argument("-f", "--file", dest="file_name")
submit.add_argument("-k", "--kernel", dest="kernel")
submit.add_argument("-m", "--message", dest="message", required=True)
submit.add_argument("-v", "--version", dest="version")
submit.add_argument("-q", "--quiet", dest="quiet", action="store_true")
submissions = verbs.add_parser("submissions")
submissions.add_argument("competition", nargs="?", default=None)
submissions.add_argument("-c", "--competition", dest="competition_opt", required=False)
form = submissions.add_mutually_exclusive_group()
form.add_argument("-v", "--csv", dest="csv_display", action="store_true")
submissions.add_argument("-q", "--quiet", dest="quiet", action="store_true")
if "old" not in mode:
    submit.add_argument("--sandbox", dest="sandbox", action="store_true")
    form.add_argument("--format", dest="output_format")
    submissions.add_argument("--page-size", dest="page_size", required=False, type=int)
    submissions.add_argument("--page-token", dest="page_token", required=False)
arguments = parser.parse_args()
competition = arguments.competition or arguments.competition_opt

if "noisy" in mode:
    print("Warning: Your Kaggle API key is readable by other users on this system! To fix this, you can run "
          "'chmod 600 /home/me/.kaggle/kaggle.json'")
    print("Warning: Looks like you're using an outdated API Version, please consider updating (server 1.5.16 / client "
          "1.5.12)")
if "401" in mode:
    print("Authentication required to call the Kaggle API.\\n\\nFirst, you will need a Kaggle account.\\n"
          "  Option B: API token file\\n    Save the token to ~/.kaggle/access_token")
    sys.exit(1)
for word, text in {
    "403": "403 Client Error: Forbidden for url: https://api.kaggle.com/v1/competitions.CompetitionApiService/Start",
    "rules": "You must accept this competition's rules before you'll be able to submit",
    "404": "404 Client Error: Not Found for url: https://api.kaggle.com/v1/competitions.CompetitionApiService/Start",
    "allowance": "Submission not allowed:  Your team has used its daily Submission allowance (5) today, please try "
                 "again tomorrow UTC (11 hours from now).",
    "offline": "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='api.kaggle.com', port=443): Max retries "
               "exceeded with url: /v1/x?key=0123456789abcdef0123456789abcdef (Caused by NameResolutionError(...))",
    "incomplete": "Traceback (most recent call last):\\n  import six\\nModuleNotFoundError: No module named 'six'",
    "reset": "('Connection aborted.', ConnectionResetError(104, 'Connection reset by peer')) "
             "Authorization: Bearer KGAT_0123456789abcdef0123456789abcdef key=topsecret",
}.items():
    if word in mode:
        print(text, file=sys.stderr)
        sys.exit(1)
if "gone" in mode:
    print("Could not find competition - please verify that you entered the correct competition ID and that the "
          "competition is still accepting submissions.")
    sys.exit(0)
if "not-uploaded" in mode:
    print("Could not submit to competition", end="")
    sys.exit(0)
if "hang" in mode:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])  # holds our pipes open
    time.sleep(60)

if arguments.verb == "submissions":
    assert arguments.csv_display
    print((home / "list").read_text(), end="")
    sys.exit(0)
file = pathlib.Path(arguments.file_name)
if "slow" in mode:
    time.sleep(0.3)
with (home / "got").open("a") as got:
    got.write(json.dumps([competition, file.name, file.read_text(), arguments.message]) + "\\n")
if "kill" in mode:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(0.2)
if "interrupt" in mode:
    os.kill(os.getppid(), signal.SIGINT)
    time.sleep(60)
if not arguments.quiet:
    print("3 submissions remaining today.")
print("Successfully submitted to ML2023Spring-HW8", end="")
"""


class Client:
    """The stand-in, and the ledger of the folder that it stands in."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ledger = folder / "bin", Ledger(folder / "submissions" / "ledger.csv")
        self.folder.mkdir()
        path = self.folder / "kaggle"
        path.write_text(STAND_IN.replace("PYTHON", sys.executable, 1))
        path.chmod(0o755)
        self.behave("good")

    def behave(self, *mode: str) -> None:
        (self.folder / "mode").write_text(" ".join(mode))

    def lists(self, text: str) -> None:
        (self.folder / "list").write_text(text)

    def got(self) -> list[list[str]]:
        path = self.folder / "got"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def send(self, file: Path, message: str = "first", now: datetime = NOON, seconds: float = 30, **options) -> str:
        return submit(draft(file, message, ROWS, **options), self.ledger, seconds, now=now)

    def statuses(self) -> list[str]:
        return [entry.status for entry in self.ledger.entries()]


@pytest.fixture
def client(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = Client(tmp_path)
    monkeypatch.setenv("PATH", f"{found.folder}{os.pathsep}{os.environ['PATH']}")
    return found


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "submissions" / "first.csv"
    write_submission(path, np.array([0.5, 1.5, 0.25]))
    return Path("submissions/first.csv")


def entry(**changes: str) -> Entry:
    known = Entry(NOON.isoformat(), COMPETITION, "submissions/first.csv", "a" * 64, "first", status="sent")
    return dataclasses.replace(known, **changes)


def keep(ledger: Ledger, *entries: Entry) -> None:
    with ledger.changing() as kept:
        kept[:] = entries


def command(*words: object) -> list[str]:
    return [sys.executable, str(SCRIPT), *map(str, words)]


def call(*words: object, code: int = 0, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(*words), capture_output=True, text=True, timeout=120, input=stdin or "")
    assert done.returncode == code, done.stderr
    if code == 2:
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("error: ")
    return done


# Submitting


def test_a_good_file_is_sent_and_written_down(client, file):
    assert client.send(file) == "Successfully submitted to ML2023Spring-HW8"
    assert client.got() == [[COMPETITION, "first.csv", file.read_text(), "first"]]
    [kept] = client.ledger.entries()
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert kept == entry(date="2023-05-01T12:00:00.000000+00:00", sha256=digest)
    assert client.ledger.path.read_text().splitlines()[0] == ",".join(COLUMNS)


def test_the_run_is_found_by_the_name_of_the_file_or_given(client, file):
    for name, auc in {"first": 0.75, "other": 0.5}.items():
        run = Path("runs") / name
        run.mkdir(parents=True)
        (run / "summary.json").write_text(json.dumps({"preset": "boss", "held_out": {"macro_auc": auc}}))
    found = draft(file, "m", ROWS)
    assert (found.run, found.preset, found.held_out_auc) == ("runs/first", "boss", "0.75000")
    found = draft(file, "m", ROWS, Path("runs/other"))
    assert (found.run, found.held_out_auc) == ("runs/other", "0.50000")
    with pytest.raises(InputError, match="--run runs/none: no finished run here"):
        draft(file, "m", ROWS, Path("runs/none"))
    (Path("runs/first/summary.json")).write_text('{"preset": "boss", "failed": "the loss is not finite"}')
    assert draft(file, "m", ROWS).run == ""


def test_a_detector_of_a_comparison_is_a_run_too(client):
    scores = Path("runs/board/pca-0/scores.csv")
    write_submission(scores, np.array([1.0, 2.0, 3.0]))
    (scores.parent / "result.json").write_text(json.dumps({"preset": "pca", "held_out_auc": 0.61}))
    found = draft(scores, "m", ROWS)
    assert (found.run, found.preset, found.held_out_auc) == ("runs/board/pca-0", "pca", "0.61000")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ID,score\n0,1\n1,2\n", "has 2 rows, but the test set has 3 images"),
        ("id,score\n0,1\n1,2\n2,3\n", "its header is"),
        ("ID,score\n0,1\n1,nan\n2,3\n", "is not a finite number"),
        ("ID,score\n0,4\n1,4\n2,4\n", "every score is 4"),
    ],
)
def test_a_broken_file_is_not_sent(client, file, text, words):
    file.write_text(text)
    with pytest.raises(InputError, match=words):
        client.send(file)
    assert client.got() == []
    assert not client.ledger.path.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"message": " \n "}, "--message: must be 1 to 500"),
        ({"message": "x" * 501}, "--message: must be 1 to 500"),
        ({"message": " -- "}, "and not just --"),
        ({"message": "red \x1b[31m"}, "no control characters"),
        ({"message": "zero \0"}, "no control characters"),
        ({"competition": "--help"}, "--competition '--help': must be"),
        ({"competition": "https://kaggle.com/c/x"}, "must be as in the address"),
    ],
)
def test_bad_words_are_refused(client, file, changes, words):
    with pytest.raises(InputError, match=words):
        draft(**({"file": file, "message": "m", "rows": ROWS} | changes))


HOSTILE = [
    "--help", "-h", "-m", "-x --file=/etc/passwd", "ends in -h", "say \"it's\"; rm -rf ~ $(id) `id` | cat",
    "=HYPERLINK(\"http://evil\")", "+1", "-1", "@SUM(A1)", "'quoted'", "''twice", "a;=1+1", "a,-2", "a,'b;''c",
    "100% é 你 🙂", "\uff1d1+1", "--competition=other", "@file.txt",
]  # fmt: skip


@pytest.mark.parametrize("message", HOSTILE)
def test_any_message_arrives_as_it_is_and_runs_nowhere(client, file, message):
    client.send(file, message)
    assert client.got()[0][3] == message
    assert client.got()[0][:2] == [COMPETITION, "first.csv"]
    assert client.ledger.entries()[0].message == message
    cell = pd.read_csv(client.ledger.path, dtype=str)["message"][0]
    assert cell[0] not in "=+-@\uff1d"
    assert not any(sign + start in cell for sign in ";," for start in "=+-@")


def test_a_message_of_several_lines_is_sent_as_one(client, file):
    client.send(file, " first\r\n\tline,\n second ")
    assert client.got()[0][3] == "first line, second"


@given(st.lists(st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1), min_size=1, max_size=5))
def test_the_ledger_gives_back_what_it_got(tmp_path_factory, texts):
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "ledger.csv")
    kept = [entry(message=text, file=text, run=text) for text in texts]
    keep(ledger, *kept)
    assert ledger.entries() == kept
    keep(ledger, *ledger.entries())
    assert ledger.entries() == kept


def test_a_file_that_begins_with_a_dash(client, file):
    odd = Path("-c other.csv")
    odd.write_bytes(file.read_bytes())
    client.send(odd)
    assert client.got()[0][:2] == [COMPETITION, "-c other.csv"]


# Five a day


def test_the_sixth_of_a_day_is_refused_until_midnight_in_utc(client, file):
    for number in range(5):
        client.send(file, f"number {number}", NOON + timedelta(minutes=number))
    evening = NOON.replace(hour=20, minute=30)
    with pytest.raises(
        InputError, match=r"5 of 5 .* \(2023-05-01 UTC\).*wait 3 h 30 min for 00:00 UTC, or add --force"
    ):
        client.send(file, now=evening)
    # 23:30 in Taipei is 15:30 in UTC: still the same day; and 00:30 UTC of the next is another.
    taipei = datetime.fromisoformat("2023-05-01T23:30:00+08:00")
    with pytest.raises(InputError, match="wait 8 h 30 min"):
        client.send(file, now=taipei)
    assert len(client.got()) == 5
    assert client.statuses() == ["sent"] * 5
    client.send(file, now=NOON + timedelta(hours=12))
    assert len(client.got()) == 6


def test_force_and_another_competition_have_their_way(client, file):
    keep(client.ledger, *(entry(date=(NOON + timedelta(seconds=n)).isoformat()) for n in range(5)))
    assert submit(draft(file, "m", ROWS), client.ledger, 30, force=True, now=NOON)
    assert client.send(file, competition="another-one")
    assert len(client.got()) == 2


def test_what_failed_does_not_count_and_what_may_have_arrived_does(client, file):
    times = [(NOON + timedelta(seconds=n)).isoformat() for n in range(8)]
    states = ["failed", "failed", "sending", "sent", "complete", "error", "failed", "sent"]
    keep(client.ledger, *(entry(date=date, status=status) for date, status in zip(times, states, strict=True)))
    with pytest.raises(InputError, match=r"5 of 5 .*\(1 of them unfinished: --refresh may free them\)"):
        client.send(file)


def test_two_entries_of_one_moment_stay_apart(client, file):
    client.send(file)
    client.send(file)
    assert len({item.date for item in client.ledger.entries()}) == 2


def test_the_same_file_and_unfinished_ones_are_told(client, file):
    client.send(file)
    again = Path("submissions/copy.csv")
    again.write_bytes(file.read_bytes())
    keep(client.ledger, *client.ledger.entries(), entry(date="2023-04-01T10:00:00+00:00", status="sending"))
    lines = kaggle.warnings(client.ledger.entries(), draft(again, "again", ROWS))
    assert lines[0] == "submissions/copy.csv: the same file was submitted on 2023-05-01 12:00 as submissions/first.csv"
    assert "2023-04-01 10:00: is still being sent, or never finished; counted until --refresh" in lines[1]
    assert kaggle.warnings([], draft(again, "again", ROWS)) == []


# What can go wrong


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("401", r"not signed in; run `kaggle auth login`, or save a token .*access_token"),
        ("403", r"accept the rules on https://www.kaggle.com/competitions/ml2023spring-hw8/rules"),
        ("rules", r"accept the rules on https://www.kaggle.com/competitions/ml2023spring-hw8/rules"),
        ("404", "knows no competition ml2023spring-hw8; check --competition"),
        ("gone", "knows no competition ml2023spring-hw8; check --competition"),
        (
            "allowance",
            r"counts today's submissions as used; try again after 00:00 UTC \(kaggle: Submission not allowed",
        ),
        ("offline", "cannot be reached; check the connection"),
        ("not-uploaded", "the upload did not get through; try again"),
        ("incomplete", r"lacks a module .*pip install it \(kaggle: ModuleNotFoundError: No module named 'six'\)"),
        ("noisy 401", "not signed in"),
    ],
)
def test_a_refusal_is_one_line_and_does_not_count(client, file, mode, words):
    client.behave(*mode.split())
    with pytest.raises(InputError, match=rf"first.csv: not submitted: .*{words}") as caught:
        client.send(file)
    assert "\n" not in str(caught.value)
    assert "0123456789abcdef" not in str(caught.value)
    assert client.statuses() == ["failed"]
    with pytest.raises(InputError, match="no list of submissions: |printed no list"):
        refresh(client.ledger, COMPETITION, 30)


def test_a_broken_connection_counts_and_no_token_is_shown(client, file):
    client.behave("reset")
    with pytest.raises(
        InputError, match="ended with code 1 .*Connection reset.*may have arrived and is counted"
    ) as caught:
        client.send(file)
    assert not any(secret in str(caught.value) for secret in ("KGAT_", "0123456789", "topsecret"))
    assert client.statuses() == ["sending"]


def test_no_answer_in_time_stops_the_client_with_its_children_and_counts(client, file):
    client.behave("hang")
    started = time.monotonic()
    with pytest.raises(InputError, match=r"no answer in 1 seconds \(--timeout\); it may have arrived and is counted"):
        client.send(file, seconds=1)
    assert time.monotonic() - started < 15
    assert client.statuses() == ["sending"]
    with pytest.raises(InputError, match="no list in 0.5 seconds"):
        refresh(client.ledger, COMPETITION, 0.5)


def test_stopped_by_the_user_while_sending_counts(client, file):
    client.behave("interrupt")
    with pytest.raises(Interrupted, match="stopped while it was sent; it may have arrived"):
        client.send(file)
    assert client.statuses() == ["sending"]


def test_no_client_is_said_before_anything_is_written(client, file, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(InputError, match="not installed; pip install kaggle six, then: .*kaggle auth login"):
        client.send(file)
    assert not client.ledger.path.exists()


def test_a_client_that_cannot_be_started_does_not_count(client, file):
    (client.folder / "kaggle").write_text("#!/nowhere/python\n")
    with pytest.raises(InputError, match="cannot be started .*pip install --force-reinstall kaggle"):
        client.send(file)
    assert client.statuses() == ["failed"]


def test_a_file_that_changes_while_it_is_sent_is_told(client, file, caplog, monkeypatch):
    ask = kaggle.ask

    def changing(*words):
        file.write_text("ID,score\n0,3\n1,2\n2,1\n")
        return ask(*words)

    monkeypatch.setattr(kaggle, "ask", changing)
    client.send(file)
    assert "was changed while it was sent" in caplog.text


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("sent", "lost", "line 2: status 'lost' is none of sending, sent, complete, error, failed"),
        ("2023-05-01T", "01/05/2023 ", "line 2: date '01/05/2023 12:00:00.000000.00:00' is no time"),
        ("+00:00", "", "line 2: date '2023-05-01T12:00:00.000000' is no time with its zone"),
        ("sent,,", 'sent,"0,8",', "line 2: score '0,8' is not a finite number"),
        ("date,", "Date,", "its header is"),
    ],
)
def test_a_damaged_ledger_is_refused_and_left_alone(client, file, old, new, words):
    client.send(file)
    path = client.ledger.path
    path.write_text(path.read_text().replace(old, new))
    text = path.read_text()
    with pytest.raises(InputError, match=words):
        client.send(file)
    assert path.read_text() == text
    assert len(client.got()) == 1


def test_a_ledger_that_cannot_be_written_stops_before_the_upload(client, file, tmp_path):
    (tmp_path / "flat").write_text("")
    with pytest.raises(InputError, match="cannot write here .*choose another --ledger"):
        submit(draft(file, "m", ROWS), Ledger(tmp_path / "flat" / "ledger.csv"), 30)
    assert client.got() == []


def test_a_locked_ledger_is_waited_for(client, monkeypatch):
    monkeypatch.setattr(kaggle, "LOCK_SECONDS", 0.2)
    with client.ledger.changing(), pytest.raises(InputError, match="another process keeps the ledger to itself"):
        client.ledger.changing().__enter__()


def test_a_disk_without_locks_is_told_and_used(client, file, monkeypatch, caplog):
    def unlockable(*words):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(kaggle.fcntl, "flock", unlockable)
    client.send(file)
    assert client.statuses() == ["sent"]
    assert "carries no locks; submit from one process at a time" in caplog.text


def test_a_full_disk_after_the_upload_says_that_it_was_sent(client, file, monkeypatch):
    ask = kaggle.ask

    def filling(*words):
        answer = ask(*words)
        monkeypatch.setattr(Path, "replace", full)
        return answer

    def full(*words):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(kaggle, "ask", filling)
    with pytest.raises(
        InputError, match="was submitted, but not marked so: .*ledger.csv: could not be written .*--ledger"
    ):
        client.send(file)
    monkeypatch.undo()
    assert client.statuses() == ["sending"]


# Scores


def test_scores_come_into_the_ledger_when_they_are_there(client, file):
    client.send(file)
    client.send(file, "second, \"quoted\"; with 'commas'", NOON + timedelta(minutes=1))
    client.behave("noisy")
    rows = [
        '43,first.csv,2023-05-01 12:01:04.123000,"second, ""quoted""; with \'commas\'",SubmissionStatus.PENDING,,',
        "42,first.csv,2023-05-01 12:00:03.500000,first,SubmissionStatus.PENDING,,",
    ]
    client.lists("\r\n".join([HEAD, *rows]) + "\r\n")
    lines = refresh(client.ledger, COMPETITION, 30, NOON)
    assert [item.ref for item in client.ledger.entries()] == ["42", "43"]
    assert client.statuses() == ["sent", "sent"]
    assert lines[0] == "submissions/first.csv of 2023-05-01 12:00: sent, public -, private -"
    rows = [rows[0].replace("PENDING,,", "ERROR,,"), rows[1].replace("PENDING,,", "COMPLETE,0.84012,0.83990")]
    client.lists("\r\n".join([HEAD, *rows]) + "\r\n")
    lines = refresh(client.ledger, COMPETITION, 30, NOON)
    assert lines[0] == "submissions/first.csv of 2023-05-01 12:00: complete, public 0.84012, private 0.83990"
    assert client.statuses() == ["complete", "error"]
    assert refresh(client.ledger, COMPETITION, 30, NOON) == ["nothing new"]
    assert "0.84012" in listing(client.ledger.entries())


def test_a_client_before_2_0_lists_as_well(client, file):
    client.send(file)
    client.behave("old")
    client.lists(
        "Warning: Looks like you're using an outdated API Version, please consider updating (server 1.5.16 / client "
        "1.5.12)\nfileName,date,description,status,publicScore,privateScore\n"
        "first.csv,2023-05-01 12:00:09,first,complete,0.84,None\n"
    )
    refresh(client.ledger, COMPETITION, 30, NOON)
    [kept] = client.ledger.entries()
    assert (kept.status, kept.public, kept.private, kept.ref) == ("complete", "0.84", "", "")


def test_a_list_without_a_list_leaves_the_ledger_alone(client, file):
    client.send(file)
    text = client.ledger.path.read_text()
    for answer in ("", "403\n", "fileName\nfirst.csv\n", "{}\n", "a" * 200_000 + ",b\n"):
        client.lists(answer)
        with pytest.raises(InputError, match=r"printed no list of submissions .*pip install --upgrade kaggle"):
            refresh(client.ledger, COMPETITION, 30, NOON)
    assert client.ledger.path.read_text() == text


def test_what_was_being_sent_is_settled_by_the_list(client):
    late, early = NOON - timedelta(minutes=30), NOON - timedelta(hours=3)
    arrived = entry(date=(NOON - timedelta(hours=4)).isoformat(), message="arrived", status="sending")
    lost = entry(date=early.isoformat(), message="lost", status="sending")
    young = entry(date=late.isoformat(), message="young", status="sending")
    other = entry(date=early.isoformat(), competition="another", message="lost", status="sending")
    keep(client.ledger, arrived, lost, young, other)
    client.lists(f"{HEAD}\n7,first.csv,2023-05-01 08:02:00,arrived,SubmissionStatus.PENDING,,\n")
    refresh(client.ledger, COMPETITION, 30, NOON)
    assert client.statuses() == ["sent", "failed", "sending", "sending"]


@pytest.mark.parametrize("text", ["No submissions found\n", f"{HEAD}\n"])
def test_an_empty_list_settles_too(client, text):
    keep(client.ledger, entry(status="sending"), entry(date=NOON.isoformat() + "", status="complete", public="0.5"))
    client.lists(text)
    refresh(client.ledger, COMPETITION, 30, NOON + timedelta(hours=2))
    assert client.statuses() == ["failed", "complete"]


def test_a_list_that_does_not_reach_back_settles_nothing(client):
    keep(client.ledger, entry(status="sending"))
    rows = [f"{n},b.csv,2023-05-03 12:00:{n:02d},b,SubmissionStatus.COMPLETE,0.5,0.5" for n in range(20)]
    client.lists("\n".join([HEAD, *rows]) + "\n")
    lines = refresh(client.ledger, COMPETITION, 30, NOON + timedelta(days=2))
    assert client.statuses() == ["sending"]
    assert lines == ["20 of today's submissions were made elsewhere: Kaggle counts them, the ledger does not"]


def listed(*rows: str, head: str = HEAD) -> list[kaggle.Listed]:
    return read_list("\n".join([head, *rows]) + "\n")


def test_the_same_file_and_message_twice_is_told_apart_by_time():
    entries = [entry(), entry(date=(NOON + timedelta(minutes=5)).isoformat())]
    found = listed(
        "9,first.csv,2023-05-01T12:05:02Z,first,complete,0.2,", "8,first.csv,2023-05-01T12:00:30Z,first,complete,0.1,"
    )
    assert match(entries, found, COMPETITION) == {0: 1, 1: 0}
    # Only the second arrived: the first stays unmatched.
    assert match(entries, found[:1], COMPETITION) == {1: 0}
    # One that failed takes no other's place, whichever is nearer.
    entries = [entry(status="failed"), entry(date=(NOON + timedelta(minutes=40)).isoformat())]
    found = listed("9,first.csv,2023-05-01 12:10:00,first,complete,0.2,")
    assert match(entries, found, COMPETITION) == {1: 0}
    assert match(entries[:1], found, COMPETITION) == {0: 0}


def test_another_name_message_time_number_or_competition_is_no_match():
    good = "9,first.csv,2023-05-01 12:00:02,first,complete,0.2,"
    assert match([entry()], listed(good), COMPETITION) == {0: 0}
    assert match([entry()], listed(good.replace("12:00", "14:00")), COMPETITION) == {}
    assert match([entry()], listed(good.replace("first,", "second,")), COMPETITION) == {}
    assert match([entry()], listed(good.replace("first.csv", "other.csv")), COMPETITION) == {}
    assert match([entry(ref="8")], listed(good), COMPETITION) == {}
    assert match([entry()], listed(good), "another") == {}
    # By Kaggle's number whatever else has changed.
    assert match([entry(ref="9")], listed("9,x,2024-01-01 00:00:00,edited,complete,0.2,"), COMPETITION) == {0: 0}


def test_columns_in_another_order_and_missing_ones():
    found = listed("0.3,complete,first,first.csv", head="publicScore,status,description,fileName")
    assert match([entry()], found, COMPETITION) == {0: 0}
    assert match([entry(), entry()], found, COMPETITION) == {}, "without a date only what can be nothing else"
    assert match([entry()], found * 2, COMPETITION) == {}
    found = listed("first.csv,2023-05-01 12:00:01,0.3", head="fileName,date,publicScore")
    assert match([entry()], found, COMPETITION) == {0: 0}
    assert kaggle._updated(entry(), found[0]).status == "complete"
    found = listed("2023-05-01 12:00:01,first", head="Date,Description")
    assert match([entry()], found, COMPETITION) == {0: 0}
    assert kaggle._updated(entry(public="0.5", status="complete"), found[0]) == entry(public="0.5", status="complete")


@given(st.text(max_size=300))
def test_whatever_is_printed_is_a_list_or_one_line(text):
    for head in ("", HEAD + "\n"):
        try:
            found = read_list(head + text)
        except InputError as error:
            found, line = [], str(error)
            assert len(line.splitlines()) == 1
        assert match([entry()], found, COMPETITION) in ({}, {0: 0})


def test_the_table_cannot_steer_a_terminal():
    text = listing([entry(message="\x1b[2Jboo\u202e"), entry(message="x" * 60)])
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "x" * 37 + "..." in text
    assert len(text.splitlines()) == 3
    assert listing([]) == "No submissions yet"


# The real client, where it is installed

REAL = """
import json, socket, sys
def refused(*words, **options): raise OSError("no network")
socket.socket.connect = refused
import kaggle, kaggle.cli
def told(**arguments): print("GOT " + json.dumps(arguments))
kaggle.api._authenticated = True
kaggle.api.authenticate = lambda: None
kaggle.api.competition_submit_cli = kaggle.api.competition_submissions_cli = told
sys.argv = ["kaggle", *json.loads(sys.argv[1])]
kaggle.cli.main()
"""


@pytest.mark.skipif(importlib.util.find_spec("kaggle") is None, reason="the official client is not installed")
@pytest.mark.parametrize("message", HOSTILE)
def test_the_real_clients_parser_takes_our_words(tmp_path, message):
    def parsed(words: list[str]) -> dict[str, object]:
        environment = {
            "HOME": str(tmp_path),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        }
        done = subprocess.run(
            [sys.executable, "-c", REAL, json.dumps(words)],
            capture_output=True,
            text=True,
            timeout=120,
            env=environment,
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith("GOT ")]
        assert len(lines) == 1, done.stdout + done.stderr
        return json.loads(lines[0][4:])

    found = parsed(kaggle.submit_words(entry(message=message, file="/data/-c x.csv")))
    assert found["message"] == message
    assert found["file_name"] == "/data/-c x.csv"
    assert found["competition_opt"] == COMPETITION
    assert found["competition"] is None
    assert found["quiet"] is True
    if message == HOSTILE[0]:
        found = parsed(kaggle.refresh_words(COMPETITION, paged=False))
        assert found["csv_display"] is True
        assert found["competition_opt"] == COMPETITION


# The script


def test_the_script_submits_refreshes_and_lists(client, file):
    words = ("submissions/first.csv", "-m", "first", "--rows", ROWS)
    assert "there is nobody to ask whether to send it; add --yes" in call(*words, code=2).stderr
    done = call(*words, "--yes")
    assert "0 of 5 submissions used today" in done.stdout
    assert "Kaggle:   Successfully submitted to ML2023Spring-HW8" in done.stdout
    done = call(*words[:1], "--message=-h", *words[3:], "--yes")
    assert "Warning:  submissions/first.csv: the same file was submitted on 20" in done.stdout
    assert client.got()[1][3] == "-h"
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    client.lists(f"{HEAD}\n5,first.csv,{date},first,SubmissionStatus.COMPLETE,0.84012,\n")
    done = call("--refresh")
    assert "complete, public 0.84012, private -" in done.stdout
    assert call("--list").stdout.count("submissions/first.csv") == 2


def test_the_script_asks_first(client, file, monkeypatch):
    def answered(text: str) -> int:
        parent, child = os.openpty()
        process = subprocess.Popen(command(file, "-m", "x", "--rows", ROWS), stdin=child, stdout=-3, stderr=-3)
        os.write(parent, text.encode())
        code = process.wait(timeout=60)
        os.close(parent)
        os.close(child)
        return code

    assert answered("n\n") == 130
    assert client.got() == []
    assert answered("y\n") == 0
    assert len(client.got()) == 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "give either a file to submit, or --refresh or --list"),
        (("a.csv", "--list"), "give either a file to submit, or --refresh or --list"),
        (("a.csv",), "--message is missing"),
        (("a.csv", "-m", "x"), "a.csv: cannot be read"),
        (("--refresh", "--timeout", "nan"), "--timeout nan: must be more than 0"),
        (("--refresh", "--timeout", "inf"), "--timeout inf: must be more than 0"),
        (("--refresh", "--competition", "a b"), "--competition 'a b': must be"),
    ],
)
def test_bad_usage_is_one_line(client, words, line):
    assert line in call(*words, code=2).stderr


def test_help_is_quick():
    times = []
    for _ in range(3):
        started = time.perf_counter()
        call("--help")
        times.append(time.perf_counter() - started)
    assert min(times) < 1.5


def test_killed_in_between_the_upload_counts(client, file):
    client.behave("kill")
    words = (file, "-m", "x", "--rows", ROWS, "--yes")
    process = subprocess.run(command(*words), capture_output=True, timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert len(client.got()) == 1
    assert client.statuses() == ["sending"]
    client.behave("good")
    done = call(*words)
    assert "is still being sent, or never finished; counted until --refresh" in done.stdout
    assert "1 of 5 submissions used today" in done.stdout
    assert client.statuses() == ["sending", "sent"]


def test_several_at_once_lose_no_line_and_stay_within_five(client, file):
    keep(client.ledger, *(entry(date=datetime.now(UTC).isoformat(), message=str(number)) for number in range(3)))
    client.behave("slow")
    words = (file, "-m", "x", "--rows", ROWS, "--yes")
    running = [subprocess.Popen(command(*words), stdout=-3, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    errors = [process.communicate(timeout=120)[1] for process in running]
    assert sorted(process.returncode for process in running) == [0, 0, 2, 2]
    assert sum("5 of 5 submissions used today" in text for text in errors) == 2
    assert client.statuses() == ["sent"] * 5
    assert len(client.got()) == 2


# Beside our own figures


@pytest.fixture
def board(tmp_path, monkeypatch) -> tuple[Path, pd.DataFrame]:
    """A comparison's folder of runs and its rows: two seeds of one preset, one of another."""
    monkeypatch.chdir(tmp_path)
    rows = pd.DataFrame(
        {
            "preset": ["fcn_crop", "fcn_crop", "pca"],
            "seed": [0, 1, 0],
            "held_out_auc": [0.6, 0.7, 0.5],
            "unseen_auc": [0.6, 0.7, 0.5],
            "minutes": 1.0,
            "same": ["a", "a", "b"],
        }
    )
    for number, (name, seed) in enumerate(zip(rows["preset"], rows["seed"], strict=True)):
        write_submission(tmp_path / "runs" / "board" / f"{name}-{seed}" / "scores.csv", np.arange(3.0) + number)
    return Path("runs/board"), rows


def test_a_comparison_shows_the_scores_of_what_was_submitted(board, tmp_path):
    folder, rows = board
    ledger = Ledger()
    digest = hashlib.sha256((folder / "fcn_crop-0" / "scores.csv").read_bytes()).hexdigest()
    keep(
        ledger,
        entry(sha256=digest, public="0.1", status="complete"),
        entry(sha256=digest, public="0.84", private="0.83", status="complete"),
        entry(run="runs/board/fcn_crop-1", public="0.86", status="complete"),
        entry(run="runs/board/fcn_crop-0", public="0.2", status="complete"),
        entry(run="runs/board/pca-0", status="sent"),
    )
    scored = with_kaggle_scores(rows, folder)
    assert scored["public"].tolist()[:2] == [0.84, 0.86]
    assert scored["private"][0] == 0.83
    assert scored["public"].isna().tolist() == [False, False, True]
    shown = readable(summarise(scored)).set_index("preset")
    assert shown["public"].to_dict() == {"fcn_crop": "0.85000", "pca": ""}
    assert shown["private"].to_dict() == {"fcn_crop": "0.83000", "pca": ""}
    text = write_leaderboard(scored, tmp_path / "board", "compare.py")
    assert "public" in text
    assert ".85000" in text
    assert "public, private: Kaggle's ROC-AUC" in (tmp_path / "board.md").read_text()
    assert pd.read_csv(tmp_path / "board.csv")["public"].tolist()[:2] == [0.84, 0.86]


def test_without_scores_a_comparison_is_what_it_was(board, caplog):
    folder, rows = board
    assert with_kaggle_scores(rows, folder) is rows, "without a ledger"
    keep(Ledger(), entry(), entry(public="0.8", status="complete", run="runs/elsewhere/fcn_crop-0"))
    assert with_kaggle_scores(rows, folder) is rows, "with none of its runs in it"
    assert not any("Kaggle" in line for line in notes(rows, summarise(rows)))
    Ledger().path.write_text("broken\n")
    assert with_kaggle_scores(rows, folder) is rows
    assert "its header is" in caplog.text or "holds no rows" in caplog.text
    assert with_kaggle_scores(pd.DataFrame(), folder).empty


def test_a_public_score_alone_makes_one_column(board):
    folder, rows = board
    keep(Ledger(), entry(run="runs/board/pca-0", public="0.7", status="complete"))
    assert [name for name in with_kaggle_scores(rows, folder) if name not in rows] == ["public"]
