"""Train and score several presets with several seeds, and put them in one table.

Resumes where it stopped: finished runs are kept in runs/NAME, NAME being the last part of --out. The tables (.csv
and .md) hold what is finished so far; the page (.html) is written at the end.
"""

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from hw8.base.errors import InputError
from hw8.base.files import check_replaceable
from hw8.commands.parsing import Omittable, command_line, parse
from hw8.commands.spelling import for_shell, in_browser
from hw8.config import RUNS, SUBMISSIONS

if TYPE_CHECKING:
    import pandas as pd

# The first lines of the files that a comparison writes, as regular expressions: no others are replaced.
FIRST_LINES = {".csv": "preset,seed,.*", ".md": "# Comparison", ".html": "<!doctype html>"}

log = logging.getLogger(__name__)


@dataclasses.dataclass
class Arguments:
    """The command line of scripts/compare.py."""

    presets: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")]
    """Presets, and classical baselines: mean_image, pca, pca_crop, isolation_forest, one_class_svm,
    nearest_neighbours."""
    data: Annotated[Omittable[str], tyro.conf.arg(metavar="WHERE")] = None
    """Folder or named source. Default: as for training."""
    seeds: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N ...")] = (0,)
    """Seeds of each preset, for instance: 0 1 2."""
    epochs: Omittable[int] = None
    """Epochs of every run. Default: each preset's own."""
    out: Path = SUBMISSIONS / "leaderboard"
    """Files to write, without their endings: .csv, .md and .html. They hold what earlier calls finished, too."""


def with_kaggle_scores(rows: "pd.DataFrame", folder: Path) -> "pd.DataFrame":
    """The runs with Kaggle's `public` and `private` score of those that were submitted; as they are if none was.

    A damaged ledger is reported and otherwise ignored: it is no reason to lose a comparison.
    """
    import pandas as pd

    from hw8.compare.leaderboard import run_path
    from hw8.kaggle import Ledger, scores_of_run

    try:
        entries = Ledger().entries()
    except InputError as error:
        log.warning("%s", error)
        return rows
    if not entries or rows.empty:
        return rows
    runs = zip(rows["preset"], rows["seed"], strict=True)
    scores = [scores_of_run(entries, run_path(folder, (name, int(seed)))) for name, seed in runs]
    columns = pd.DataFrame(scores, columns=["public", "private"], index=rows.index, dtype=float)
    columns = columns.dropna(axis="columns", how="all")
    return rows if columns.empty else rows.join(columns)


def _checked_out(out: Path) -> Path:
    """The files' name without an ending. Raises InputError for one that is no comparison's, or a run's."""
    name = out.with_suffix("") if out.suffix in FIRST_LINES else out
    if name.name in ("", ".."):
        raise InputError(f"`out` {out}: is a folder; give the files a name")
    if (RUNS / name.name / "config.yaml").exists():
        raise InputError(f"`out` {out}: a run has this name; choose another one")
    for suffix, first_line in FIRST_LINES.items():
        check_replaceable(name.with_name(name.name + suffix), "out", first_line)
    return name


def main() -> None:
    """Parse, compare, write and print."""
    arguments = parse(Arguments, __doc__ or "")
    from hw8.base.progress import progress_bar
    from hw8.compare.leaderboard import ComparisonPlan, compare
    from hw8.compare.standings import failures, summarise
    from hw8.compare.tables import write_leaderboard
    from hw8.data.sources import open_source
    from hw8.report.comparison import Compared, write_comparison

    out = _checked_out(arguments.out)
    folder = RUNS / out.name
    plan = ComparisonPlan(arguments.presets, arguments.seeds, arguments.data, arguments.epochs, folder)
    source = open_source(arguments.data)
    plan = dataclasses.replace(plan, data=source.name)
    labels, count = source.labels(), len(plan.entries())
    with progress_bar(count, "compare", "run") as bar:

        def advance(rows: "pd.DataFrame") -> None:
            # Without differences, for which the scores of all runs would be read again after each.
            write_leaderboard(rows, summarise(rows), out, command_line())
            bar.update()

        rows = compare(plan, advance)
        bar.update(count - bar.n)
    rows = with_kaggle_scores(rows, folder)
    compared = Compared(rows, folder, source, labels)
    table = compared.table()
    text = write_leaderboard(rows, table, out, command_line())
    write_comparison(compared, table, out, command_line())
    print(text)
    for line in failures(rows):
        print(f"Failed:   {for_shell(line)}")
    if "failure" in rows and rows["failure"].notna().all():
        raise InputError("no run came to a result")
    page = out.with_name(out.name + ".html")
    print(f"Wrote:    {out}.csv, .md, .html\nRuns:     {folder}\nNext:     {in_browser(page)}")
