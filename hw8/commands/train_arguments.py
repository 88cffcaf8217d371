"""The command line of training: every setting of a run, whose defaults are those of the preset that it names."""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from hw8.base.errors import InputError
from hw8.commands.parsing import Omittable, is_given, option_names, parse
from hw8.commands.spelling import option as option_name
from hw8.config import RunConfig, read_config
from hw8.config.presets import DEFAULT_PRESET, PRESETS, load_preset


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

    kind = options_class(model)
    options = default.run.model.options if model == default.run.model.name else {}
    before = _with_unique_names(kind, option_names(TrainArguments, {"default": default}))(**options)
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
