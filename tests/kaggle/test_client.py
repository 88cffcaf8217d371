"""The client's answers; and the real client, where it is installed, with nothing but the network replaced."""

import importlib.util
import json
import re
import sys

import pytest
from stand_in import NOON, ODD_MESSAGES, Client

from hw8.base.errors import InputError
from hw8.kaggle import COMPETITION, refresh
from hw8.kaggle.client import Answer, ask, download_words, refresh_words, submit_words

INSTALLED = importlib.util.find_spec("kaggle") is not None
TRACEBACK = """Traceback (most recent call last):
  File "/home/me/kaggle/cli.py", line 404, in main
    out = args.func(**command_args)  # 401
KeyError: 'message'
"""


@pytest.mark.parametrize(
    "errors",
    [TRACEBACK, "('Connection aborted.', ConnectionResetError(104, 'reset'))", "Read timed out. 403 bytes came", ""],
)
def test_what_may_have_arrived_is_no_refusal(errors):
    assert Answer(1, "", errors).refusal(COMPETITION) is None


@pytest.mark.parametrize(
    ("errors", "advice"),
    [
        ("401 Client Error: Unauthorized for url: https://api.kaggle.com/x", "not signed in"),
        ("Permission 'competitions.participate' was denied", "accept the rules on https://www.kaggle.com/.*hw8/rules"),
        ("429 Client Error: Too Many Requests for url: https://api.kaggle.com/x", "too many requests"),
        ("Submission not allowed:  The deadline has passed.", "takes no submission .*The deadline has passed"),
        ("kaggle: error: unrecognized arguments: --page-size=200", "pip install --upgrade kaggle"),
    ],
)
def test_a_refusal_says_what_to_do(errors, advice):
    assert re.search(advice, Answer(1, "", errors).refusal(COMPETITION))


def test_only_success_is_success():
    assert Answer(0, "Successfully submitted to X").success() == "Successfully submitted to X"
    assert Answer(1, "Successfully submitted to X").success() is None
    assert Answer(0, "The upload was unsuccessful").success() is None
    assert Answer(0, "", "Successfully submitted to X").success() is None


# The real client

REAL = """#!PYTHON
import json, os, pathlib, socket, sys, types
def refused(*words, **options): raise OSError("no network")
socket.socket.connect = refused
import kaggle, kaggle.cli
BEHAVIOUR
kaggle.cli.main()
"""
SIGNED_IN = "kaggle.api._authenticated = True\nkaggle.api.authenticate = lambda: None\n"
PARSED = """
def show(**arguments): print("GOT " + json.dumps(arguments))
kaggle.api.competition_submit_cli = kaggle.api.competition_submissions_cli = show
kaggle.api.competition_download_cli = show
for words in json.loads(sys.argv[1]):
    sys.argv[1:] = words
    kaggle.cli.main()
sys.exit()
"""
TAKEN = """
kaggle.api.competition_submit = lambda file, message, competition, quiet, sandbox: types.SimpleNamespace(
    message=f"Successfully submitted to {competition} {os.path.basename(file)} {message}")
"""
LISTED = """
import datetime
from kagglesdk.competitions.types.competition_api_service import ApiSubmission
from kagglesdk.competitions.types.submission_status import SubmissionStatus
one = ApiSubmission()
one.ref, one.file_name, one.description = 42, "first.csv", 'a "quoted",\\nlong; message'
one.date = datetime.datetime(2023, 5, 1, 12, 0, 4, 123000)
one.status, one.public_score, one.private_score = SubmissionStatus.COMPLETE, "0.84012", ""
kaggle.api.competition_submissions = lambda *words, **options: [one]
"""


@pytest.fixture
def real(client, monkeypatch, tmp_path):
    """Put the real client in the place of the stand-in, with some of its methods replaced."""
    if not INSTALLED:
        pytest.skip("the official client is not installed")

    def install(behaviour: str) -> Client:
        text = REAL.replace("PYTHON", sys.executable, 1).replace("BEHAVIOUR", behaviour)
        (client.folder / "kaggle").write_text(text)
        return client

    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN", "KAGGLE_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    return install


def test_the_real_clients_parser_takes_our_arguments(real, tmp_path):
    client = str(real(SIGNED_IN + PARSED).folder / "kaggle")
    file = tmp_path / "-c x.csv"
    lines = [submit_words(COMPETITION, file, message) for message in ODD_MESSAGES]
    lines += [refresh_words(COMPETITION), download_words(COMPETITION, tmp_path / "ends in -h")]
    answer = ask(client, [json.dumps(lines)], 120)
    parsed = [json.loads(line[4:]) for line in answer.output.splitlines() if line.startswith("GOT ")]
    assert len(parsed) == len(lines), answer
    *submitted, listed, downloaded = parsed
    assert [arguments["message"] for arguments in submitted] == ODD_MESSAGES
    assert {arguments["file_name"] for arguments in submitted} == {str(file)}
    assert all(arguments["quiet"] is True for arguments in (*submitted, listed))
    assert {(arguments["competition"], arguments["competition_opt"]) for arguments in parsed} == {(None, COMPETITION)}
    assert (listed["csv_display"], listed["page_size"]) == (True, 200)
    assert (downloaded["path"], downloaded["file_name"]) == (str(tmp_path / "ends in -h"), None)


def test_the_real_client_submits_and_lists(real, file):
    client = real(SIGNED_IN + TAKEN)
    message = 'a "quoted", long; message'
    assert client.send(file, message) == f"Successfully submitted to {COMPETITION} first.csv {message}"
    real(SIGNED_IN + LISTED)
    refresh(client.ledger, COMPETITION, 60, NOON)
    [entry] = client.ledger.entries()
    assert (entry.ref, entry.status, entry.public, entry.private) == ("42", "complete", "0.84012", "")
    real(SIGNED_IN + "kaggle.api.competition_submissions = lambda *words, **options: []\n")
    assert refresh(client.ledger, COMPETITION, 60, NOON) == ["nothing new"]


def test_the_real_client_without_an_account(real, file):
    client = real("")
    with pytest.raises(InputError, match="not submitted: kaggle is not signed in; run `kaggle auth login`"):
        client.send(file)
    with pytest.raises(InputError, match="no list of submissions: kaggle is not signed in"):
        refresh(client.ledger, COMPETITION, 60)


def test_the_real_client_without_a_network(real, file, monkeypatch):
    client = real("")
    monkeypatch.setenv("KAGGLE_USERNAME", "somebody")
    monkeypatch.setenv("KAGGLE_KEY", "0123456789abcdef0123456789abcdef")
    with pytest.raises(InputError, match="not submitted: Kaggle cannot be reached") as caught:
        client.send(file, seconds=100)
    assert "0123456789" not in str(caught.value)
    assert client.statuses() == ["failed"]
