"""Kaggle's official client, started as a process: its command lines, and what its words mean.

Nothing else of hw8 talks to Kaggle. The client's command line was chosen over its Python interface because the words
used here mean the same in versions 1.5.16, 1.6.17, 1.7.4.5 and 2.2.4, while `import kaggle` signs in at once, may
print, ask the network or end the process, and names its classes anew from version to version; and a process can be
given a time limit.
"""

import contextlib
import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from hw8.base.errors import InputError, printable

COMPETITION = "ml2023spring-hw8"
RULES_PAGE = "https://www.kaggle.com/competitions/{competition}/rules"
PAGE = 200  # the most that Kaggle lists at once; clients before 2.0 list 20

SIGN_IN = (
    "kaggle is not signed in; run `kaggle auth login`, or save a token of https://www.kaggle.com/settings/api as "
    "~/.kaggle/access_token (clients before 2.0: its kaggle.json in ~/.kaggle/, chmod 600)"
)
# What the client's words mean: each of these says that Kaggle did nothing. An HTTP status is one only where the client
# writes it as such: tracebacks have line numbers.
REFUSALS = (
    (
        r"\b401 (client error|-)|authentication required|unauthori[sz]ed|unauthenticated|find kaggle\.json"
        r"|invalid credentials",
        SIGN_IN,
    ),
    (r"allowance|submission limit|daily limit", "Kaggle counts today's submissions as used; try again after 00:00 UTC"),
    (
        r"\b403 (client error|-)|forbidden|permission '[^']*' was denied|accept\w*\b.*\brules",
        f"Kaggle does not let this account in; join, and accept the rules on {RULES_PAGE}",
    ),
    (
        r"\b404 (client error|-)|could not find competition",
        "Kaggle knows no competition {competition}; check `competition`",
    ),
    (r"\b429 (client error|-)|too many requests", "Kaggle was asked too often; try again in some minutes"),
    (r"submission not allowed", "Kaggle takes no submission of this account now"),
    (r"could not submit to competition", "the upload did not get through; try again"),
    (
        r"name ?resolution|failed to establish|connection refused|unreachable|connect to proxy|certificate verify",
        "Kaggle cannot be reached; check the connection of this machine and its proxy settings",
    ),
    (r"no module named", "the client lacks a module that its installation left out; pip install it"),
    (
        r"unrecognized arguments|invalid choice|arguments are required",
        "this version of the client takes other arguments; pip install --upgrade kaggle",
    ),
)
# Whatever may be a key or a token in what the client prints: it is never shown.
SECRETS = re.compile(r"(?i)((?:basic|bearer)\s+)\S+|\b(?=[\w-]*\d)[\w-]{20,}=*|\?\S+|(?<=key)[\"']?\s*[:=]\s*\S+")
NOISE = ("Warning:", '  File "')


def find_client() -> str:
    """The client's path: as the shell finds it, else beside this Python. Raises InputError if it is nowhere."""
    beside = str(Path(sys.executable).parent)
    # With six, which kaggle 2.2.4 imports without asking for it.
    found = shutil.which("kaggle") or shutil.which("kaggle", path=beside)
    if found is None:
        raise InputError(f"the official client is not installed; pip install kaggle six, then: {SIGN_IN}")
    return found


def client_environment() -> dict[str, str]:
    """The environment to start the client in. VERBOSE would make it print its requests, with the token in them."""
    return os.environ | {"PYTHONIOENCODING": "utf-8", "VERBOSE": "false", "VERBOSE_OUTPUT": "false"}


def submit_words(competition: str, file: Path, message: str) -> list[str]:
    """The client's command line for a submission.

    Long words with = keep a message or file that begins with a dash from being taken for an option; the client also
    takes a command line that ends in -h or --help for a call for help, which --quiet at the end prevents.
    """
    words = [f"--message={message}", f"--file={file.absolute()}", f"--competition={competition}", "--quiet"]
    return ["competitions", "submit", *words]


def refresh_words(competition: str, paged: bool) -> list[str]:
    """The client's command line for the list of submissions; `paged` asks for more than the newest twenty."""
    page = [f"--page-size={PAGE}"] if paged else []
    return ["competitions", "submissions", "--csv", *page, f"--competition={competition}", "--quiet"]


def download_words(competition: str, folder: Path) -> list[str]:
    """The client's command line for the competition's archive, which goes to `folder`."""
    return ["competitions", "download", f"--path={folder.absolute()}", f"--competition={competition}"]


def check_competition(name: str) -> None:
    """Raise InputError unless this can be a competition's name."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise InputError(f"`competition` {name!r}: must be as in the address of its page: {COMPETITION}")


def single_spaced(text: str) -> str:
    """A text with every run of white space as one space: a message is sent so, and compared so."""
    return " ".join(text.split())


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the client said: its exit code, its standard output, and what it wrote to standard error."""

    code: int
    output: str
    errors: str = ""

    @property
    def words(self) -> str:
        """All of it, without warnings and places in the client's own code."""
        lines = (self.output + "\n" + self.errors).splitlines()
        return "\n".join(line for line in lines if line.strip() and not line.startswith(NOISE))

    def last(self) -> str:
        """Its last line, which is what it comes down to, short and without anything that may be secret."""
        lines = self.words.splitlines() or ["without a word"]
        return printable(single_spaced(SECRETS.sub(r"\1[...]", lines[-1])), 200)

    def refusal(self, competition: str) -> str | None:
        """Why Kaggle did nothing, and what to do; None if that is not sure."""
        for pattern, advice in REFUSALS:
            if re.search(pattern, self.words, re.IGNORECASE):
                said = "" if advice is SIGN_IN else f" (kaggle: {self.last()})"
                return advice.format(competition=competition) + said
        return None

    def success(self) -> str | None:
        """The line that says that a submission was taken; None if none does."""
        lines = self.output.splitlines() if self.code == 0 else []
        return next((printable(single_spaced(line)) for line in lines if re.search(r"(?i)\bsuccess", line)), None)


def ask(client: str, words: list[str], seconds: float) -> Answer:
    """Run the client. Raises InputError if it cannot be started, and subprocess.TimeoutExpired; then it is stopped."""
    try:
        process = subprocess.Popen(
            [client, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            encoding="utf-8", errors="replace", env=client_environment(), start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise InputError(
            f"{client}: cannot be started ({error.strerror}); pip install --force-reinstall kaggle"
        ) from None
    with process:
        try:
            output, errors = process.communicate(timeout=seconds)
        except BaseException:
            # The group, for a wrapper's child would hold our pipes open for as long as it likes.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return Answer(process.returncode, output, errors)
