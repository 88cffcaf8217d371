"""Kaggle's official client (2.2), started as a process: its command lines, and what its answers mean.

Nothing else of hw8 talks to Kaggle. `import kaggle` would sign in at once, may print or end the process, and has no
time limit; the command line has none of these problems.
"""

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from hw8.base.errors import InputError, printable
from hw8.base.text import counted

COMPETITION = "ml2023spring-hw8"  # as in the address of its page
RULES_PAGE = "https://www.kaggle.com/competitions/{competition}/rules"
# Submissions asked for at once: the most that Kaggle gives, which is 40 days at five a day.
PAGE_SIZE = 200
SIGN_IN = (
    "kaggle is not signed in; run `kaggle auth login`, or save a token of https://www.kaggle.com/settings/api as "
    "~/.kaggle/access_token"
)
# Pattern in the client's output -> advice. Each of these answers means that Kaggle took no submission; whatever is
# missing here counts as possibly submitted, so a pattern that matches too much loses one of the five a day.
REFUSALS = {
    r"\b401 client error|authentication required|invalid credentials": SIGN_IN,
    r"allowance|submission limit|daily limit": "Kaggle counts today's submissions as used; try again after 00:00 UTC",
    r"\b403 client error|permission '[^']*' was denied|accept\w*\b.*\brules": (
        f"Kaggle does not let this account in; join, and accept the rules on {RULES_PAGE}"
    ),
    r"\b404 client error": (
        f"Kaggle knows no such competition; `competition` must be as in the address of its page: {COMPETITION}"
    ),
    r"\b429 client error|too many requests": "Kaggle received too many requests; try again in some minutes",
    r"submission not allowed": "Kaggle takes no submission of this account now",
    r"could not submit to competition": "the upload failed; try again",
    r"name ?resolution|failed to establish|connection refused|unreachable|connect to proxy|certificate verify": (
        "Kaggle cannot be reached; check the connection of this machine and its proxy settings"
    ),
    r"no module named": "the client lacks a module that its installation left out; pip install it",
    r"cannot be started": "pip install --force-reinstall kaggle",
    r"unrecognized arguments|invalid choice|arguments are required": (
        "this version of the client takes other arguments; pip install --upgrade kaggle"
    ),
}
# What may be a key or a token in the client's output, and is never shown: what follows Basic, Bearer or key=, any long
# word with a digit, and the query of an address.
SECRETS = re.compile(r"(?i)((?:basic|bearer)\s+)\S+|\b(?=[\w-]*\d)[\w-]{20,}=*|\?\S+|(?<=key)[\"']?\s*[:=]\s*\S+")
MAX_LINE = 200  # characters quoted of the client's output


def find_client() -> str:
    """The client's path: as the shell finds it, else beside this Python. Raises InputError if it is not installed."""
    path = shutil.which("kaggle") or shutil.which("kaggle", path=str(Path(sys.executable).parent))
    if path is None:
        # With six, which kaggle 2.2.4 imports but does not declare.
        raise InputError(f"the official client is not installed; pip install kaggle six, then: {SIGN_IN}")
    return path


def submit_words(competition: str, file: Path, message: str) -> list[str]:
    """The client's arguments for a submission.

    Long options with = keep a message or file that begins with a dash from being taken for an option. The client takes
    arguments that end in -h for a call for help, which --quiet at the end prevents.
    """
    words = [f"--message={message}", f"--file={file.absolute()}", f"--competition={competition}", "--quiet"]
    return ["competitions", "submit", *words]


def refresh_words(competition: str) -> list[str]:
    """The client's arguments for the list of submissions."""
    words = ["--csv", f"--page-size={PAGE_SIZE}", f"--competition={competition}", "--quiet"]
    return ["competitions", "submissions", *words]


def download_words(competition: str, folder: Path) -> list[str]:
    """The client's arguments to download the competition's archive into `folder`."""
    return ["competitions", "download", f"--path={folder.absolute()}", f"--competition={competition}"]


def single_spaced(text: str) -> str:
    """The text with every run of white space replaced by one space: messages are sent and compared in this form."""
    return " ".join(text.split())


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the client answered: its exit code, standard output and standard error."""

    code: int
    output: str
    errors: str = ""

    def last_line(self) -> str:
        """Its last line, which states the result, shortened and without secrets."""
        lines = f"{self.output}\n{self.errors}".strip().splitlines() or ["no output"]
        return printable(single_spaced(SECRETS.sub(r"\1[...]", lines[-1])), MAX_LINE)

    def refusal(self, competition: str) -> str | None:
        """Why Kaggle took no submission, and what to do; None if it may have taken it."""
        for pattern, advice in REFUSALS.items():
            if re.search(pattern, f"{self.output}\n{self.errors}", re.IGNORECASE):
                quote = "" if advice is SIGN_IN else f" (kaggle: {self.last_line()})"
                return advice.format(competition=competition) + quote
        return None

    def success(self) -> str | None:
        """The line that confirms a submission; None if there is none."""
        lines = self.output.splitlines() if self.code == 0 else []
        return next((printable(single_spaced(line)) for line in lines if re.search(r"(?i)\bsuccess", line)), None)


def ask(client: str, words: list[str], seconds: float) -> Answer:
    """Run the client and return its answer. Raises subprocess.TimeoutExpired, after which it does not run any more."""
    try:
        answer = subprocess.run(
            [client, *words], stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace",
            env=_environment(), timeout=seconds, check=False,
        )  # fmt: skip
    except OSError as error:
        return Answer(127, "", f"{client}: cannot be started: {error.strerror}")
    return Answer(answer.returncode, answer.stdout, answer.stderr)


def download_archive(client: str, competition: str, folder: Path) -> Path:
    """Download the competition's archive into `folder` and return its path; the client's output goes to standard error.

    Raises InputError if the client fails or leaves no archive.
    """
    words = download_words(competition, folder)
    # 2 is standard error: the client draws its progress there itself.
    answer = subprocess.run([client, *words], stdin=subprocess.DEVNULL, stdout=2, env=_environment(), check=False)
    archives = sorted(folder.glob("*.zip"))
    if answer.returncode != 0 or len(archives) != 1:
        raise InputError(
            f"kaggle ended with code {answer.returncode} and {counted(len(archives), 'archive')} in {folder}; what it "
            "said stands above. Sign in (`kaggle auth login`), accept the rules on "
            f"{RULES_PAGE.format(competition=competition)} and run the command again, or omit `source` kaggle"
        )
    return archives[0]


def _environment() -> dict[str, str]:
    """The environment to start the client in. VERBOSE would make it print its requests, with the token in them."""
    return os.environ | {"PYTHONIOENCODING": "utf-8", "VERBOSE": "false", "VERBOSE_OUTPUT": "false"}
