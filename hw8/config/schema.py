"""Every setting of a run: one dataclass per concern, each field with its meaning, unit and limits."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from pydantic import Field

from hw8.base.errors import InputError, error_reason, shown
from hw8.base.files import read_text
from hw8.config.limits import (
    MAX_COUNT,
    Count,
    CountOrZero,
    NotNegative,
    Positive,
    Seed,
    Share,
    Word,
    settings_dataclass,
)

RUNS = Path("runs")  # where runs are made and looked for unless another folder is named
SUBMISSIONS = Path("submissions")  # where files are written that people upload or look at
Device = Literal["auto", "cpu", "cuda", "mps"]
Distance = Literal["mahalanobis", "neighbours", "euclidean"]
# Two parts are held out, so that at least a fifth of the images is left to learn from.
HeldOutShare = Annotated[float, Field(gt=0, le=0.4)]


@settings_dataclass("data")
class DataConfig:
    """Which images, what part of each, and how the training set is split."""

    source: Annotated[Word | None, tyro.conf.arg(name="data", metavar="WHERE")] = None
    """Folder with trainingset.npy and testingset.npy, or the named source demo, hw8 or lfw.
    Default: data/ if it holds the homework, else demo."""
    crop: Annotated[int, Field(ge=4, lt=2**16)] | None = None
    """Side in pixels of the centre crop that the model sees; None keeps the whole image."""
    flip: bool = False
    """Mirror training images left to right at random."""
    calibration_share: HeldOutShare = 0.05
    """Share of the training set held out to calibrate scores."""
    development_share: HeldOutShare = 0.05
    """Share of the training set held out to measure scores."""
    held_out_minimum: Count = 200
    """Smallest number of images in each held-out part, where the data allow it (never over a fifth of them)."""
    held_out_maximum: Count = 5000
    """Largest number of images in each held-out part, whatever its share: more would only take memory."""
    split_seed: Seed = 0
    """Seed of the split; separate from the run's seed, so that runs with other seeds hold out the same images."""

    def __post_init__(self) -> None:
        if self.held_out_maximum < self.held_out_minimum:
            raise ValueError(f"held_out_maximum = {self.held_out_maximum}: must be at least held_out_minimum")


@settings_dataclass("model")
class ModelConfig:
    """Which autoencoder, and its own options."""

    name: Annotated[Word, tyro.conf.arg(name="model")] = "resnet"
    """A registered model (see hw8/models/)."""
    options: Annotated[dict[str, Any], tyro.conf.Fixed] = dataclasses.field(default_factory=dict)
    """The model's own options by name, for instance latent or widths; those left out have their defaults."""


@settings_dataclass("train")
class TrainConfig:
    """Objective and optimisation."""

    loss: Literal["mse", "l1", "bce"] = "mse"
    """Reconstruction loss: mean squared or mean absolute error of pixels in [-1, 1], or binary
    cross-entropy of pixels in [0, 1]."""
    epochs: Count = 12
    """Passes over the training part."""
    least_steps: CountOrZero = 400
    """Smallest number of steps: with few images there are more epochs, of batches of 64 images. 0: exactly `epochs`,
    as also wherever epochs are given by name (train.py --epochs 3)."""
    most_steps: Count | None = None
    """Largest number of steps: the training ends when it is reached, also within an epoch. Set by train.py --minutes;
    None: no limit but `epochs`."""
    batch_size: Annotated[int, Field(ge=2, le=MAX_COUNT)] = 128
    """Largest number of images per step; BatchNorm needs two."""
    part_size: Count | None = None
    """Images per microbatch on a CPU, whose cache holds no larger batches: the gradients of a batch's microbatches
    are summed, where the model allows it (no statistics of the batch, as in BatchNorm). A GPU takes the whole batch.
    Default: 128 for models with convolutions, 400 for others."""
    compile: bool = False
    """Compile the model before training (torch.compile; needs a C++ compiler on a CPU): a wait of a minute for faster
    steps."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """AdamW; or, for the kernels of convolutions, Muon, which learns more per step (see docs/experiments.md)."""
    lr: Positive = 2e-3
    """Peak learning rate."""
    final_lr_share: Annotated[float, Field(ge=0, le=1)] = 0.02
    """Learning rate at the last step, as a share of the peak (cosine between)."""
    warmup_share: Share = 0.05
    """Share of all steps over which the learning rate rises to its peak."""
    weight_decay: NotNegative = 1e-4
    """Decoupled weight decay of matrices and kernels (not of biases and normalisation)."""
    clip_norm: Positive = 1.0
    """Largest norm of the gradient; larger ones are scaled down to it."""
    ema_decay: Share = 0.995
    """Decay per step of the averaged weights, which are scored and saved; 0 uses the raw weights."""
    patience: Count | None = None
    """Stop after this many epochs without a lower held-out loss; None trains to the end."""
    save_minutes: Positive = 2.0
    """Longest time in minutes between two saves of the state for --resume. It is also saved after epochs (after short
    ones, four times per minute)."""


# Names of scores: of all `parts` together, of several scores together, and the end of the name of the two-sided
# distance of evidence that is one number.
JOINT, FUSED, TWO_SIDED = "joint", "fused", "_two_sided"


@settings_dataclass("scoring")
class ScoreConfig:
    """How an image becomes a score."""

    score: Word = "l1"
    """Evidence that is the score: l1, mean absolute error of pixels in [-1, 1]; mse, mean squared error; rse, root of
    the summed squared error (the course's); joint, the distance of all `parts` from normal images; fused, how
    improbable the scores of `fused` are together; or another one
    that the model gives (see docs/methods.md and docs/scoring.md)."""
    parts: Annotated[tuple[Word, ...], Field(strict=False)] = ()  # not strict: YAML has lists only
    """Names of the evidence that the score `joint` combines."""
    fused: Annotated[tuple[Word, ...], Field(strict=False)] = ()
    """Names of the scores whose -log p the score `fused` adds up (Fisher's rule)."""
    distance: Distance = "mahalanobis"
    """How the distance of vectors, and of `joint`, from normal is measured: by a fitted Gaussian; to the nearest
    normals, in its units (neighbours); or to them in the vectors' own units (euclidean)."""
    fit_on: Literal["calibration", "training"] = "calibration"
    """Normals that distances are fitted to: the calibration split, or training images (better for small sets, if the
    model does not overfit its training images); p-values come from the calibration split either way."""
    transductive: bool = False
    """When a test set is scored, also learn from its unlabelled images what separates them from training normals."""
    score_batch_size: Count = 256
    """Images scored at once."""

    def __post_init__(self) -> None:
        for setting, scores in (("score", (self.score,)), ("fused", self.fused)):
            for score in scores:
                one_sided = score.removesuffix(TWO_SIDED)
                if one_sided not in (score, *self.parts):
                    raise ValueError(f"{setting} = {score!r}: needs {one_sided} among the parts")
        if self.score == FUSED and not self.fused:
            raise ValueError("fused = (): the score fused combines other scores; name them, for instance latent l1")
        if FUSED in self.fused:
            raise ValueError(f"fused = {shown(self.fused)}: must name scores other than fused")
        if JOINT in (self.score, *self.fused) and not self.parts:
            raise ValueError(
                "parts = (): the score joint combines pieces of evidence; name them, for instance l1 texture"
            )
        for name, words in (("parts", self.parts), ("fused", self.fused)):
            if len(set(words)) < len(words):
                raise ValueError(f"{name} = {shown(words)}: must name each piece of evidence once")

    @property
    def evidence_names(self) -> tuple[str, ...]:
        """Names of the evidence behind the score."""
        return self.evidence_of(self.score)

    def evidence_of(self, score: str) -> tuple[str, ...]:
        """Names of the evidence behind this score."""
        if score == FUSED:
            return tuple(dict.fromkeys(name for part in self.fused for name in self.evidence_of(part)))
        return self.parts if score == JOINT else (score.removesuffix(TWO_SIDED),)


@settings_dataclass("")
class RunConfig:
    """One training run; `config.yaml` in its folder holds exactly this."""

    preset: Annotated[Word, tyro.conf.Fixed] = ""
    """The named run this one starts from (see hw8/config/presets.py); empty for none."""
    seed: Seed = 0
    """Seed of weights, order and augmentation; the same one gives the same weights on the same CPU and data."""
    device: Device = "auto"
    """Where to compute; auto uses a GPU if there is one."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Arithmetic of the model; auto uses bf16 autocast where the processor or GPU has it, and fp16 autocast with a
    scaled loss on GPUs that have only that (T4, V100)."""
    threads: Count | None = None
    """Threads that compute on a CPU. Default: one per core that other programs leave free, measured at the start and
    recorded here; they become fewer if an epoch falls below two thirds of the best rate because others use the cores.
    Another number gives other last digits."""
    tracker: Literal["tensorboard", "wandb", "mlflow"] = "tensorboard"
    """Where curves and pictures of held-out images go: always TensorBoard's events in the run folder; Weights &
    Biases or MLflow besides (pip install wandb or mlflow)."""
    unaligned: Word = ""
    """Preset whose settings replace this one's, where they were not changed, if the objects in the training images are
    not aligned (see docs/scoring.md); empty for none."""
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    scoring: ScoreConfig = dataclasses.field(default_factory=ScoreConfig)


# Of a run's folder. Whoever changes what a folder holds, so that this version could not read it, raises the number and
# writes it into config.yaml as `format`; a file without it has the first format.
FORMAT = 1
SECTIONS = {"data": DataConfig, "model": ModelConfig, "train": TrainConfig, "scoring": ScoreConfig}


def to_yaml(config: RunConfig) -> str:
    """The run's settings as YAML text, sections in the order of RunConfig."""
    import yaml

    # Through JSON, which makes lists of tuples: YAML has no plain form for those.
    values = json.loads(json.dumps(dataclasses.asdict(config), default=str))
    if config.threads is None:  # so that settings have the same text as before there was such a field
        del values["threads"]
    return yaml.safe_dump(values, sort_keys=False)


def read_config(path: Path, whole: bool = False) -> RunConfig:
    """Read a `config.yaml`. Raises InputError if it is missing, not YAML, or holds an unknown or bad field.

    What the file lacks has its default, as in runs of earlier versions, but for `train.least_steps`, which is 0 if
    `train` lacks it. With `whole`, a file that lacks a section is refused.
    """
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        reason = error_reason(error)
        raise InputError(f"{path}: cannot be read ({reason}); give a config.yaml that a training wrote") from None
    return from_yaml(text, str(path), whole)


def from_yaml(text: str, name: str, whole: bool = False) -> RunConfig:
    """The settings that `to_yaml` wrote. Raises InputError, starting with `name`, for anything else."""
    import yaml

    try:
        values = yaml.safe_load(text)
    except Exception as error:  # a bad value fails inside PyYAML in more ways than it documents
        raise InputError(f"{name}: not YAML ({error_reason(error, 160)}); mend it, or train again") from None
    if whole and isinstance(values, dict) and (missing := [name for name in SECTIONS if name not in values]):
        hint = "start from a config.yaml that a training wrote, or give options in place of a file"
        raise InputError(f"{name}: has no {', '.join(missing)}; {hint}")
    try:
        return from_mapping(values)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def from_mapping(values: Any) -> RunConfig:
    """The run's settings from nested plain values, as `to_yaml` writes them.

    Raises InputError for a bad field, and for a run of a later version of hw8, whose format is not known here.
    """
    values = dict(_fields(values, "the settings"))
    if (number := values.pop("format", FORMAT)) != FORMAT:
        raise InputError(f"format = {shown(number)}: written by a later hw8, while this one reads {FORMAT}; update hw8")
    sections = {name: _fields(values.get(name, {}), name) for name in SECTIONS}
    if "train" in values:
        # Runs made before there was such a setting trained for exactly their epochs, and resume so.
        sections["train"] = {"least_steps": 0} | sections["train"]
    return RunConfig(**values | {name: kind(**sections[name]) for name, kind in SECTIONS.items()})


def _fields(values: Any, name: str) -> dict[str, Any]:
    """The same values, if they map names to values. Raises InputError otherwise."""
    if not isinstance(values, dict) or not all(isinstance(field, str) for field in values):
        raise InputError(f"{name} = {shown(values)}: must map field names to values")
    return values
