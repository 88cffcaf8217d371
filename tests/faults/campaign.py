"""Stop hw8 at random moments and check what is left: `python -m tests.faults.campaign --kills 200`.

Every trial forks a process in which PyTorch is loaded already (that saves two seconds per trial), runs one of the
scripts in it as a user would, stops it at a random moment (or gives it a full disk, a folder it may not write to,
or a file that was cut in two), and then checks what hw8 promises: a run folder can be resumed, to the same bytes, or
one line says what to do; a submission is whole or not there; finished work of a comparison is neither lost nor
repeated.
"""

import argparse
import collections
import ctypes
import dataclasses
import json
import os
import random
import resource
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # runs are compared by their bytes, which depend on it

# Loaded before any fork, and nothing of it called: threads would not survive one.
import matplotlib
import pandas  # noqa: F401
import sklearn.covariance
import sklearn.decomposition
import sklearn.neighbors  # noqa: F401
import torch.utils.tensorboard  # noqa: F401

import hw8.compare.leaderboard
import hw8.compare.tables
import hw8.download.homework
import hw8.report.comparison
import hw8.report.figures
import hw8.report.tables
import hw8.runs.predict
import hw8.runs.train  # noqa: F401
from hw8.data.demo import write_demo
from tests.faults.slow_server import BODY, NAME

matplotlib.use("agg")
SCRIPTS = Path(__file__).parents[2] / "scripts"
FETCH = Path(__file__).parent / "fetch.py"
STARTED, STOPPED = 0, 130
SMALL = ["--held-out-minimum", "40", "--crop", "16", "--batch-size", "32"]
TRAIN = ["--preset", "fcn_crop", "--epochs", "6", *SMALL]
BOARD = ["--presets", "mean_image", "fcn_crop", "pca", "--epochs", "2"]


class Broken(AssertionError):
    """A promise that was not kept."""


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (minus the signal's number if it died of one), output and errors."""

    code: int
    out: str
    errors: str

    def refusal(self) -> str:
        """Its one line of error. Raises Broken for anything else."""
        lines = [line for line in self.errors.replace("\r", "\n").splitlines() if line.startswith("error: ")]
        if self.code != 2 or len(lines) != 1 or "Traceback" in self.errors:
            raise Broken(f"not one line of error and code 2: code {self.code}, {self.errors[-2000:]}")
        return lines[0]

    def good(self) -> "Ended":
        """Return itself if it ended well. Raises Broken."""
        if self.code != STARTED or "Traceback" in self.errors:
            raise Broken(f"code {self.code}: {self.errors[-2000:]}")
        return self


class Running:
    """A script in a forked process, in a folder of its own choice."""

    def __init__(self, cwd: Path, script: str, *words: object, before: Callable[[], None] = lambda: None) -> None:
        self._out, self._errors = (tempfile.TemporaryFile(dir=cwd.parent) for _ in range(2))  # noqa: SIM115
        self.started = time.monotonic()
        self.pid = os.fork()
        if not self.pid:
            self._become(cwd, script, [str(word) for word in words], before)

    def _become(self, cwd: Path, script: str, words: Sequence[str], before: Callable[[], None]) -> None:
        """Run the script in the child process, and end it; never returns."""
        code = 1
        try:
            os.dup2(self._out.fileno(), 1)
            os.dup2(self._errors.fileno(), 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.chdir(cwd)
            before()
            path = FETCH if script == "fetch" else SCRIPTS / f"{script}.py"
            sys.argv = [f"scripts/{script}.py", *words]
            sys.path.insert(0, str(path.parent))
            runpy.run_path(str(path), run_name="__main__")
            code = 0
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else 0
        except BaseException:  # as the interpreter would show it
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except OSError:
                    code = code or 120
            os._exit(code)

    def wait(self) -> Ended:
        """Wait for its end."""
        _, status = os.waitpid(self.pid, 0)
        texts = []
        for file in (self._out, self._errors):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
            file.close()
        return Ended(os.waitstatus_to_exitcode(status), *texts)

    def stop(self, seconds: float, how: str) -> Ended:
        """Send the signals of `how` after so many seconds, unless it has ended by then."""
        first, *more = {"SIGKILL": [9], "SIGTERM": [15], "Ctrl-C": [2], "Ctrl-C twice": [2, 2]}[how]
        deadline = self.started + seconds
        while time.monotonic() < deadline and not self._gone():
            time.sleep(0.005)
        for number in (first, *more):
            if not self._gone():
                os.kill(self.pid, number)
            time.sleep(0.03 if more else 0)
        return self.wait()

    def _gone(self) -> bool:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def call(cwd: Path, script: str, *words: object, before: Callable[[], None] = lambda: None) -> Ended:
    """Run a script to its end."""
    return Running(cwd, script, *words, before=before).wait()


HOW = ("SIGKILL", "SIGKILL", "SIGTERM", "Ctrl-C", "Ctrl-C twice")
Trial = Callable[["Campaign", Path, random.Random], str]


class Campaign:
    """What undisturbed commands leave, and trials that are compared with it."""

    def __init__(self, root: Path) -> None:
        self.root, self.data = root, root / "demo"
        write_demo(self.data, train=400, test=120)
        self.seconds: dict[str, float] = {}
        self.whole = self.folder("whole")
        self._timed("train", "train", *self.train_words())
        self._timed("predict", "predict", "--run", "run", "--out", "scores.csv", "--evidence", "evidence.csv")
        self._timed("compare", "compare", *self.compare_words())
        words = [sys.executable, "-m", "tests.faults.slow_server"]
        self.server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=SCRIPTS.parent)
        assert self.server.stdout is not None
        self.address = f"http://127.0.0.1:{int(self.server.stdout.readline())}"
        self._timed("download", "fetch", self.address)
        self.weights = (self.whole / "run" / "model.safetensors").read_bytes()
        self.scores = (self.whole / "scores.csv").read_bytes()

    def folder(self, name: str) -> Path:
        """A new working folder."""
        path = self.root / name
        path.mkdir()
        return path

    def train_words(self) -> list[object]:
        """The command line of the training."""
        return [*TRAIN, "--data", self.data, "--out", "run"]

    def compare_words(self) -> list[object]:
        """The command line of the comparison."""
        return [*BOARD, "--data", self.data, "--out", "board"]

    def _timed(self, name: str, script: str, *words: object) -> None:
        started = time.monotonic()
        call(self.whole, script, *words).good()
        self.seconds[name] = time.monotonic() - started

    def moment(self, name: str, chance: random.Random) -> float:
        """A random moment of a command."""
        return chance.uniform(0.0, 1.05 * self.seconds[name])

    def finish_training(self, cwd: Path) -> None:
        """Resume the training in cwd/run, or start it again; it must end in the same bytes."""
        run = cwd / "run"
        if (run / "config.yaml").exists():
            call(cwd, "train", "--resume", "run").good()
        else:
            call(cwd, "train", *self.train_words()).good()
        if (run / "model.safetensors").read_bytes() != self.weights:
            raise Broken("the resumed training ended in other weights")
        left = [path.name for path in run.iterdir() if path.name.startswith(".")]
        if left:
            raise Broken(f"left over: {left}")

    def copy_run(self, cwd: Path) -> Path:
        """A copy of the finished run in cwd/run."""
        shutil.copytree(self.whole / "run", cwd / "run")
        return cwd / "run"


def stopped(ended: Ended, how: str) -> str:
    """How a command took being stopped. Raises Broken for what it must not do."""
    if ended.code == 0:
        return "had finished"
    if how.startswith("Ctrl-C") and ended.errors.endswith("import parse, run\nKeyboardInterrupt\n"):
        return "stopped while it was loaded"  # by Python itself, with its own words; nothing was written
    if "Traceback" in ended.errors:
        raise Broken(ended.errors[-2000:])
    allowed = {"SIGKILL": (-9,), "SIGTERM": (-15, STOPPED), "Ctrl-C": (STOPPED,), "Ctrl-C twice": (STOPPED,)}
    if ended.code not in allowed[how]:
        raise Broken(f"{how}: code {ended.code}: {ended.errors[-2000:]}")
    return "stopped"


def kill_training(campaign: Campaign, cwd: Path, chance: random.Random) -> str:
    """Stop a training; what is there scores or says why not; resumed, it ends in the same bytes."""
    how = chance.choice(HOW)
    ended = Running(cwd, "train", *campaign.train_words()).stop(campaign.moment("train", chance), how)
    outcome = stopped(ended, how)
    if outcome == "stopped":
        scored = call(cwd, "predict", "--run", "run", "--out", "scores.csv")
        if scored.code == 0:
            if (cwd / "scores.csv").read_bytes() != campaign.scores:
                raise Broken("an unfinished run gave other scores")
        elif (cwd / "scores.csv").exists() or not scored.refusal():
            raise Broken("a refused run left a file")
    campaign.finish_training(cwd)
    return f"{how}: {outcome}, same bytes"


def kill_twice(campaign: Campaign, cwd: Path, chance: random.Random) -> str:
    """Stop a training, resume it, stop it again, and finish it."""
    for turn in range(2):
        how = chance.choice(HOW)
        there = (cwd / "run" / "config.yaml").exists()
        words = ["--resume", "run"] if turn and there else campaign.train_words()
        stopped(Running(cwd, "train", *words).stop(campaign.moment("train", chance), how), how)
        if (cwd / "run" / "summary.json").exists():
            break
    campaign.finish_training(cwd)
    return "stopped twice, same bytes"


def kill_prediction(campaign: Campaign, cwd: Path, chance: random.Random) -> str:
    """Stop a prediction: its files are whole or not there; the old ones survive; again, they are the same."""
    campaign.copy_run(cwd)
    old = b"ID,score\n0,1.0\n1,2.0\n"
    if chance.random() < 0.5:
        (cwd / "scores.csv").write_bytes(old)
    how = chance.choice(HOW)
    words = ["--run", "run", "--out", "scores.csv", "--evidence", "evidence.csv"]
    outcome = stopped(Running(cwd, "predict", *words).stop(campaign.moment("predict", chance), how), how)
    for name in ("scores.csv", "evidence.csv"):
        whole = {(campaign.whole / name).read_bytes(), old}
        if (cwd / name).exists() and (cwd / name).read_bytes() not in whole:
            raise Broken(f"half a file: {name}")
    call(cwd, "predict", *words).good()
    if (cwd / "scores.csv").read_bytes() != campaign.scores:
        raise Broken("other scores")
    return f"{how}: {outcome}, files whole"


def kill_comparison(campaign: Campaign, cwd: Path, chance: random.Random) -> str:
    """Stop a comparison: what is finished is kept, and not done again."""
    how = chance.choice(HOW)
    running = Running(cwd, "compare", *campaign.compare_words())
    outcome = stopped(running.stop(campaign.moment("compare", chance), how), how)
    runs = cwd / "runs" / "board"
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in runs.glob("*/result.json")}
    scores = {path.parent / "scores.csv": (path.parent / "scores.csv").stat().st_mtime_ns for path in before}
    for name in ("board.csv", "board.md"):
        if (cwd / name).exists() and not (cwd / name).read_text().endswith("\n"):
            raise Broken(f"half a file: {name}")
    call(cwd, "compare", *campaign.compare_words()).good()
    for path, (content, stamp) in before.items():
        if (path.read_bytes(), path.stat().st_mtime_ns) != (content, stamp):
            raise Broken(f"done again: {path.parent.name}")
    if any(path.stat().st_mtime_ns != stamp for path, stamp in scores.items()):
        raise Broken("a finished run was scored again")
    for path in (campaign.whole / "runs" / "board").glob("*/scores.csv"):
        if (runs / path.parent.name / "scores.csv").read_bytes() != path.read_bytes():
            raise Broken(f"other scores: {path.parent.name}")
    return f"{how}: {outcome}, {len(before)} of 3 runs kept"


def kill_download(campaign: Campaign, cwd: Path, chance: random.Random) -> str:
    """Stop a download: the file is whole or not there; the same command resumes it."""
    how = chance.choice(HOW)
    file, part = cwd / "data" / NAME, cwd / "data" / f"{NAME}.part"
    outcome = stopped(Running(cwd, "fetch", campaign.address).stop(campaign.moment("download", chance), how), how)
    if file.exists() and file.read_bytes() != BODY:
        raise Broken("a file under its final name that is not verified")
    if part.exists() and not BODY.startswith(part.read_bytes()):
        raise Broken("what has come is not the file's beginning")
    there = part.stat().st_size if part.exists() else 0
    started = time.monotonic()
    call(cwd, "fetch", campaign.address).good()
    if file.read_bytes() != BODY or part.exists():
        raise Broken("the second download did not finish the file")
    if there > len(BODY) / 2 and time.monotonic() - started > 0.9 * campaign.seconds["download"]:
        raise Broken("the second download started again")
    return f"{how}: {outcome}, resumed"


def full_disk(campaign: Campaign, cwd: Path, chance: random.Random) -> str:
    """No file may grow past a limit: one line, nothing half-written; with room again, the same bytes."""
    sizes = [path.stat().st_size for path in (campaign.whole / "run").iterdir()]
    limit = int(chance.uniform(0, max(sizes)))

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    ended = call(cwd, "train", *campaign.train_words(), before=limited)
    if ended.code:
        ended.refusal()
    if any(path.suffix == ".part" for path in (cwd / "run").glob(".*")):
        raise Broken("a half-written file is left")
    campaign.finish_training(cwd)
    return "one line, same bytes with room again" if ended.code else "fitted"


def without_privileges() -> None:
    """Give up root's right to write anywhere (all capabilities: capset(2), version 3)."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    if os.getuid() == 0 and ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)()):
        raise OSError("capset failed")


def read_only(campaign: Campaign, cwd: Path, chance: random.Random) -> str:
    """A folder that may not be written to: one line, nothing changed."""
    campaign.copy_run(cwd)
    (cwd / "out").mkdir()
    for path in [cwd, *cwd.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)

    words: list[list[object]] = [
        ["predict", "--run", "run", "--out", "out/scores.csv"],
        ["train", *campaign.train_words()[:-1], "out/new"],
        ["train", "--resume", "run"],
    ]
    before = {path: path.stat().st_mtime_ns for path in cwd.rglob("*")}
    ended = call(cwd, *chance.choice(words), before=without_privileges)  # type: ignore[arg-type]
    for path in [cwd, *cwd.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    ended.refusal()
    if {path: path.stat().st_mtime_ns for path in cwd.rglob("*")} != before:
        raise Broken("something was written")
    return "one line, nothing changed"


def cut_in_two(campaign: Campaign, cwd: Path, chance: random.Random) -> str:
    """A file of a run loses its end, as a failing disk may do: it loads, or one line names it; nothing hangs."""
    how = "SIGKILL"
    Running(cwd, "train", *campaign.train_words()).stop(campaign.moment("train", chance), how)
    files = sorted(
        path for path in (cwd / "run").glob("*") if path.stat().st_size and not path.name.startswith((".", "events"))
    )
    if not files:
        campaign.finish_training(cwd)
        return "nothing to cut yet"
    path = chance.choice(files)
    os.truncate(path, chance.randrange(path.stat().st_size))
    ended = call(cwd, "train", "--resume", "run")
    if ended.code == 0:
        if (cwd / "run" / "model.safetensors").read_bytes() != campaign.weights:
            raise Broken(f"{path.name} was cut, and the training ended in other weights")
        return f"{path.name}: mended, same bytes"
    if path.name not in ended.refusal():
        raise Broken(f"{path.name} was cut, but the line is: {ended.refusal()}")
    return f"{path.name}: one line names it"


TRIALS: dict[str, tuple[Trial, int]] = {
    "training": (kill_training, 8),
    "training, twice": (kill_twice, 3),
    "prediction": (kill_prediction, 4),
    "comparison": (kill_comparison, 3),
    "download": (kill_download, 3),
    "full disk": (full_disk, 3),
    "read-only folder": (read_only, 2),
    "file cut in two": (cut_in_two, 3),
}


def rounds(count: int, chance: random.Random) -> list[str]:
    """Names of so many trials, every kind at least once, in proportion."""
    names = list(TRIALS) + chance.choices(list(TRIALS), [weight for _, weight in TRIALS.values()], k=count)
    return names[:count]


def main() -> None:
    """Run trials and print a table of their outcomes; exits with 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=40, help="number of trials")
    parser.add_argument("--seed", type=int, default=0, help="seed of the trials and their moments")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    outcomes: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    broken = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as root:
        Path(root).chmod(0o755)
        campaign = Campaign(Path(root))
        for number, name in enumerate(rounds(arguments.kills, chance)):
            cwd = campaign.folder(f"{number}")
            seed = chance.getrandbits(32)
            try:
                outcomes[name][TRIALS[name][0](campaign, cwd, random.Random(seed))] += 1
            except Broken as error:
                broken.append(f"{name} ({number}): {error}")
                outcomes[name]["BROKEN"] += 1
            print(f"{number + 1}/{arguments.kills} {name}", file=sys.stderr)
            shutil.rmtree(cwd, ignore_errors=True)
        campaign.server.kill()
        campaign.server.wait()
    minutes = (time.monotonic() - started) / 60
    if arguments.json:
        print(json.dumps({"trials": arguments.kills, "minutes": minutes, "outcomes": outcomes, "broken": broken}))
    else:
        for name, counts in outcomes.items():
            print(name)
            for outcome, count in sorted(counts.items()):
                print(f"  {count:4}  {outcome}")
        print(f"{arguments.kills} trials in {minutes:.1f} minutes, {len(broken)} promises broken")
    print("\n".join(broken), file=sys.stderr)
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
