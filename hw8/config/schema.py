"""Every setting of a run: one dataclass a concern, each field with its meaning, unit and limits."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from hw8.base.errors import InputError, shown
from hw8.base.files import read_text

RUNS = Path("runs")  # where runs are made and looked for unless another folder is named
MOST_BRACKETS = 300
LONGEST_WORD = 4096

Device = Literal["auto", "cpu", "cuda", "mps"]


def _require(holds: bool, field: str, value: object, rule: str) -> None:
    if not holds:
        raise InputError(f"{field} = {shown(value)}: {rule}")


def _require_number(section: Any, *fields: str) -> None:
    """Reject strings, booleans and non-finite numbers that a YAML file may bring."""
    for field in fields:
        value: Any = getattr(section, field)
        whole = "float" not in str(section.__dataclass_fields__[field].type)
        kinds: tuple[type, ...] = (int,) if whole else (int, float)
        good = type(value) in kinds and abs(value) < 1e18  # a bool is no number here, and nan is below nothing
        _require(
            good,
            field,
            value,
            "must be a whole number" if whole else "must be a finite number, in YAML for instance 1.0e-3",
        )


def _is_word(value: object) -> bool:
    """Whether a value is a text that can be printed, and be a name or a path."""
    return isinstance(value, str) and value.isprintable() and len(value) <= LONGEST_WORD


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which images, what part of each, and how the training set is cut."""

    source: Annotated[str | None, tyro.conf.arg(name="data", metavar="WHERE")] = None
    """Folder with trainingset.npy and testingset.npy, or the named source demo, hw8 or lfw.
    Default: data/ if it holds the homework, else demo."""
    crop: int | None = None
    """Side in pixels of the centre crop that the model sees; None keeps the whole image."""
    flip: bool = False
    """Mirror training images left to right at random."""
    calibration_share: float = 0.05
    """Share of the training set held out to calibrate scores."""
    development_share: float = 0.05
    """Share of the training set held out to measure them."""
    held_out_minimum: int = 200
    """Images in each held-out part at the least, where the data allow it (never over a fifth of them)."""
    held_out_maximum: int = 5000
    """Images in each held-out part at the most, whatever its share: more would only take memory."""
    split_seed: int = 0
    """Seed of the cut; apart from the run's seed, so that runs with other seeds hold out the same images."""

    def __post_init__(self) -> None:
        numbers = "calibration_share", "development_share", "held_out_minimum", "held_out_maximum", "split_seed"
        _require_number(self, *numbers)
        _require(self.source is None or _is_word(self.source), "data", self.source, "must be a folder or name")
        good = self.crop is None or (type(self.crop) is int and 4 <= self.crop < 2**16)
        _require(good, "crop", self.crop, "must be a side of at least 4 pixels, or None")
        _require(isinstance(self.flip, bool), "flip", self.flip, "must be true or false")
        for name in ("calibration_share", "development_share"):
            _require(0 < getattr(self, name) <= 0.4, name, getattr(self, name), "must lie in (0, 0.4]")
        _require(self.held_out_minimum >= 1, "held_out_minimum", self.held_out_minimum, "must be at least 1")
        enough = self.held_out_maximum >= self.held_out_minimum
        _require(enough, "held_out_maximum", self.held_out_maximum, "must be at least held_out_minimum")
        _require(0 <= self.split_seed < 2**32, "split_seed", self.split_seed, "must lie in [0, 2**32)")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Which autoencoder, and its own options."""

    name: Annotated[str, tyro.conf.arg(name="model")] = "resnet"
    """A registered model (see hw8/models/)."""
    options: Annotated[dict[str, Any], tyro.conf.Fixed] = dataclasses.field(default_factory=dict)
    """The model's own options by name, for instance latent or widths."""

    def __post_init__(self) -> None:
        _require(_is_word(self.name), "model", self.name, "must be the name of a model")
        good = isinstance(self.options, dict) and all(isinstance(key, str) for key in self.options)
        _require(good, "model options", self.options, "must map option names to values")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Objective and optimisation."""

    loss: Literal["mse", "l1", "bce"] = "mse"
    """Reconstruction loss: mean squared or mean absolute error of pixels in [-1, 1], or binary
    cross-entropy of pixels in [0, 1]."""
    epochs: int = 12
    """Passes over the training part."""
    least_steps: int = 400
    """Steps at the least: with few images there are more epochs, of batches of 64 images. 0: exactly `epochs`, as also
    wherever epochs are asked for by name (train.py --epochs 3)."""
    batch_size: int = 128
    """Images a step, at the most."""
    part_size: int | None = None
    """Images worked on at once on a CPU, whose cache holds no larger batches: their gradients are added up, where the
    model allows it (no statistics of the batch, as in BatchNorm). A GPU takes the batch whole. Default: 128 for models
    with convolutions, 400 for others."""
    compile: bool = False
    """Compile the model before it trains (torch.compile; needs a C++ compiler on a CPU): a minute's wait for quicker
    steps."""
    lr: float = 2e-3
    """Peak learning rate of AdamW."""
    final_lr_share: float = 0.02
    """Learning rate at the last step, as a share of the peak (cosine between)."""
    warmup_share: float = 0.05
    """Share of all steps over which the learning rate climbs to its peak."""
    weight_decay: float = 1e-4
    """Decoupled weight decay of matrices and kernels (not of biases and normalisation)."""
    clip_norm: float = 1.0
    """Largest norm of the gradient; larger ones are scaled down to it."""
    ema_decay: float = 0.995
    """Decay a step of the averaged weights that are scored and saved; 0 uses the raw weights."""
    patience: int | None = None
    """Stop after this many epochs without a lower held-out loss; None trains to the end."""
    save_minutes: float = 10.0
    """Save the state for --resume at least this often, besides after epochs (short ones are saved together, four times
    a minute)."""

    def __post_init__(self) -> None:
        numbers = {field.name for field in dataclasses.fields(self)} - {"loss", "patience", "part_size", "compile"}
        _require_number(self, *sorted(numbers))
        _require(self.loss in ("mse", "l1", "bce"), "loss", self.loss, "must be mse, l1 or bce")
        _require(self.least_steps >= 0, "least_steps", self.least_steps, "must not be negative")
        _require(self.batch_size >= 2, "batch_size", self.batch_size, "must be at least 2 (BatchNorm needs two images)")
        _require(isinstance(self.compile, bool), "compile", self.compile, "must be true or false")
        good = self.part_size is None or (type(self.part_size) is int and 1 <= self.part_size < 1e9)
        _require(good, "part_size", self.part_size, "must be a number of images >= 1, or None")
        for name in ("epochs", "lr", "clip_norm", "save_minutes"):
            _require(getattr(self, name) > 0, name, getattr(self, name), "must be positive")
        _require(0 <= self.final_lr_share <= 1, "final_lr_share", self.final_lr_share, "must lie in [0, 1]")
        for name in ("warmup_share", "ema_decay"):
            _require(0 <= getattr(self, name) < 1, name, getattr(self, name), "must lie in [0, 1)")
        _require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "must not be negative")
        good = self.patience is None or (type(self.patience) is int and 1 <= self.patience < 1e9)
        _require(good, "patience", self.patience, "must be a number of epochs >= 1, or None")


@dataclasses.dataclass(frozen=True)
class ScoreConfig:
    """How an image becomes a score."""

    score: str = "l1"
    """Evidence that is the score: l1, mean absolute error of pixels in [-1, 1]; mse, mean squared error; rse, root of
    the summed squared error (the course's); joint, the distance of all `parts` from normal images; or what
    else there is (see docs/methods.md and docs/scoring.md)."""
    parts: tuple[str, ...] = ()
    """Evidence, by name, that the score `joint` puts together."""
    distance: Literal["mahalanobis", "neighbours"] = "mahalanobis"
    """How far vectors, and `joint`, are from normal: by a fitted Gaussian, or by the nearest calibration normals."""
    fit_on: Literal["calibration", "training"] = "calibration"
    """Normals that distances are fitted to: the calibration split, or training images (better for small sets, if the
    model does not know its training images by heart); p-values come from the calibration split either way."""
    transductive: bool = False
    """Also learn from the unlabelled test images, when they are scored, what tells them from training normals."""
    score_batch_size: int = 256
    """Images scored at once."""

    def __post_init__(self) -> None:
        _require_number(self, "score_batch_size")
        good = isinstance(self.score, str) and self.score.isidentifier()
        _require(good, "score", self.score, "must be the name of a piece of evidence, for instance l1")
        named = isinstance(self.parts, list | tuple) and all(
            isinstance(n, str) and n.isidentifier() for n in self.parts
        )
        named = named and len(set(self.parts)) == len(self.parts)
        _require(named, "parts", self.parts, "must be a list of names of evidence, each once")
        object.__setattr__(self, "parts", tuple(self.parts))  # a list, if it comes from YAML
        known = self.distance in ("mahalanobis", "neighbours")
        _require(known, "distance", self.distance, "must be mahalanobis or neighbours")
        known = self.fit_on in ("calibration", "training")
        _require(known, "fit_on", self.fit_on, "must be calibration or training")
        _require(isinstance(self.transductive, bool), "transductive", self.transductive, "must be true or false")
        number = self.score.removesuffix("_two_sided")
        _require(number in (self.score, *self.parts), "score", self.score, f"needs {number} among the parts")
        _require(self.score != "joint" or bool(self.parts), "parts", self.parts, "the score joint needs some")
        _require(self.score_batch_size > 0, "score_batch_size", self.score_batch_size, "must be positive")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """One training run; `config.yaml` in its folder holds exactly this."""

    preset: Annotated[str, tyro.conf.Fixed] = ""
    """The named run this one starts from (see hw8/config/presets.py); empty for none."""
    seed: int = 0
    """Seed of weights, order and augmentation; the same one gives the same weights on the same CPU and data."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the model; auto takes bf16 autocast where the processor or GPU has it."""
    tracker: Literal["tensorboard", "wandb", "mlflow"] = "tensorboard"
    """Where curves, and pictures of held-out images, go: TensorBoard's events in the run folder, always, and Weights &
    Biases or MLflow besides (pip install wandb or mlflow)."""
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    scoring: ScoreConfig = dataclasses.field(default_factory=ScoreConfig)

    def __post_init__(self) -> None:
        _require_number(self, "seed")
        _require(_is_word(self.preset), "preset", self.preset, "must be a name")
        _require(0 <= self.seed < 2**32, "seed", self.seed, "must lie in [0, 2**32)")
        _require(self.device in ("auto", "cpu", "cuda", "mps"), "device", self.device, "must be auto, cpu, cuda or mps")
        known = self.tracker in ("tensorboard", "wandb", "mlflow")
        _require(known, "tracker", self.tracker, "must be tensorboard, wandb or mlflow")
        _require(self.precision in ("auto", "fp32", "bf16"), "precision", self.precision, "must be auto, fp32 or bf16")


SECTIONS = {"data": DataConfig, "model": ModelConfig, "train": TrainConfig, "scoring": ScoreConfig}


def to_yaml(config: RunConfig) -> str:
    """The run's settings as YAML text, sections in the order of RunConfig."""
    import yaml

    return yaml.safe_dump(_plain(dataclasses.asdict(config)), sort_keys=False)


def read_config(path: Path) -> RunConfig:
    """Read a `config.yaml`. Raises InputError if it is missing, not YAML, or holds an unknown or bad field."""
    try:
        text = read_text(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a config.yaml that train.py wrote") from None
    except ValueError as error:
        raise InputError(f"{path}: not YAML ({error}); mend it, or train again") from None
    return from_yaml(text, str(path))


def from_yaml(text: str, name: str) -> RunConfig:
    """The settings that `to_yaml` wrote. Raises InputError, with the name, for anything else and for a bad field."""
    import yaml

    try:
        if sum(map(text.count, "[{")) > MOST_BRACKETS:
            raise ValueError("it has more lists than any settings need")  # PyYAML's time grows with their square
        # An alias of an alias of an alias unfolds to gigabytes; train.py never writes one.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise ValueError("it has an alias (*NAME); write the value out")
        values = yaml.safe_load(text)
    except Exception as error:  # a bad value fails inside PyYAML in more ways than it documents
        raise InputError(f"{name}: not YAML ({' '.join(str(error).split())[:160]}); mend it, or train again") from None
    if not isinstance(values, dict):
        raise InputError(f"{name}: must map field names to values")
    try:
        return from_mapping(values)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def from_mapping(values: dict[str, Any]) -> RunConfig:
    """The run's settings from nested plain values, as `to_yaml` writes them. Raises InputError for a bad field."""
    if isinstance(values.get("train"), dict):
        # Runs made before there was such a setting trained for exactly their epochs, and resume so.
        values = values | {"train": {"least_steps": 0} | values["train"]}
    sections = {name: _build(kind, values.get(name, {}), f"{name}.") for name, kind in SECTIONS.items()}
    config: RunConfig = _build(RunConfig, values | sections, "")
    return config


def _build(kind: type[Any], values: Any, prefix: str) -> Any:
    """Construct a config section from a mapping, naming any field it does not know."""
    _require(isinstance(values, dict), prefix.rstrip("."), values, "must map field names to values")
    known = [field.name for field in dataclasses.fields(kind)]
    for name in values:
        _require(name in known, f"{prefix}{name}", values[name], f"unknown field; known: {', '.join(known)}")
    return kind(**values)


def _plain(value: Any) -> Any:
    """Tuples as lists, so that YAML stays plain."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
