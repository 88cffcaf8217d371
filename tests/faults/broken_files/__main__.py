"""Try every case and print a table, or try those whose names begin as the words on the command line do."""

import sys
import tempfile
from pathlib import Path

from .good import make_good_files
from .oracle import Outcome
from .readers import READERS, cases
from .running import outcomes

COLUMNS = ("reader", "cases", "loaded", "refused", "failed", "slowest s", "most MB")


def main(words: list[str]) -> int:
    """Run, print, and return 1 if a case failed."""
    names = [name for name in cases() if not words or any(name.startswith(word) for word in words)]
    with tempfile.TemporaryDirectory() as folder:
        found = outcomes(make_good_files(Path(folder).resolve()), names)
    for outcome in found:
        if words or outcome.problems:
            print(described(outcome))
    if not words:
        print(table(found))
    return int(any(outcome.problems for outcome in found))


def described(outcome: Outcome) -> str:
    """One case on a line or more."""
    lines = [f"{outcome.name}: {outcome.outcome}, {outcome.seconds:.2f} s, {outcome.megabytes:.0f} MB"]
    if outcome.message:
        lines.append(f"    {outcome.message!r}")
    return "\n".join([*lines, *(f"  - {problem}" for problem in outcome.problems)])


def table(found: list[Outcome]) -> str:
    """Cases and outcomes by reader, as Markdown."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    for reader in (*READERS, ""):
        some = [outcome for outcome in found if outcome.name.startswith(reader)]
        loaded, refused = (sum(outcome.outcome == kind for outcome in some) for kind in ("loaded", "refused"))
        failed = sum(bool(outcome.problems) for outcome in some)
        slowest = max((outcome.seconds for outcome in some), default=0.0)
        most = max((outcome.megabytes for outcome in some), default=0.0)
        counts = (f"{count:,}" for count in (len(some), loaded, refused, failed))
        lines.append("| " + " | ".join([reader or "all", *counts, f"{slowest:.1f}", f"{most:.0f}"]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
