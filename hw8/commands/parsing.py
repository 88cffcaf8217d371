"""What the entry points share: parsing, one-line errors and exit codes."""

import contextlib
import dataclasses
import io
import logging
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro

from hw8.base.errors import InputError, Interrupted, nearest
from hw8.base.processes import GONE, leave
from hw8.commands.spelling import for_shell, interpreter, own_spelling, own_words
from hw8.config import RunConfig, read_config
from hw8.config.presets import DEFAULT_PRESET, PRESETS, load_preset

Arguments = TypeVar("Arguments")
PATIENCE = 3.0
STYLE = (tyro.conf.OmitArgPrefixes, tyro.conf.SuppressFixed)


def run(command: Callable[[], None]) -> None:
    """Call an entry point and exit: 0 done, 2 bad usage or input (one line), 130 interrupted with the work saved."""
    level = logging.INFO if _first() else logging.ERROR
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Spelled("%(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
    try:
        command()
        sys.stdout.flush()
    except InputError as error:
        _leave(f"error: {error}", 2, error.choices)
    except Interrupted as stop:
        if not _first() and not str(stop).startswith(GONE):
            sys.exit(130)  # every process stops together, and the first says so
        _leave(str(stop), 130)
    except KeyboardInterrupt:
        _leave("interrupted", 130)
    except BrokenPipeError:
        # Whoever read our output has gone (head, less); there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _leave(f"error: {error.filename or 'standard output'}: {error.strerror}", 2)
    finally:
        leave()


class _Spelled(logging.Formatter):
    """Log lines, with settings and commands as one types them."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return for_shell(super().format(record))


def _first() -> bool:
    """Whether this process is the job's first, or alone."""
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0"


def _leave(line: str, code: int, below: Sequence[str] = ()) -> None:
    if not _first():
        # What stops every process is said by the first, which ends the job; what stops this one alone is said by it.
        time.sleep(PATIENCE)
        line = f"process {os.environ['RANK']}: {line}"
    print(for_shell(" ".join(line.split("\n"))), *below, sep="\n", file=sys.stderr)
    sys.exit(code)


def parse(kind: type[Arguments], text: str, default: Any = None, argv: Sequence[str] | None = None) -> Arguments:
    """Read the command line into a dataclass. Bad usage leaves with one line and exit code 2."""
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            given = {} if default is None else {"default": default}
            words = own_words() if argv is None else argv
            parsed: Arguments = tyro.cli(kind, prog=own_spelling(), description=text, args=words, config=STYLE, **given)
            return parsed
    except SystemExit as leaving:
        if leaving.code in (0, None):
            raise
        line = _first_line(box.getvalue())
        unknown = re.match(r"Unrecognized options?: (--[\w-]+)", line)
        hint = nearest(unknown[1], _options_of(kind, default)) if unknown else ""
        raise InputError(f"{line};{hint} see --help") from None


def _options_of(kind: type[Any], default: Any) -> set[str]:
    """The names of all options, as the help text has them."""
    box = io.StringIO()
    given = {} if default is None else {"default": default}
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(box):
        tyro.cli(kind, args=["--help"], config=STYLE, **given)
    return set(re.findall(r"--[\w-]+", box.getvalue()))


def _first_line(box: str) -> str:
    """The message inside tyro's frame, without its frame and hints."""
    message: list[str] = []
    for line in box.splitlines()[1:]:
        text = line.strip("│|╭╮╰╯+ ")  # drawn in ASCII where the terminal has no more
        if text.strip("─-"):
            message.append(text.strip("─ "))
        elif message:
            break
    return " ".join(message) or "bad usage"


@dataclasses.dataclass
class TrainArguments:
    """The command line of scripts/train.py; every setting of the run besides."""

    run: RunConfig
    preset: Literal[tuple(PRESETS)] = DEFAULT_PRESET  # type: ignore[valid-type]
    """The named run to start from; the options below change what differs."""
    out: Path | None = None
    """Folder of the new run. Default: runs/PRESET, or runs/PRESET-2 and so on."""
    resume: Path | None = None
    """Go on with this interrupted run, with its own settings."""
    config: Path | None = None
    """Start from this config.yaml instead of a preset."""
    option: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ...")] = ()
    """Options of the model, for instance: latent=32 widths=[256,64]."""


def parse_training(text: str, argv: Sequence[str]) -> TrainArguments:
    """Read scripts/train.py's command line: the preset or file named there gives the defaults of all else."""
    named = _peek(argv)
    if named["resume"] is not None:
        default = read_config(Path(named["resume"]) / "config.yaml")
    elif named["config"] is not None:
        default = read_config(Path(named["config"]))
    else:
        default = load_preset(named["preset"] or DEFAULT_PRESET)
    if named["preset"] not in (None, default.preset):
        raise InputError(
            f"--preset {named['preset']}: the settings come from --resume or --config; leave --preset away"
        )
    known = default.preset if default.preset in PRESETS else DEFAULT_PRESET
    arguments = parse(TrainArguments, text, TrainArguments(default, known), argv)
    if arguments.resume and (arguments.out or arguments.config):
        raise InputError(f"--resume {arguments.resume} goes on in its own folder; leave --out and --config away")
    if _given("epochs", argv) and not _given("least-steps", argv) and not arguments.resume:
        train = dataclasses.replace(arguments.run.train, least_steps=0)
        arguments.run = dataclasses.replace(arguments.run, train=train)
    if arguments.option:
        model = arguments.run.model
        chosen = dataclasses.replace(model, options=model.options | _options(arguments.option))
        arguments.run = dataclasses.replace(arguments.run, model=chosen)
    return arguments


def _peek(argv: Sequence[str]) -> dict[str, str | None]:
    """What is given for --preset, --resume and --config, which decide the defaults of everything else."""
    found: dict[str, str | None] = {"preset": None, "resume": None, "config": None}
    for place, word in enumerate(argv):
        name, joined, value = word.removeprefix("--").partition("=")
        if word.startswith("--") and name in found:
            found[name] = value if joined else (argv[place + 1] if place + 1 < len(argv) else None)
    return found


def _given(name: str, argv: Sequence[str]) -> bool:
    """Whether an option is on the command line."""
    return any(word.partition("=")[0].replace("_", "-") == f"--{name}" for word in argv)


def _options(pairs: Sequence[str]) -> dict[str, Any]:
    """Model options from NAME=VALUE words; values are YAML, so that numbers and lists come out as such."""
    import yaml

    options = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise InputError(f"--option {pair}: must be NAME=VALUE, for instance latent=32")
        try:
            if "&" in value or "*" in value:
                raise ValueError("no anchors and aliases in an option")
            options[name.replace("-", "_")] = yaml.safe_load(value)
        except Exception:  # a bad value fails inside PyYAML in more ways than it documents
            raise InputError(f"--option {pair}: the value is not YAML; for instance widths=[256,64]") from None
    return options


def command_line() -> str:
    """The command that started this process, as one would type it."""
    start = own_spelling() or f"{interpreter()} {shlex.quote(sys.argv[0])}"
    return f"{start} {shlex.join(own_words())}".rstrip()
