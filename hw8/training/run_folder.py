"""A run's folder: which files it holds, and how it is made, found and loaded."""

import contextlib
import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

from torch import Tensor

from hw8.base.device import channels_last
from hw8.base.errors import InputError, command, did_you_mean, error_reason
from hw8.base.files import atomic_write, read_text, write_text
from hw8.base.lock import is_left_over
from hw8.base.processes import processes
from hw8.config import RUNS, RunConfig, read_config, to_yaml
from hw8.config.presets import changed
from hw8.models import Model, create_model

SHOWN = 3  # runs that a message names
WEIGHTS, CALIBRATION, APPEARANCE = "weights.", "calibration.", "appearance."  # names in model.safetensors begin so


class RunFolder:
    """`runs/NAME/`: config.yaml, model.safetensors (weights and calibration), resume.pt, metrics.csv, summary.json."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file, self.model_file = path / "config.yaml", path / "model.safetensors"
        self.resume_file, self.metrics_file = path / "resume.pt", path / "metrics.csv"
        self.summary_file = path / "summary.json"

    @classmethod
    def choose(cls, config: RunConfig, out: Path | None) -> "RunFolder":
        """Return the folder for a new run: `out`, or the first free one of runs/PRESET, runs/PRESET-2 and so on.

        A folder that was chosen here is made at once, so that no other training takes it. Raises InputError if the
        folder holds something. Of several processes rank 0 decides.
        """
        return cls(processes().on_rank_0(lambda: _chosen(config, out)))

    def check_empty(self) -> None:
        """Raise InputError if the folder holds something, or is a file."""
        out = self.path
        if out.exists() and (not out.is_dir() or not all(map(is_left_over, out.iterdir()))):
            summary = _read_summary(self.summary_file)
            hint = f"resume it with `resume` {out}, or " if self.config_file.exists() and not summary else ""
            if summary.get("failed"):
                hint = "its training failed: remove it, or "
            what = "a finished run" if "held_out" in summary else "not empty" if out.is_dir() else "a file"
            raise InputError(f"`out` {out}: already there and {what}; {hint}choose another folder")

    def begin(self, config: RunConfig) -> None:
        """Write a new run's config.yaml into the locked folder. Raises InputError if the folder holds something."""
        processes().on_rank_0(self.check_empty)
        write_text(self.config_file, to_yaml(config))

    def record(self, threads: int, source: str | None) -> None:
        """Record in config.yaml that the run continues with this number of threads, on its images in this place."""
        config = read_config(self.config_file)
        continued = changed(config, threads=threads, data={"source": source})
        if continued != config and processes().is_main:
            write_text(self.config_file, to_yaml(continued))

    def is_finished(self) -> bool:
        """Whether the run was trained and measured."""
        return "held_out" in _read_summary(self.summary_file)

    def remove_empty(self) -> None:
        """Remove the folder if nothing was written."""
        if processes().is_main:
            with contextlib.suppress(OSError):
                self.path.rmdir()

    @classmethod
    def open(cls, path: Path) -> tuple["RunFolder", RunConfig]:
        """Return an existing run and its settings. Raises InputError if there is none."""
        folder = cls(path)
        if not folder.config_file.exists():
            if (path / "result.json").exists():
                problem = "holds a classical baseline, which only a comparison fits and scores"
                raise InputError(f"{path}: {problem}; give the folder of a trained run")
            if inside := sorted(config.parent.name for config in path.glob("*/config.yaml")):
                raise InputError(f"{path}: holds several runs, {', '.join(inside[:SHOWN])}; give the folder of one")
            configs = [*RUNS.glob("*/config.yaml"), *RUNS.glob("*/*/config.yaml")]
            hint = did_you_mean(str(path), [str(config.parent) for config in configs])
            if not hint and (newest := finished_runs()[:SHOWN]):
                hint = f" the newest runs are {', '.join(map(str, newest))};"
            raise InputError(f"{path}: no run here (config.yaml is missing);{hint} {command('train')} makes one")
        return folder, read_config(folder.config_file)

    def save_model(self, content: bytes) -> None:
        """Write model.safetensors, whole or not at all."""
        with atomic_write(self.model_file) as temporary:
            temporary.write_bytes(content)

    def load_model(self, config: RunConfig) -> "SavedModel":
        """Load model.safetensors, the model on the CPU. Raises InputError if it is missing or does not fit `config`."""
        try:
            content = self.model_file.read_bytes()
        except FileNotFoundError:
            hint = f"resume it with {command('train', '--resume', self.path)}"
            raise InputError(f"{self.model_file}: no weights yet; {hint}") from None
        except OSError as error:
            raise InputError(f"{self.model_file}: cannot be loaded ({error_reason(error)}); train again") from None
        return SavedModel.from_bytes(content, config, str(self.model_file))

    def check_not_failed(self) -> None:
        """Raise InputError, with the reason, if the training failed."""
        if reason := _read_summary(self.summary_file).get("failed"):
            raise InputError(f"{self.path}: its training failed: {reason}")

    def read_summary(self) -> dict[str, Any]:
        """Return summary.json. Raises InputError if it is missing or damaged."""
        try:
            return dict(json.loads(read_text(self.summary_file)))
        except (OSError, ValueError, TypeError) as error:
            hint = "finish the run with `resume`, or train again"
            raise InputError(f"{self.summary_file}: cannot be read ({error_reason(error)}); {hint}") from None

    def fingerprint(self) -> str:
        """Return the fingerprint of the training images. Raises InputError if summary.json does not hold it."""
        try:
            return str(_read_summary(self.summary_file)["data"]["fingerprint"])
        except (KeyError, TypeError):
            hint = f"finish the run with {command('train', '--resume', self.path)}"
            raise InputError(f"{self.summary_file}: does not name the training images; {hint}") from None

    def picture_crop(self) -> str | None:
        """Return how the pictures of the training images were cropped; None if it is not recorded."""
        data = _read_summary(self.summary_file).get("data")
        return data.get("picture_crop") if isinstance(data, dict) else None

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write summary.json, whole or not at all."""
        write_text(self.summary_file, json.dumps(summary, indent=2) + "\n")


@dataclasses.dataclass(frozen=True)
class SavedModel:
    """A model with what model.safetensors holds besides its weights.

    `calibration` is empty until the training is finished; `side` and `channels` are those of the images it takes.
    """

    model: Model
    side: int
    channels: int
    calibration: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    appearance: dict[str, Tensor] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_bytes(cls, content: bytes, config: RunConfig, name: str) -> "SavedModel":
        """Load what `to_bytes` returned. Raises InputError, with the name, for anything else or another `config`."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            tensors = load(content)
            length = int.from_bytes(content[:8], "little")
            images = json.loads(content[8 : 8 + length])["__metadata__"]["images"]
            side, _, channels = (int(size) for size in images.split("x"))
        except (SafetensorError, KeyError, ValueError) as error:
            raise InputError(f"{name}: cannot be loaded ({error_reason(error)}); train again") from None
        weights, calibration, appearance = (
            {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
            for prefix in (WEIGHTS, CALIBRATION, APPEARANCE)
        )
        try:
            model = create_model(config.model.name, side, channels, config.model.options, weights)
        except InputError as error:
            raise InputError(f"{name}: does not fit the run's config.yaml ({error}); train again") from None
        return cls(channels_last(model).eval(), side, channels, calibration, appearance)

    def to_bytes(self) -> bytes:
        """Return the content of model.safetensors; side and channels stand in its header."""
        from safetensors.torch import save

        tensors = {WEIGHTS + name: value for name, value in self.model.state_dict().items()}
        tensors |= {CALIBRATION + name: value for name, value in self.calibration.items()}
        tensors |= {APPEARANCE + name: value for name, value in self.appearance.items()}
        # One entry only: safetensors writes several in an order that changes from process to process.
        header = {"images": f"{self.side}x{self.side}x{self.channels}"}
        return save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, header)


def run_name(folder: RunFolder | None) -> str:
    """How messages name a run: by its folder, if it has one."""
    return "the run" if folder is None else str(folder.path)


def newest_run(runs: Path = RUNS) -> Path:
    """Return the run that finished last. Raises InputError if there is none."""
    finished = finished_runs(runs)
    if not finished:
        raise InputError(f"`run`: no finished run in {runs}/; train one first: {command('train')}")
    return finished[0]


def finished_runs(runs: Path = RUNS) -> list[Path]:
    """Return the finished runs that did not fail, the newest first; those of subfolders only where there are no others.

    `make baseline` makes its runs in a subfolder. Those of comparisons and benchmarks lie in others.
    """
    for pattern in ("*/summary.json", "*/*/summary.json"):
        if finished := [path for path in runs.glob(pattern) if "held_out" in _read_summary(path)]:
            return [path.parent for path in sorted(finished, key=lambda path: path.stat().st_mtime, reverse=True)]
    return []


def _chosen(config: RunConfig, out: Path | None) -> Path:
    """The folder that `choose` returns."""
    if out is None:
        name = config.preset or config.model.name
        names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
        out = next(path for path in map(RUNS.joinpath, names) if _try_to_make(path))
    RunFolder(out).check_empty()
    return out


def _try_to_make(path: Path) -> bool:
    """Make the folder; False if it is there already and so belongs to another training, which may just have started."""
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        return False
    except OSError as error:
        raise InputError(f"{path}: cannot be made ({error_reason(error)}); choose another folder with `out`") from None
    return True


def _read_summary(path: Path) -> dict[str, Any]:
    """The content of a summary.json; empty if it cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        if isinstance(summary := json.loads(read_text(path)), dict):
            return summary
    return {}
