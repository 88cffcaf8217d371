"""Kaggle's scores beside our own figures."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from stand_in import entry, keep

from hw8.commands.compare import with_kaggle_scores
from hw8.compare.standings import summarise
from hw8.compare.tables import meanings, readable, write_leaderboard
from hw8.kaggle.ledger import Ledger
from hw8.runs.submission import write_submission


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
    assert "public: Kaggle's ROC-AUC" in (tmp_path / "board.md").read_text()
    assert pd.read_csv(tmp_path / "board.csv")["public"].tolist()[:2] == [0.84, 0.86]


def test_without_scores_a_comparison_is_what_it_was(board, caplog):
    folder, rows = board
    assert with_kaggle_scores(rows, folder) is rows, "without a ledger"
    keep(Ledger(), entry(), entry(public="0.8", status="complete", run="runs/elsewhere/fcn_crop-0"))
    assert with_kaggle_scores(rows, folder) is rows, "with none of its runs in it"
    assert "Kaggle's ROC-AUC" not in meanings(summarise(rows))
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
