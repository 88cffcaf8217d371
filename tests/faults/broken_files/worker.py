"""A process that reads broken files one after the other, and says of each, on a line of JSON, what came of it."""

import contextlib
import dataclasses
import gc
import json
import logging
import os
import resource
import shutil
import sys
import tempfile
from pathlib import Path

from .cases import Case, Reader
from .oracle import Watch, judge, limit_address_space
from .readers import cases

MOST_FILES = 256
MEMORY = Path("/dev/shm")
ROOM = 1 << 29


def main(base: Path, names: list[str]) -> None:
    """Read the named cases, in this order. The name is said before each, so that a lost process is no riddle."""
    # What libraries print themselves goes elsewhere; lines of JSON have the real standard output.
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    logging.disable(logging.CRITICAL)
    readers = {name.partition(":")[0] for name in names}
    found = cases(readers.__contains__)
    with tempfile.TemporaryDirectory(dir=_in_memory()) as scratch:
        place = Path(scratch).resolve()
        os.chdir(place)
        watch = Watch()
        for reader in readers:
            _warm_up(*next(item for item in found.values() if item[0].name == reader), base, place)
        _limit()
        for name in names:
            print(json.dumps({"begun": name}), file=lines)
            print(json.dumps(dataclasses.asdict(judge(*found[name], base, place, watch))), file=lines)


def _in_memory() -> Path | None:
    """A folder whose files are in memory, if there is room in it: thousands are made and removed."""
    with contextlib.suppress(OSError):
        if shutil.disk_usage(MEMORY).free > ROOM and os.access(MEMORY, os.W_OK):
            return MEMORY
    return None


def _warm_up(reader: Reader, good: Case, base: Path, place: Path) -> None:
    """Read a good file, so that what is imported late counts for no case."""
    folder = place / "good"
    folder.mkdir()
    good.make(folder, base)
    reader.read(base, folder / reader.file)
    shutil.rmtree(folder)


def _limit() -> None:
    """Little to take, and little to look through before every case: what is imported by now stays."""
    limit_address_space()
    resource.setrlimit(resource.RLIMIT_NOFILE, (MOST_FILES, MOST_FILES))
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.load(sys.stdin))
