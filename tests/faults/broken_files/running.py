"""Cases read in a process of their own, which may hang or die without harm."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from .oracle import SECONDS, Outcome

PATIENCE = 4 * SECONDS
IMPORTING = 120.0
HERE = Path(__file__).parent
Lines = queue.Queue[str | None]


def outcomes(base: Path, names: list[str]) -> list[Outcome]:
    """What came of these cases, by full name, in this order."""
    found: list[Outcome] = []
    while len(found) < len(names):
        found += _until_lost(base, names[len(found) :])
    return found


def _until_lost(base: Path, names: list[str]) -> list[Outcome]:
    """The outcomes up to the end or, if the process hangs or dies, up to the case that did it."""
    found: list[Outcome] = []
    with _process(base, names) as (process, lines):
        begun = ""
        while len(found) < len(names):
            try:
                line = lines.get(timeout=PATIENCE if begun else IMPORTING)
            except queue.Empty:
                return [*found, Outcome(names[len(found)], "failed", problems=[f"hung for over {PATIENCE:g} s"])]
            if line is None:
                code = process.wait()
                if not begun:
                    raise RuntimeError(f"the process ended with {code} before {names[0]!r}; see {base}/*.log")
                return [*found, Outcome(names[len(found)], "failed", problems=[f"ended the process ({code})"])]
            said: dict[str, Any] = json.loads(line)
            begun = said.get("begun", begun)
            if "begun" not in said:
                found.append(Outcome(**said))
    return found


@contextlib.contextmanager
def _process(base: Path, names: list[str]) -> Iterator[tuple["subprocess.Popen[str]", Lines]]:
    """The process, and a queue of its lines with None at the end."""
    paths = [str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", f"{HERE.name}.worker", str(base)]
    with (base / f"{time.monotonic_ns()}.log").open("w") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | own
        )
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(names))
            process.stdin.close()
            lines: Lines = queue.Queue()
            threading.Thread(target=_listen, args=(process.stdout, lines), daemon=True).start()
            yield process, lines
        finally:
            process.kill()
            process.wait()


def _listen(stream: IO[str], lines: Lines) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)
