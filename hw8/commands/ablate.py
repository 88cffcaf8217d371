"""Measure what each piece of a run's evidence is worth: alone, left out of the joint score, added to it.

Nothing is trained; the calibration is fitted anew for every row. Labels, where there are any, are only reported.
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from hw8.commands.parsing import Omittable, parse


@dataclasses.dataclass
class Arguments:
    """The command line of scripts/ablate.py."""

    folder: Annotated[Omittable[Path], tyro.conf.arg(name="run")] = None
    """Folder of a finished run. Default: the run finished last."""
    data: Annotated[Omittable[str], tyro.conf.arg(metavar="WHERE")] = None
    """Folder or named source whose test set is reported on. Default: the data of the run."""
    out: Omittable[Path] = None
    """CSV file to write besides."""


def main() -> None:
    """Parse, measure, and print the table."""
    arguments = parse(Arguments, __doc__ or "")
    from hw8.base.files import check_replaceable, write_text
    from hw8.compare.ablation import ablate
    from hw8.training.run_folder import newest_run

    if arguments.out:
        check_replaceable(arguments.out, "out", "score,.*")
    table = ablate(arguments.folder or newest_run(), arguments.data)
    print(table.to_string(float_format="{:.3f}".format))
    print("ROC-AUC; held_out and unseen: macro, without labels, against two sets of synthetic anomalies")
    if arguments.out:
        write_text(arguments.out, table.to_csv(index_label="score"))
        print(f"Wrote:    {arguments.out}")
