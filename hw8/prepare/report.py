"""What `prepare` wrote and what it skipped, as text."""

from pathlib import Path

from hw8.base.errors import printable
from hw8.base.text import aligned
from hw8.prepare.files import LABELS, SKIPPED, TESTING, TESTING_FILES, TRAINING
from hw8.prepare.layout import Parts
from hw8.prepare.settings import Preparation

EXAMPLES = 3  # names shown for each reason, so that a line fits on a terminal; all are in the table of skipped pictures


def report(parts: Parts, out: Path, settings: Preparation) -> str:
    """The lines that the command prints."""
    folder, kinds = parts.folder, parts.kinds
    lines = [f"Layout:   {parts.layout}"]
    if folder.others:
        lines.append(f"Ignored:  {folder.others:,} files and folders that are hidden or no pictures by their names")
    if folder.skipped:
        lines += [f"Skipped:  {len(folder.skipped):,}, listed in {out / SKIPPED}", *_skipped_table(folder.skipped)]
    if parts.repeated:
        lines.append(f"Repeated: {parts.repeated:,} training images equal another one, pixel by pixel")
    if parts.shared:
        lines.append(f"Shared:   {parts.shared:,} test images equal a training image, pixel by pixel")
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
    """How many pictures were skipped for each reason, the most frequent first, with some of their names."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in sorted(skipped.items()):
        by_reason.setdefault(reason, []).append(name)
    groups = sorted(by_reason.items(), key=lambda group: (-len(group[1]), group[0]))
    cells = [["reason", "pictures"], *([reason, f"{len(names):,}"] for reason, names in groups)]
    examples = [", ".join(names[:EXAMPLES]) + ", ..." * (len(names) > EXAMPLES) for _, names in groups]
    header, *lines = [f"{line}  {text}" for line, text in zip(aligned(cells), ["for instance", *examples], strict=True)]
    rule = "-" * max(map(len, lines))
    return [rule, header, rule, *lines, rule]
