"""Kaggle's list of submissions, put into the ledger; its scores beside our own figures."""

import hashlib
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from stand_in import HEAD, NOON, entry, keep

from hw8.base.errors import InputError
from hw8.commands.compare import with_kaggle_scores
from hw8.compare.columns import shown_columns
from hw8.compare.standings import summarise
from hw8.compare.tables import meanings, readable, write_leaderboard
from hw8.kaggle import COMPETITION, Ledger, listing, refresh
from hw8.kaggle.scores import find_entry, read_list
from hw8.runs.submission import write_submission


def test_the_table_cannot_steer_a_terminal():
    text = listing([entry(message="\x1b[2Jboo\u202e"), entry(message="x" * 60)])
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "x" * 37 + "..." in text
    assert len(text.splitlines()) == 3
    assert listing([]) == "No submissions yet"


def test_scores_come_into_the_ledger_when_they_are_there(client, file):
    client.send(file)
    client.send(file, "second, \"quoted\"; with 'commas'", NOON + timedelta(minutes=1))
    client.behave("outdated")
    rows = [
        '43,first.csv,2023-05-01 12:01:04.123000,"second, ""quoted"";\n with \'commas\'",SubmissionStatus.PENDING,,',
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


@pytest.mark.parametrize(
    "answer", ["", "403\n", "fileName\nfirst.csv\n", f"{HEAD}\n42,first.csv,soon,first,SubmissionStatus.PENDING,,\n"]
)
def test_an_answer_without_a_list_leaves_the_ledger_alone(client, file, answer):
    client.send(file)
    text = client.ledger.path.read_text()
    client.lists(answer)
    with pytest.raises(InputError, match=r"printed no list of submissions; pip install --upgrade kaggle"):
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
    lines = refresh(client.ledger, COMPETITION, 30, NOON)
    assert sorted(item.message + " " + item.status for item in client.ledger.entries()) == [
        "arrived sent", "lost failed", "lost sending", "young sending",
    ]  # fmt: skip
    assert lines[1] == "submissions/first.csv of 2023-05-01 09:00: failed, public -, private -"


@pytest.mark.parametrize("text", ["No submissions found\n", f"{HEAD}\n"])
def test_an_empty_list_settles_too(client, text):
    keep(client.ledger, entry(status="sending"), entry(date=NOON.isoformat(), status="complete", public="0.5"))
    client.lists(text)
    refresh(client.ledger, COMPETITION, 30, NOON + timedelta(hours=2))
    assert client.statuses() == ["failed", "complete"]


def test_a_list_that_does_not_reach_back_settles_nothing(client):
    keep(client.ledger, entry(status="sending"))
    row = "{n},b.csv,2023-05-03 12:00:00,b,SubmissionStatus.COMPLETE,0.5,0.5"
    client.lists("\n".join([HEAD, *(row.format(n=number) for number in range(200))]) + "\n")
    lines = refresh(client.ledger, COMPETITION, 30, NOON + timedelta(days=2))
    assert client.statuses() == ["sending"]
    assert lines == ["200 of today's submissions were made elsewhere: Kaggle counts them, the ledger does not"]


def test_the_same_file_and_message_twice_is_told_apart_by_time():
    entries = [entry(), entry(date=(NOON + timedelta(minutes=5)).isoformat())]
    rows = [
        "9,first.csv,2023-05-01 12:05:02,first,SubmissionStatus.COMPLETE,0.2,",
        "8,first.csv,2023-05-01 12:00:30,first,SubmissionStatus.COMPLETE,0.1,",
    ]
    assert [find_entry(entries, item) for item in read_list("\n".join([HEAD, *rows]), COMPETITION)] == [1, 0]


@pytest.mark.parametrize(
    ("changes", "index"),
    [
        ({}, 0),
        ({"date": (NOON - timedelta(hours=8)).isoformat()}, 0),  # a clock that is set to another zone
        ({"date": (NOON - timedelta(days=2)).isoformat()}, None),
        ({"message": "second"}, None),
        ({"file": "submissions/other.csv"}, None),
        ({"competition": "another"}, None),
        ({"status": "failed"}, None),
        ({"ref": "8"}, None),
        ({"ref": "9", "file": "x", "message": "edited", "date": "2022-01-01T00:00:00+00:00"}, 0),
    ],
)
def test_a_submission_is_known_by_its_number_or_by_name_message_and_time(changes, index):
    row = "9,first.csv,2023-05-01 12:00:02,first,SubmissionStatus.COMPLETE,0.2,"
    [item] = read_list(f"Warning: outdated\n{HEAD}\n{row}\n", COMPETITION)
    assert find_entry([entry(**changes)], item) == index


def test_a_row_without_a_number_is_not_every_submission_without_one():
    [item] = read_list(f"{HEAD}\n,other.csv,2023-05-01 12:00:02,first,SubmissionStatus.COMPLETE,0.2,\n", COMPETITION)
    assert find_entry([entry()], item) is None


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
    text = write_leaderboard(scored, summarise(scored), tmp_path / "board", "compare.py")
    assert "public" in text
    assert ".85000" in text
    assert "public: Kaggle's ROC-AUC" in (tmp_path / "board.md").read_text()
    assert pd.read_csv(tmp_path / "board.csv")["public"].tolist()[:2] == [0.84, 0.86]


def test_without_scores_a_comparison_is_what_it_was(board, caplog):
    folder, rows = board
    assert with_kaggle_scores(rows, folder) is rows, "without a ledger"
    keep(Ledger(), entry(), entry(public="0.8", status="complete", run="runs/elsewhere/fcn_crop-0"))
    assert with_kaggle_scores(rows, folder) is rows, "with none of its runs in it"
    assert "Kaggle's ROC-AUC" not in meanings(shown_columns(summarise(rows)))
    Ledger().path.write_text("broken\n")
    assert with_kaggle_scores(rows, folder) is rows
    assert "its header is" in caplog.text or "holds no rows" in caplog.text
    assert with_kaggle_scores(pd.DataFrame(), folder).empty


def test_a_public_score_alone_makes_one_column(board):
    folder, rows = board
    keep(Ledger(), entry(run="runs/board/pca-0", public="0.7", status="complete"))
    assert [name for name in with_kaggle_scores(rows, folder) if name not in rows] == ["public"]


def test_a_run_that_cannot_be_found_any_more_has_no_score(board):
    folder, rows = board
    Path("loop").symlink_to("loop")
    keep(Ledger(), entry(run="loop", public="0.7"), entry(date="2023-05-02T00:00:00Z", run="x" * 5000, public="0.7"))
    assert with_kaggle_scores(rows, folder) is rows
