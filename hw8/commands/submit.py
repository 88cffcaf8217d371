"""Submit a file to Kaggle through its official client, within five a day, and keep a ledger of scores.

--refresh asks Kaggle for the scores and prints the ledger; --list prints it. The client is installed by
`pip install kaggle six` and signed in by `kaggle auth login`.
"""

import dataclasses
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import tyro

from hw8 import kaggle
from hw8.base.errors import InputError
from hw8.commands.parsing import Omittable, parse
from hw8.commands.spelling import for_shell, spelled

MAX_WAIT = 86_400  # seconds: a day; an upload takes seconds, and infinity is no time limit that subprocess takes


@dataclasses.dataclass
class Arguments:
    """The command line of scripts/submit.py."""

    file: tyro.conf.Positional[Omittable[Path]] = None
    """Submission: ID,score."""
    message: Annotated[Omittable[str], tyro.conf.arg(aliases=["-m"])] = None
    """What Kaggle shows beside the score; sent as one line. One that begins with a dash: --message=-TEXT."""
    competition: str = kaggle.COMPETITION
    """The competition's name in the address of its page."""
    run: Omittable[Path] = None
    """The run that the file comes from. Default: the run of its name, submissions/NAME.csv being runs/NAME's."""
    rows: int = 19_636
    """Images in the test set; the homework's by default."""
    yes: tyro.conf.FlagCreatePairsOff[bool] = False
    """Do not ask before sending."""
    dry_run: tyro.conf.FlagCreatePairsOff[bool] = False
    """Check everything, say what would be sent, and send nothing."""
    force: tyro.conf.FlagCreatePairsOff[bool] = False
    """Send it even if today's five submissions are used."""
    timeout: float = 300.0
    """Seconds to wait for the client."""
    ledger: Path = kaggle.LEDGER
    """The file that keeps all submissions."""
    refresh: tyro.conf.FlagCreatePairsOff[bool] = False
    """Ask Kaggle for the scores of what was submitted."""
    list: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print the ledger."""


def main() -> None:
    """Parse; then submit, refresh or list."""
    arguments = parse(Arguments, __doc__ or "")
    lists = arguments.refresh or arguments.list
    if (arguments.file is None) == (not lists):
        raise InputError("give either a file to submit, or --refresh or --list; see --help")
    if not 0 < arguments.timeout <= MAX_WAIT:
        raise InputError(f"--timeout {arguments.timeout:g}: must be more than 0 and at most {MAX_WAIT:,} seconds")
    if lists:
        _list(arguments)
    else:
        _submit(arguments)


def _list(arguments: Arguments) -> None:
    ledger = kaggle.Ledger(arguments.ledger)
    lines = kaggle.refresh(ledger, arguments.competition, arguments.timeout) if arguments.refresh else []
    print(kaggle.listing(ledger.entries()))
    for line in lines:
        print(f"Refresh:  {for_shell(line)}")


def _submit(arguments: Arguments) -> None:
    if arguments.file is None or arguments.message is None:
        raise InputError("--message is missing: Kaggle shows it beside the score")
    new = kaggle.draft(arguments.file, arguments.message, arguments.rows, arguments.run, arguments.competition)
    if not arguments.dry_run:
        kaggle.find_client()
    ledger = kaggle.Ledger(arguments.ledger)
    entries, now = ledger.entries(), datetime.now(UTC)
    print(f"File:     {new.file}, valid, {arguments.rows:,} scores; run {new.run or 'unknown'}")
    print(f"Budget:   {kaggle.budget(entries, new.competition, now)}")
    kaggle.check_budget(entries, new.competition, now, arguments.force)
    for line in kaggle.warnings(entries, new):
        print(f"Warning:  {for_shell(line)}")
    if arguments.dry_run:
        print(f"Nothing was sent; it would go to {new.competition} as: {new.message}")
        return
    if not (arguments.yes or _is_confirmed(new.competition)):
        print("Not submitted.")
        return
    answer = kaggle.submit(new, ledger, arguments.timeout, arguments.force)
    following = spelled("submit", *kaggle.refresh_options(new.competition, ledger))
    print(f"Kaggle:   {answer}\nLedger:   {ledger.path}\nNext:     {following}")


def _is_confirmed(competition: str) -> bool:
    """Ask whether to submit. Raises InputError if there is nobody to ask."""
    if not sys.stdin.isatty():
        raise InputError("there is no terminal to confirm the submission on; add --yes")
    try:
        answer = input(f"Submit to {competition}? [y/N] ")
    except EOFError:
        answer = ""
    return answer.strip().lower() in ("y", "yes")
