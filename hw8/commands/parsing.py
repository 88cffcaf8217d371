"""What the commands share: parsing, one-line errors and exit codes."""

import contextlib
import dataclasses
import errno
import io
import itertools
import logging
import os
import re
import shlex
import signal
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro

from hw8.base.errors import InputError, Interrupted, did_you_mean, error_reason
from hw8.base.processes import GONE, leave
from hw8.commands.spelling import for_shell, interpreter, own_spelling, own_words
from hw8.commands.spelling import option as option_name
from hw8.config import RunConfig, read_config
from hw8.config.presets import DEFAULT_PRESET, PRESETS, load_preset

Arguments = TypeVar("Arguments")
# Seconds that another process than rank 0 waits before it prints its error. If all of them fail, rank 0 reports it and
# the launcher ends the others meanwhile; much shorter, and the same line appears once per process.
PATIENCE = 3.0
# A full disk or quota, too large a file, a broken disk, a closed standard output.
FAILED_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
# What PyTorch says if a GPU's memory, or the machine's, does not suffice.
NO_MEMORY = re.compile("out of memory|can't allocate memory")
STYLE = (tyro.conf.OmitArgPrefixes, tyro.conf.SuppressFixed)
Value = TypeVar("Value")
# An option that may be omitted and cannot be None; its help text says what holds then.
Omittable = Annotated[Value | None, tyro.conf.DisallowNone, tyro.conf.arg(help_behavior_hint="")]


def run(command: Callable[[], None]) -> None:
    """Call a command and exit: 0 done, 2 bad usage or input (one line), 130 interrupted with the work saved."""
    level = logging.INFO if _is_rank_0() else logging.ERROR
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Spelled("%(message)s"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("hw8").setLevel(level)  # of other libraries, warnings only
    warnings.filterwarnings("ignore", module=r"PIL\.")  # about odd pictures; those that cannot be read have a reason
    # torchrun ends the others with SIGTERM once a process is gone; unhandled, it would cut off the line that says why.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        command()
        sys.stdout.flush()
    except InputError as error:
        _leave(f"error: {error}", 2, error.choices)
    except Interrupted as stop:
        if not _is_rank_0() and not str(stop).startswith(GONE):
            sys.exit(130)  # all processes stop together, and rank 0 says so
        _leave(str(stop), 130)
    except KeyboardInterrupt as stop:
        reason = stop.__context__  # the command may have been leaving already
        _leave(str(reason) if isinstance(reason, Interrupted) else "interrupted", 130)
    except BrokenPipeError:
        # The reader of the output (head, less) has closed it: there is nowhere to print an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.filename is None and error.errno not in FAILED_OUTPUT:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _leave(f"error: {error.filename or 'standard output, or a file that is written'}: {error_reason(error)}", 2)
    except (MemoryError, RuntimeError) as error:
        if not (isinstance(error, MemoryError) or NO_MEMORY.search(str(error))):
            raise
        remedy = "close other programs, or train with a lower `batch_size` or `score_batch_size`"
        _leave(f"error: not enough memory; {remedy}", 2)
    finally:
        leave()


class _Spelled(logging.Formatter):
    """Log lines, with settings and commands as they are typed."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return for_shell(super().format(record))


def _is_rank_0() -> bool:
    """Whether this process is rank 0 of its job, or alone."""
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0"


def _leave(line: str, code: int, below: Sequence[str] = ()) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if not _is_rank_0():
        # An error of every process is printed by rank 0, which ends the job; one of this process alone by itself.
        time.sleep(PATIENCE)
        line = f"process {os.environ['RANK']}: {line}"
    print(for_shell(" ".join(line.split("\n"))), *below, sep="\n", file=sys.stderr)
    sys.exit(code)


def parse(kind: type[Arguments], text: str, default: Any = None, argv: Sequence[str] | None = None) -> Arguments:
    """Read the command line into a dataclass. Raises InputError for bad usage, and exits after --help."""
    frame = io.StringIO()
    defaults = {} if default is None else {"default": default}
    words = own_words() if argv is None else argv
    # None is a value of some settings of a run only, for instance `--crop None`.
    style = STYLE if defaults else (*STYLE, tyro.conf.DisallowNone)
    try:
        with contextlib.redirect_stderr(frame):
            return tyro.cli(kind, prog=own_spelling(), description=text, args=words, config=style, **defaults)
    except SystemExit as leaving:
        if leaving.code in (0, None):
            raise
        line = _in_plain_words(frame.getvalue())
        unknown = re.match(r"Unrecognized options?: ([^,]+)", line)
        hint = _instead_of(unknown[1], _option_names(kind, defaults)) if unknown else ""
        raise InputError(f"{line};{hint} see --help") from None


def _instead_of(word: str, options: set[str]) -> str:
    """The question "did you mean --X?" for an unknown option, or a run without its option; else an empty text."""
    if word.startswith("--"):
        return did_you_mean(word, options)
    return f" did you mean --run {word}?" if "--run" in options and not word.isdecimal() else ""


def _option_names(kind: type[Any], defaults: dict[str, Any]) -> set[str]:
    """The names of all options, which start the lines of the help text; an indented one only mentions an option."""
    text = io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(text):
        tyro.cli(kind, args=["--help"], config=STYLE, **defaults)
    lines = re.findall(r"^\W (--?\w.+)", text.getvalue(), re.MULTILINE)
    return {name for line in lines for name in re.findall(r"--[\w.-]+", line.partition("  ")[0])}


def _in_plain_words(frame: str) -> str:
    """What tyro's frame says is wrong with the command line, with the option first, as in messages of our own."""
    line = _first_line(frame)
    if line.startswith("Missing from"):
        missing, _, unknown = frame.partition("Unrecognized options:")
        names = re.findall(r"^. {5}(\S.*?) *.$", unknown or missing, re.MULTILINE)
        if unknown:
            return f"Unrecognized options: {', '.join(names[:-1])}"  # the last is --help
        return f"missing: {', '.join(names[:-1])}"
    if match := re.match(r"Missing value for argument '(\S+)'", line):
        return f"{match[1]}: a value is missing"
    if match := re.match(r"invalid choice '(.*)' for argument '(\S+)'. Expected one of \((.*?),?\)", line):
        return f"{match[2]} {match[1]}: must be one of {match[3].replace(chr(39), '')}"
    if match := re.match(r"Error parsing (--\S+): (.*)'([^']*)'\W*$", line):
        kinds = {"int": "a whole number is expected", "float": "a number is expected"}
        kind = re.search(r"\b(int|float)\b", match[2], re.IGNORECASE)
        return f"{match[1]} {match[3]}: {kinds[kind[1].lower()] if kind else 'cannot be read'}"
    return re.sub(r"^Error parsing [\w.]+: ", "", line)


def _first_line(frame: str) -> str:
    """The message inside tyro's frame, without its hints."""
    message: list[str] = []
    for line in frame.splitlines()[1:]:
        text = line.strip("│|╭╮╰╯+ ")  # drawn in ASCII where the terminal has no other characters
        if text.strip("─-"):
            message.append(text.strip("─ "))
        elif message:
            break
    return " ".join(message) or "bad usage"


@dataclasses.dataclass
class TrainArguments:
    """The command line of scripts/train.py, with every setting of the run."""

    run: RunConfig
    preset: Literal[tuple(PRESETS)] = DEFAULT_PRESET  # type: ignore[valid-type]
    """The named run to start from; the options below change what differs."""
    out: Omittable[Path] = None
    """Folder of the new run. Default: runs/PRESET, or runs/PRESET-2 and so on."""
    resume: Omittable[Path] = None
    """Resume this interrupted run, with its own settings."""
    config: Omittable[Path] = None
    """Start from this config.yaml instead of a preset."""
    minutes: Omittable[float] = None
    """Train for as many steps as fit into this time, scoring afterwards included. Rates are measured at the start;
    config.yaml records the steps."""
    option: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ...", help_behavior_hint="")] = ()
    """Options of the model, for instance: latent=32 widths=[256,64]. Each is also an option of its own: --latent 32;
    --preset NAME --help lists those of the model."""


def parse_training(text: str, argv: Sequence[str]) -> TrainArguments:
    """Read scripts/train.py's command line: the preset or file that it names gives the defaults of all else."""
    start = _peek(argv)
    if start["resume"] is not None:
        config_file = Path(start["resume"]) / "config.yaml"
        if not config_file.exists():
            raise InputError(f"--resume {start['resume']}: no run here (config.yaml is missing); give the run's folder")
        default = read_config(config_file)
    elif start["config"] is not None:
        default = read_config(Path(start["config"]), whole=True)
    else:
        default = load_preset(start["preset"] or DEFAULT_PRESET)
    if start["preset"] not in (None, default.preset):
        raise InputError(f"--preset {start['preset']}: the settings come from --resume or --config; omit --preset")
    preset = default.preset if default.preset in PRESETS else DEFAULT_PRESET
    if not any(start.values()) and {"-h", "--help"} & {*argv}:
        # The models' files import PyTorch, which takes seconds: help that names no model does without them.
        return parse(TrainArguments, text, TrainArguments(default, preset), argv)
    arguments = _parse_with_model(text, TrainArguments(default, preset), start["model"] or default.model.name, argv)
    if arguments.resume and (arguments.out or arguments.config):
        raise InputError(f"--resume {arguments.resume} continues in its own folder; omit --out and --config")
    given = [name for name in ("epochs", "least-steps", "most-steps") if is_given(name, argv)]
    if arguments.minutes is not None and (arguments.resume or {"epochs", "most-steps"} & {*given}):
        omit = "omit --epochs, --most-steps and --resume"
        raise InputError(f"--minutes {arguments.minutes:g} chooses the steps of a new run; {omit}")
    if given == ["epochs"] and not arguments.resume:
        train = dataclasses.replace(arguments.run.train, least_steps=0, most_steps=None)
        arguments.run = dataclasses.replace(arguments.run, train=train)
    return arguments


def _parse_with_model(text: str, default: TrainArguments, model: str, argv: Sequence[str]) -> TrainArguments:
    """Read the command line with the options of this model; those that differ from the default enter the settings."""
    from hw8.models import options_class

    kind, options = options_class(model), default.run.model.options
    before = _with_unique_names(kind, _option_names(TrainArguments, {"default": default}))(**options)
    both: Any = dataclasses.make_dataclass("Both", [(model, type(before), before)], bases=(TrainArguments,))
    arguments: TrainArguments = parse(both, text, both(default.run, default.preset), argv)
    after = getattr(arguments, model)
    names = [field.name for field in dataclasses.fields(kind)]
    options = options | {name: getattr(after, name) for name in names if getattr(after, name) != getattr(before, name)}
    options = options | _options(arguments.option)
    kind(**options)  # raises InputError for what --option names
    with_options = dataclasses.replace(arguments.run.model, options=options)
    arguments.run = dataclasses.replace(arguments.run, model=with_options)
    return arguments


def _with_unique_names(kind: type[Any], taken: set[str]) -> type[Any]:
    """The same dataclass of a model's options; one named like a setting is spelled `--model.NAME`."""
    respelled = {
        name: Annotated[annotation, tyro.conf.arg(name=f"model.{name}")]
        for name, annotation in kind.__annotations__.items()
        if option_name(name) in taken
    }
    return type(kind.__name__, (kind,), {"__annotations__": respelled, "__doc__": kind.__doc__})


def _peek(argv: Sequence[str]) -> dict[str, str | None]:
    """The values of --preset, --resume, --config and --model, which decide the defaults of everything else."""
    values: dict[str, str | None] = {"preset": None, "resume": None, "config": None, "model": None}
    for word, following in itertools.zip_longest(argv, argv[1:]):
        name, joined, value = word.removeprefix("--").partition("=")
        if word.startswith("--") and name in values:
            values[name] = value if joined else following
    return values


def is_given(name: str, argv: Sequence[str]) -> bool:
    """Whether an option is on the command line."""
    return any(word.partition("=")[0].replace("_", "-") == f"--{name}" for word in argv)


def _options(pairs: Sequence[str]) -> dict[str, Any]:
    """Model options from NAME=VALUE words; values are YAML, which tells numbers, lists and words apart."""
    import yaml

    options = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise InputError(f"--option {pair}: must be NAME=VALUE, for instance latent=32")
        try:
            options[name.replace("-", "_")] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError):  # ValueError: a date such as 2024-99-99
            raise InputError(f"--option {pair}: the value is not YAML; for instance widths=[256,64]") from None
    return options


def command_line() -> str:
    """The command that started this process, as one would type it."""
    start = own_spelling() or f"{interpreter()} {shlex.quote(sys.argv[0])}"
    return f"{start} {shlex.join(own_words())}".rstrip()
