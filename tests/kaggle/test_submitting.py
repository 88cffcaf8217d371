"""Submitting, against a stand-in for the official client that takes the same arguments as the real one."""

import dataclasses
import errno
import hashlib
import json
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from stand_in import NOON, ODD_MESSAGES, ROWS, entry, keep

from hw8.base.errors import InputError, Interrupted
from hw8.kaggle import COMPETITION, Ledger, draft, refresh, submit, submitting, warnings
from hw8.kaggle.ledger import COLUMNS
from hw8.runs.submission import write_submission


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
    new = draft(file, "m", ROWS)
    assert (new.run, new.preset, new.held_out_auc) == ("runs/first", "boss", "0.75000")
    new = draft(file, "m", ROWS, Path("runs/other"))
    assert (new.run, new.held_out_auc) == ("runs/other", "0.50000")
    with pytest.raises(InputError, match="`run` runs/none: no finished run here"):
        draft(file, "m", ROWS, Path("runs/none"))
    (Path("runs/first/summary.json")).write_text('{"preset": "boss", "failed": "the loss is not finite"}')
    assert draft(file, "m", ROWS).run == ""


def test_a_detector_of_a_comparison_is_a_run_too(client):
    scores = Path("runs/board/pca-0/scores.csv")
    write_submission(scores, np.array([1.0, 2.0, 3.0]))
    (scores.parent / "result.json").write_text(json.dumps({"preset": "pca", "held_out_auc": 0.61}))
    new = draft(scores, "m", ROWS)
    assert (new.run, new.preset, new.held_out_auc) == ("runs/board/pca-0", "pca", "0.61000")


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
        ({"message": " \n "}, "`message`: must be 1 to 500"),
        ({"message": "x" * 501}, "`message`: must be 1 to 500"),
        ({"message": " -- "}, "and not just --"),
        ({"message": "red \x1b[31m"}, "must be of printable characters"),
    ],
)
def test_bad_words_are_refused(client, file, changes, words):
    with pytest.raises(InputError, match=words):
        draft(**({"file": file, "message": "m", "rows": ROWS} | changes))


@pytest.mark.parametrize("message", ODD_MESSAGES)
def test_any_message_arrives_as_it_is_and_runs_nowhere(client, file, message):
    client.send(file, message)
    assert client.got()[0][3] == message
    assert client.got()[0][:2] == [COMPETITION, "first.csv"]
    assert client.ledger.entries()[0].message == message


def test_a_message_of_several_lines_is_sent_as_one(client, file):
    client.send(file, " first\r\n\tline,\n second ")
    assert client.got()[0][3] == "first line, second"


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
        InputError, match=r"5 of 5 .* \(2023-05-01 UTC\).*wait 3 h 30 min for 00:00 UTC, or add `force`"
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
    with pytest.raises(InputError, match=r"5 of 5 .*\(1 of them unfinished: `refresh` may free them\)"):
        client.send(file)


def test_the_same_file_and_unfinished_ones_are_told(client, file):
    client.send(file)
    again = Path("submissions/copy.csv")
    again.write_bytes(file.read_bytes())
    keep(client.ledger, *client.ledger.entries(), entry(date="2023-04-01T10:00:00+00:00", status="sending"))
    lines = warnings(client.ledger.entries(), draft(again, "again", ROWS))
    assert lines[0] == "submissions/copy.csv: the same file was submitted on 2023-05-01 12:00 as submissions/first.csv"
    assert "2023-04-01 10:00: is still being sent, or never finished; counted until `refresh`" in lines[1]
    assert warnings([], draft(again, "again", ROWS)) == []


# What can go wrong


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("401", r"not signed in; run `kaggle auth login`, or save a token .*access_token"),
        ("403", r"accept the rules on https://www.kaggle.com/competitions/ml2023spring-hw8/rules"),
        ("rules", r"accept the rules on https://www.kaggle.com/competitions/ml2023spring-hw8/rules"),
        ("404", "knows no such competition; `competition` must be as in the address of its page: ml2023spring-hw8"),
        (
            "allowance",
            r"counts today's submissions as used; try again after 00:00 UTC \(kaggle: Submission not allowed",
        ),
        ("offline", "cannot be reached; check the connection"),
        ("not-uploaded", "the upload failed; try again"),
        ("incomplete", r"lacks a module .*pip install it \(kaggle: ModuleNotFoundError: No module named 'six'\)"),
        ("outdated 401", "not signed in"),
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


def test_no_answer_in_time_stops_the_client_and_counts(client, file):
    client.behave("hang")
    started = time.monotonic()
    with pytest.raises(InputError, match=r"no answer in 1 seconds \(`timeout`\); it may have arrived and is counted"):
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
    with pytest.raises(InputError, match="not submitted: pip install --force-reinstall kaggle .*cannot be started"):
        client.send(file)
    assert client.statuses() == ["failed"]


def test_a_ledger_that_cannot_be_written_stops_before_the_upload(client, file, tmp_path):
    (tmp_path / "flat").write_text("")
    with pytest.raises(InputError, match="cannot be locked here .*choose another `ledger`"):
        submit(draft(file, "m", ROWS), Ledger(tmp_path / "flat" / "ledger.csv"), 30)
    assert client.got() == []


def test_a_full_disk_after_the_upload_says_that_it_was_sent(client, file, monkeypatch):
    ask = submitting.ask

    def filling(*words):
        answer = ask(*words)
        monkeypatch.setattr(Path, "replace", full)
        return answer

    def full(*words):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(submitting, "ask", filling)
    with pytest.raises(
        InputError,
        match="was submitted; but the ledger still has it as sending: .*could not be written .*free space",
    ):
        client.send(file)
    monkeypatch.undo()
    assert client.statuses() == ["sending"]


def test_a_refusal_is_told_also_if_it_cannot_be_written_down(client, file, monkeypatch):
    ask = submitting.ask

    def breaking(*words):
        client.ledger.path.write_text("broken\n")
        return ask(*words)

    client.behave("403")
    monkeypatch.setattr(submitting, "ask", breaking)
    with pytest.raises(InputError, match="not submitted: Kaggle does not let .*still has it as sending: .*its header"):
        client.send(file)


def test_a_refresh_while_it_is_sent_is_not_undone(client, file, monkeypatch):
    ask = submitting.ask

    def refreshed(status):
        def asking(*words):
            keep(client.ledger, *(dataclasses.replace(item, status=status) for item in client.ledger.entries()))
            return ask(*words)

        return asking

    monkeypatch.setattr(submitting, "ask", refreshed("complete"))
    client.send(file)
    assert client.statuses() == ["complete"], "the score was there before the client ended"
    keep(client.ledger)
    monkeypatch.setattr(submitting, "ask", refreshed("failed"))
    client.send(file)
    assert client.statuses() == ["sent"], "it was in no list after an hour, but arrived in the end"
