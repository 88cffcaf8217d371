"""scripts/submit.py as it is called: by `call` in this process, by `called` in one of its own."""

import os
import signal
import subprocess
import time
from datetime import UTC, datetime

import pytest
from stand_in import HEAD, ROWS, called, command, entry, keep


def test_the_script_submits_refreshes_and_lists(client, file, call):
    words = ("submissions/first.csv", "-m", "first", "--rows", ROWS)
    assert "there is no terminal to confirm the submission on; add --yes" in call("submit", *words, code=2).stderr
    dry = call("submit", *words, "--dry-run").stdout
    assert "0 of 5 submissions used today" in dry
    assert dry.endswith("Nothing was sent; it would go to ml2023spring-hw8 as: first\n")
    assert client.got() == []
    process = call("submit", *words, "--yes")
    assert "0 of 5 submissions used today" in process.stdout
    assert "Kaggle:   Successfully submitted to ML2023Spring-HW8" in process.stdout
    process = call("submit", *words[:1], "--message=-h", *words[3:], "--yes")
    assert "Warning:  submissions/first.csv: the same file was submitted on 20" in process.stdout
    assert client.got()[1][3] == "-h"
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    client.lists(f"{HEAD}\n5,first.csv,{date},first,SubmissionStatus.COMPLETE,0.84012,\n")
    process = call("submit", "--refresh")
    assert "complete, public 0.84012, private -" in process.stdout
    assert call("submit", "--list").stdout.count("submissions/first.csv") == 2


def test_a_refresh_before_the_first_submission_does_no_harm(client, file, call):
    client.lists("No submissions found\n")
    assert call("submit", "--refresh").stdout == "No submissions yet\nRefresh:  nothing new\n"
    assert call("submit", "--list").stdout == "No submissions yet\n"
    call("submit", file, "-m", "first", "--rows", ROWS, "--yes")


@pytest.mark.slow
def test_the_script_asks_first(client, file, monkeypatch):
    def answered(text: str) -> int:
        parent, child = os.openpty()
        process = subprocess.Popen(command(file, "-m", "x", "--rows", ROWS), stdin=child, stdout=-3, stderr=-3)
        os.write(parent, text.encode())
        code = process.wait(timeout=60)
        os.close(parent)
        os.close(child)
        return code

    assert answered("n\n") == 0
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
    ],
)
def test_bad_usage_is_one_line(client, words, line, call):
    assert line in call("submit", *words, code=2).stderr


@pytest.mark.slow
def test_help_is_quick():
    times = []
    for _ in range(3):
        started = time.perf_counter()
        called("--help")
        times.append(time.perf_counter() - started)
    assert min(times) < 1.5


@pytest.mark.slow
def test_killed_in_between_the_upload_counts(client, file):
    client.behave("kill")
    words = (file, "-m", "x", "--rows", ROWS, "--yes")
    process = subprocess.run(command(*words), capture_output=True, timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert len(client.got()) == 1
    assert client.statuses() == ["sending"]
    client.behave("good")
    process = called(*words)
    assert "is still being sent, or never finished; counted until --refresh" in process.stdout
    assert "1 of 5 submissions used today" in process.stdout
    assert client.statuses() == ["sending", "sent"]


@pytest.mark.slow
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
