"""Write a page about a run: curves, calibration, and a gallery of what it finds and misses, to be opened offline."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from hw8.base.errors import InputError
from hw8.commands.parsing import Omittable, command_line, parse
from hw8.commands.spelling import in_browser, spelled
from hw8.config import SUBMISSIONS


@dataclasses.dataclass
class Arguments:
    """The command line of scripts/report.py."""

    folder: Annotated[tyro.conf.Positional[Omittable[Path]], tyro.conf.arg(metavar="RUN")] = None
    """Folder of a finished run. Default: the run finished last."""
    run: Omittable[Path] = None
    """The same as RUN."""
    data: Annotated[Omittable[str], tyro.conf.arg(metavar="WHERE")] = None
    """Folder or named source of the test images. Default: the data of the run."""
    out: Omittable[Path] = None
    """Page to write. Default: submissions/RUN.html."""


def main() -> None:
    """Parse, write the page, and print where it is."""
    arguments = parse(Arguments, __doc__ or "")
    from hw8.report.run_report import write_run_report
    from hw8.training.run_folder import newest_run

    if arguments.folder and arguments.run:
        raise InputError(f"--run {arguments.run}: the run {arguments.folder} is given already; give one")
    folder = arguments.folder or arguments.run or newest_run()
    out = arguments.out or SUBMISSIONS / f"{folder.resolve().name}.html"
    if out.suffix != ".html":
        raise InputError(f"--out {out}: must end in .html")
    where = () if arguments.data is None else ("--data", arguments.data)
    explain = spelled("explain", "--run", folder, *where, "--id")
    write_run_report(folder, arguments.data, out, command_line(), explain)
    print(f"Wrote:    {out} ({out.stat().st_size / 1e6:.1f} MB, opens offline)")
    print(f"Look at:  {in_browser(out)}")
    print(f"Next:     {spelled('explore', '--run', folder, *where)}")
