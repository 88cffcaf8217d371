"""Progress on standard error: a bar on a terminal, and in a file a line now and then."""

import sys
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

IN_A_FILE = 15.0  # seconds between two lines: a log of an hour stays readable


class _Lines(tqdm):  # type: ignore[type-arg]
    """A bar that begins a new line where others return to the start of theirs."""

    @staticmethod
    def status_printer(file: Any) -> Callable[[str], None]:
        """What tqdm writes each state with; it ends the last line itself."""
        ends = iter([""])

        def write(text: str) -> None:
            file.write(next(ends, "\n") + text)
            file.flush()

        return write

    def moveto(self, n: int) -> None:
        """Stay where the file is: a bar within another has lines of its own."""


def progress_bar(total: int, label: str | None, unit: str, hidden: bool = False, **options: Any) -> "tqdm[Any]":
    """A bar of `total` units on standard error, with their rate and the time left; `options` are tqdm's own."""
    kind, seconds = (tqdm, 0.1) if sys.stderr.isatty() else (_Lines, IN_A_FILE)
    options |= {"total": total, "desc": label, "unit": unit, "disable": hidden, "mininterval": seconds}
    return kind(file=sys.stderr, **options)
