"""A folder of pictures as the array files that hw8 trains on: found, split, decoded and written."""

import dataclasses
from pathlib import Path

import numpy as np

from hw8.base.errors import printable
from hw8.base.interrupts import stopping_as_interrupted
from hw8.base.progress import progress_bar
from hw8.base.text import aligned
from hw8.data.arrays import DARK
from hw8.data.labels import NORMAL
from hw8.data.picture_folder import find_pictures
from hw8.data.sources import LABELS, TESTING, TESTING_FILES, TRAINING
from hw8.prepare.files import SKIPPED, all_or_none, write_images, write_tables
from hw8.prepare.layout import Parts, recognise, split
from hw8.prepare.settings import Preparation

EXAMPLES = 3  # names shown for each reason, so that a line fits on a terminal; all are in the table of skipped pictures


def prepare(images: Path, out: Path, settings: Preparation) -> Parts:
    """Write the pictures in `images` as array files in `out`, all of them or none; return what was written.

    Memory grows with the number of pictures, not with their sizes. Raises InputError if there is nothing to read, too
    little to train or test on, nothing but equal pictures to train on, a wrong labels.csv, no space on the disk, or
    another process at work in `out`; and Interrupted after Ctrl-C, with nothing written.
    """

    folder = find_pictures(images)
    if settings.unlabelled:
        testing = [(name, "") for name in folder.names]
        planned = Parts(folder, "pictures to score, without labels", [], testing)
    else:
        planned = split(recognise(folder), settings.test_share, settings.seed)
    test_names = [name for name, _ in planned.testing]
    total = len(planned.training) + len(test_names)
    interruptible = stopping_as_interrupted(f"interrupted: nothing was written to {out}")
    with interruptible, all_or_none(out) as temporary:
        with progress_bar(total, "pictures", "img") as bar:
            train = write_images(temporary / TRAINING, planned.training, folder, settings, bar)
            test = write_images(temporary / TESTING, test_names, folder, settings, bar)
        testing = [planned.testing[row] for row in test.rows]
        parts = dataclasses.replace(
            planned,
            training=[planned.training[row] for row in train.rows],
            testing=testing,
            held_back=sum(kind == NORMAL for _, kind in testing) if planned.held_back else 0,  # of those that were read
            repeated=len(train.hash_N) - len(np.unique(train.hash_N)),
            shared=int(np.isin(test.hash_N, train.hash_N).sum()),
            brightest=max(train.brightest, test.brightest),
        )
        if not settings.unlabelled:
            parts.check()
        if parts.training and parts.repeated == len(parts.training) - 1:
            all_of = f"all {len(parts.training)} images to train on"
            raise folder.refusal(f"{all_of} are the same, so that nothing can be learned; give others")
        if not test.rows and (test_names or settings.unlabelled):
            raise folder.refusal("no picture to test on can be read")
        write_tables(temporary, parts, settings)
    return parts


def report(parts: Parts, out: Path, settings: Preparation) -> str:
    """What `prepare` wrote and what it skipped, as lines of text."""
    folder, kinds = parts.folder, parts.kinds
    lines = [f"Layout:   {parts.layout}", *(f"Warning:  {warning}" for warning in parts.warnings)]
    if folder.others:
        lines.append(f"Ignored:  {folder.others:,} (hidden, or no picture by its name)")
    if folder.skipped:
        lines += [f"Skipped:  {len(folder.skipped):,}, listed in {out / SKIPPED}", *_skipped_table(folder.skipped)]
    if parts.repeated:
        lines.append(
            f"Repeated: {parts.repeated:,} training images equal another one, pixel by pixel, which makes held-out "
            "figures and p-values too good; remove the copies"
        )
    if parts.shared:
        lines.append(
            f"Shared:   {parts.shared:,} test images equal a training image, pixel by pixel, which makes figures too "
            "good; remove the copies"
        )
    if parts.brightest < DARK:
        lines.append(
            f"Dark:     no pixel is above level {parts.brightest} of 255; if the pictures have 10 or 12 bits in files "
            "of 16, scale them to the full range first"
        )
    if parts.held_back and not parts.test_only:
        lines.append(f"Held out: {parts.held_back:,} normal pictures for the test set, which had none of its own")
    if parts.training:
        shape = " x ".join(map(str, settings.shape))
        lines.append(f"Wrote:    {out / TRAINING} ({len(parts.training):,} normal images of {shape})")
    if parts.testing:
        counts = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items()) or "no labels"
        labels = f" and {LABELS}" if kinds else ""
        lines.append(f"Wrote:    {out / TESTING}{labels} ({len(parts.testing):,} images: {counts})")
        lines.append(f"IDs:      {out / TESTING_FILES} says which picture each ID is")
    else:
        lines.append("Test set: none, as no anomalies are labelled; `test_share` holds pictures back, without labels")
    return "\n".join(map(printable, lines))


def _skipped_table(skipped: dict[str, str]) -> list[str]:
    """How much was skipped for each reason, the most frequent first, with some of their names."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in sorted(skipped.items()):
        by_reason.setdefault(reason, []).append(name)
    groups = sorted(by_reason.items(), key=lambda group: (-len(group[1]), group[0]))
    cells = [["reason", "number"], *([reason, f"{len(names):,}"] for reason, names in groups)]
    examples = [", ".join(names[:EXAMPLES]) + ", ..." * (len(names) > EXAMPLES) for _, names in groups]
    header, *lines = [f"{line}  {text}" for line, text in zip(aligned(cells), ["for instance", *examples], strict=True)]
    rule = "-" * max(map(len, lines))
    return [rule, header, rule, *lines, rule]
