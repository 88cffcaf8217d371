"""Progress in a file is lines, and on a terminal one line that is written over."""

import io
import sys

from hw8.base.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(file: io.StringIO, monkeypatch, steps: int = 3) -> str:
    monkeypatch.setattr(sys, "stderr", file)
    with progress_bar(steps, "scoring", "img") as bar:
        for _ in range(steps):
            bar.update()
    return file.getvalue()


def test_a_file_gets_lines_without_carriage_returns(monkeypatch):
    text = written(io.StringIO(), monkeypatch)
    assert "\r" not in text
    lines = text.splitlines()
    assert lines[0].startswith("scoring:   0%")
    assert lines[-1].startswith("scoring: 100%")
    assert len(lines) == 2
    assert text.endswith("\n")


def test_a_bar_within_another_has_lines_of_its_own(monkeypatch):
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    with progress_bar(2, "runs", "run") as outer:
        for _ in range(2):
            written(file, monkeypatch)
            outer.update()
    assert "\x1b" not in file.getvalue()
    assert "\r" not in file.getvalue()
    assert len([line for line in file.getvalue().splitlines() if line.startswith("scoring: 100%")]) == 2


def test_a_terminal_gets_one_line(monkeypatch):
    text = written(Terminal(), monkeypatch)
    assert text.count("\r") > 1
    assert "100%" in text
    assert text.count("\n") == 1


def test_a_hidden_bar_writes_nothing(monkeypatch):
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    with progress_bar(3, None, "img", hidden=True) as bar:
        bar.update(3)
    assert file.getvalue() == ""
