"""A folder of pictures as the array files that hw8 trains on: walked, split, decoded and written."""

import contextlib
import dataclasses
import os
import shutil
import sys
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hw8.base.errors import InputError, printable
from hw8.base.interrupts import stopping_as_interrupted
from hw8.base.lock import locked
from hw8.data.labels import NORMAL
from hw8.data.layout import NAMES_SHOWN, Plan, Walk, check_parts, escaped, grouped, planned, refusal, walk
from hw8.data.shards import shard_paths
from hw8.prepare.prepared import (
    FILES,
    LABELS,
    SKIPPED,
    TESTING,
    TESTING_FILES,
    TRAINING,
    TRAINING_FILES,
    Preparation,
    write_files,
    write_images,
    write_tables,
)

if TYPE_CHECKING:
    from tqdm import tqdm

ASIDE = ".hw8-prepare-"


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What was written, and what was not: images in each part, in the test part by kind, and equal images."""

    out: Path
    shape: str
    layout: str
    training: int
    testing: int
    kinds: dict[str, int]
    found: Walk
    repeated: int
    shared: int

    def text(self) -> str:
        """The report; its last line is the next command."""
        skipped, others = self.found.skipped, self.found.others
        lines = [f"Layout:   {self.layout}"]
        if others:
            lines.append(f"Ignored:  {others:,} files and folders that are hidden or no pictures by their names")
        if skipped:
            lines += [f"Skipped:  {len(skipped):,}, listed in {self.out / SKIPPED}", *_skipped_table(skipped)]
        if self.repeated:
            lines.append(f"Repeated: {self.repeated:,} training images equal another one, pixel by pixel")
        if self.shared:
            lines.append(f"Shared:   {self.shared:,} test images equal a training image, pixel by pixel")
        if self.training:
            lines.append(f"Wrote:    {self.out / TRAINING} ({self.training:,} normal images of {self.shape})")
        if self.testing:
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.kinds.items()) or "no labels"
            labels = f" and {LABELS}" if self.kinds else ""
            lines.append(f"Wrote:    {self.out / TESTING}{labels} ({self.testing:,} images: {kinds})")
            lines.append(f"IDs:      {self.out / TESTING_FILES} says which picture each ID is")
        else:
            lines.append(
                "Test set: none, as no anomalies are labelled; `test_share` holds pictures back, without labels"
            )
        return "\n".join(map(printable, lines))


def prepare(images: Path, out: Path, settings: Preparation) -> Prepared:
    """Write the pictures under `images` as array files in `out`, all of them or none.

    Memory grows with the names of the pictures only. Raises InputError if there is nothing to read, too little to
    train or test on, a wrong labels.csv, no room, or another process at work in `out`; and Interrupted after Ctrl-C,
    with nothing written.
    """
    _check_unused(out)
    found = walk(images)
    if settings.unlabelled:
        plan = Plan("pictures to score, without labels", [], found.names, None)
    else:
        plan = planned(images, grouped(images, found), found, settings.test_share, settings.seed)
    with stopping_as_interrupted(f"interrupted: nothing was written to {out}"), _aside(out) as aside:
        with _bar(len(plan.training) + len(plan.testing)) as bar:
            none = np.empty(0, np.uint64)
            training, testing, rows = none, none, array("q")
            if plan.training:
                training, rows = write_images(aside / TRAINING, images, plan.training, settings, found, bar)
                write_files(aside / TRAINING_FILES, plan.training, rows)
            if plan.testing:
                testing, rows = write_images(aside / TESTING, images, plan.testing, settings, found, bar)
                write_files(aside / TESTING_FILES, plan.testing, rows)
        kinds = plan.kinds and [plan.kinds[row] for row in rows]
        found.skipped.sort()
        _check_written(images, plan, training, testing, kinds, found)
        write_tables(aside, kinds, found)
        _publish(aside, out)
    return Prepared(
        out=out,
        shape=f"{settings.side} x {settings.side} x {settings.channels}",
        layout=plan.layout,
        training=len(training),
        testing=len(testing),
        kinds=dict(sorted(Counter(kinds or []).items(), key=lambda pair: (pair[0] != NORMAL, pair[0]))),
        found=found,
        repeated=len(training) - len(np.unique(training)),
        shared=int(np.isin(testing, training).sum()),
    )


def _check_written(
    images: Path, plan: Plan, training: np.ndarray, testing: np.ndarray, kinds: list[str] | None, found: Walk
) -> None:
    """Refuse parts that are too small, now that it is known which pictures can be read. Raises InputError."""
    if plan.training:
        check_parts(images, len(training), len(testing) if plan.testing else None, kinds, found)
    elif not len(testing):
        raise refusal(images, "no picture can be read", found)


def _skipped_table(skipped: list[tuple[str, str]]) -> list[str]:
    """How many were skipped for each reason, with the first few names."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in skipped:
        by_reason.setdefault(reason, []).append(name)
    width = max(map(len, by_reason))
    lines = []
    for reason, names in sorted(by_reason.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        shown = ", ".join(escaped(name) for name in names[:NAMES_SHOWN])
        lines.append(f"{reason.ljust(width)}  {len(names):>9,}  {shown}{', ...' if len(names) > NAMES_SHOWN else ''}")
    rule = "-" * max(map(len, lines))
    return [rule, f"{'reason'.ljust(width)}  {'pictures':>9}  for instance", rule, *lines, rule]


def _bar(total: int) -> "tqdm[Any]":
    """Progress in pictures, with their rate and the time left, on standard error."""
    from tqdm import tqdm

    quiet = 0.1 if sys.stderr.isatty() else 15.0
    return tqdm(total=total, desc="pictures", unit="img", mininterval=quiet, file=sys.stderr)


def _check_unused(out: Path) -> None:
    """Refuse a folder that holds a file we would write, or numbered files that stand for one."""
    numbered = [path.name for name in (TRAINING, TESTING) for path in shard_paths(out / name)]
    used = [name for name in FILES if os.path.lexists(out / name)] + numbered
    if used:
        raise InputError(f"{out}: already holds {used[-1]}; choose another folder, or remove it first")


@contextlib.contextmanager
def _aside(out: Path) -> Iterator[Path]:
    """A hidden folder in `out`, which is ours alone meanwhile, to write in; what a killed run left in its place goes.

    It is gone afterwards, as is `out` if it is new and empty.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: cannot write here (it is a file); choose another folder")
    with locked(out):
        for left in out.glob(f"{ASIDE}*"):
            shutil.rmtree(left, ignore_errors=True)
        try:
            with tempfile.TemporaryDirectory(prefix=ASIDE, dir=out, ignore_cleanup_errors=True) as aside:
                yield Path(aside)
        except OSError as error:
            reason = error.strerror
            raise InputError(f"{out}: could not be written ({reason}); free some space or choose another") from None


def _publish(aside: Path, out: Path) -> None:
    """Put the files in their place; after an error or Ctrl-C none of them is there."""
    _check_unused(out)  # another process may have been quicker
    names = [name for name in FILES if (aside / name).exists()]
    try:
        for name in names:
            (aside / name).replace(out / name)
    except BaseException:
        for name in names:
            if not (aside / name).exists():
                (out / name).unlink(missing_ok=True)
        raise
