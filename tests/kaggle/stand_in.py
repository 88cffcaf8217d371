"""A stand-in for the official client, and ledgers to try it with."""

import dataclasses
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from hw8.kaggle import COMPETITION, Entry, Ledger, draft, submit
from hw8.runs.submission import write_submission

SCRIPT = Path(__file__).parents[2] / "scripts" / "submit.py"
NOON = datetime(2023, 5, 1, 12, tzinfo=UTC)
ROWS = 3
HEAD = "ref,fileName,date,description,status,publicScore,privateScore"
# Messages that a shell, the client's parser or a CSV file may take for something else.
ODD_MESSAGES = [
    "--help", "-h", "-x --file=/etc/passwd", "ends in -h", "say \"it's\"; rm -rf ~ $(id) `id` | cat", "=1+1",
    "a,'b;''c", "100% é 你 🙂", "--competition=other", "@file.txt",
]  # fmt: skip

# The parser is that of kaggle 2.2.4 (kaggle/cli.py) for these two commands.
STAND_IN = """#!PYTHON
import argparse, json, os, pathlib, signal, sys, time

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
submit.add_argument("--sandbox", dest="sandbox", action="store_true")
form.add_argument("--format", dest="output_format")
submissions.add_argument("--page-size", dest="page_size", required=False, type=int)
submissions.add_argument("--page-token", dest="page_token", required=False)
arguments = parser.parse_args()
competition = arguments.competition or arguments.competition_opt

if "outdated" in mode:
    print("Warning: Looks like you're using an outdated `kaggle` version (installed: 2.2.4), please consider upgrading")
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
if "not-uploaded" in mode:
    print("Could not submit to competition", end="")
    sys.exit(0)
if "hang" in mode:
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
    stand_in = Client(tmp_path)
    monkeypatch.setenv("PATH", f"{stand_in.folder}{os.pathsep}{os.environ['PATH']}")
    return stand_in


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "submissions" / "first.csv"
    write_submission(path, np.array([0.5, 1.5, 0.25]))
    return Path("submissions/first.csv")


def entry(**changes: str) -> Entry:
    plain = Entry(NOON.isoformat(), COMPETITION, "submissions/first.csv", "a" * 64, "first", status="sent")
    return dataclasses.replace(plain, **changes)


def keep(ledger: Ledger, *entries: Entry) -> None:
    with ledger.changing() as lines:
        lines[:] = entries


def command(*words: object) -> list[str]:
    return [sys.executable, str(SCRIPT), *map(str, words)]


def called(*words: object, code: int = 0, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    process = subprocess.run(command(*words), capture_output=True, text=True, timeout=120, input=stdin or "")
    assert process.returncode == code, process.stderr
    if code == 2:
        assert len(process.stderr.splitlines()) == 1
        assert process.stderr.startswith("error: ")
    return process
