"""A run's folder: what is in it, how it is made, found and loaded."""

import contextlib
import itertools
import json
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hw8.base.device import channels_last
from hw8.base.errors import InputError, command
from hw8.base.files import open_regular, read_text, write_text, written_aside
from hw8.base.lock import is_left_over
from hw8.base.processes import processes
from hw8.config import RUNS, RunConfig, read_config, to_yaml
from hw8.data.arrays import Images
from hw8.models import Model, create_model

WEIGHTS, CALIBRATION, APPEARANCE = "weights.", "calibration.", "appearance."


class RunFolder:
    """`runs/NAME/`: config.yaml, model.safetensors (weights and calibration), resume.pt, metrics.csv, summary.json."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config, self.model = path / "config.yaml", path / "model.safetensors"
        self.resume, self.metrics, self.summary = path / "resume.pt", path / "metrics.csv", path / "summary.json"

    @classmethod
    def choose(cls, config: RunConfig, out: Path | None) -> "RunFolder":
        """The folder for a new run: `out` or, without it, runs/PRESET, runs/PRESET-2 and so on, then made at once.

        Raises InputError if it holds something. Of several processes the first decides.
        """
        job = processes()
        if out is None and job.main:
            name = config.preset or config.model.name
            names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
            out = next(path for path in map(RUNS.joinpath, names) if _claimed(path))
        folder = cls(job.from_first(out or Path()))
        if job.main:
            folder.check_empty()
        return folder

    def check_empty(self) -> None:
        """Raise InputError if the folder holds something, or is none."""
        out = self.path
        if out.exists() and (not out.is_dir() or not all(map(is_left_over, out.iterdir()))):
            hint = f"go on with `resume` {out}, or " if self.config.exists() else ""
            raise InputError(f"`out` {out}: already there and not empty; {hint}choose another folder")

    def begin(self, config: RunConfig) -> None:
        """Write a new run's config.yaml into the folder, which is ours. Raises InputError if it holds something."""
        if processes().main:
            self.check_empty()
        write_text(self.config, to_yaml(config))

    def remove_empty(self) -> None:
        """Remove the folder if nothing came of it."""
        if processes().main:
            with contextlib.suppress(OSError):
                self.path.rmdir()

    @classmethod
    def open(cls, path: Path) -> tuple["RunFolder", RunConfig]:
        """An existing run and its settings. Raises InputError if there is none."""
        folder = cls(path)
        if not folder.config.exists():
            raise InputError(f"{path}: no run here (config.yaml is missing); {command('train')} makes one")
        return folder, read_config(folder.config)

    def save_weights(
        self,
        model: nn.Module,
        images: Images,
        calibration: dict[str, Tensor] | None = None,
        appearance: dict[str, Tensor] | None = None,
    ) -> None:
        """Write model.safetensors, whole or not at all; without calibration the run counts as unfinished.

        `appearance` is what the images look like (see `hw8.scoring.appearance`). `images` are those the model was
        trained on: their side and channels stand in the file's header.
        """
        from safetensors.torch import save

        tensors = {WEIGHTS + name: value for name, value in model.state_dict().items()}
        tensors |= {CALIBRATION + name: value for name, value in (calibration or {}).items()}
        tensors |= {APPEARANCE + name: value for name, value in (appearance or {}).items()}
        # One entry only: safetensors writes several in an order that changes from process to process.
        header = {"images": f"{images.side}x{images.side}x{images.channels}"}
        content = save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, header)
        with written_aside(self.model) as aside:
            aside.write_bytes(content)

    def load(self, config: RunConfig) -> tuple[Model, dict[str, Tensor]]:
        """The trained model on the CPU, ready to score, and its calibration (empty if unfinished).

        Raises InputError if there is none, or it does not fit the run's settings.
        """
        tensors, (side, channels) = self._read_tensors()
        try:
            weights = _part(tensors, WEIGHTS)
            model = create_model(config.model.name, side, channels, config.model.options, weights)
        except InputError as error:
            raise InputError(f"{self.model}: does not fit {self.config} ({error}); train again") from None
        channels_last(model).eval()
        return model, _part(tensors, CALIBRATION)

    def appearance(self) -> dict[str, Tensor]:
        """What the run's images look like, as it was saved; empty for a run that did not. Raises InputError."""
        return _part(self._read_tensors()[0], APPEARANCE)

    def image_shape(self) -> tuple[int, int]:
        """Side in pixels and channels of the images that the run's model takes. Raises InputError."""
        return self._read_tensors()[1]

    def _read_tensors(self) -> tuple[dict[str, Tensor], tuple[int, int]]:
        from safetensors import SafetensorError, safe_open

        try:
            open_regular(self.model).close()  # a pipe would be waited for
            with safe_open(self.model, "pt") as file:
                side, _, channels = (int(size) for size in (file.metadata() or {})["images"].split("x"))
                return {name: file.get_tensor(name) for name in file.keys()}, (side, channels)  # noqa: SIM118 (no mapping)
        except FileNotFoundError:
            if reason := _read_summary(self.summary).get("failed"):
                raise InputError(f"{self.path}: its training failed: {reason}") from None
            hint = f"go on with {command('train', '--resume', self.path)}"
            raise InputError(f"{self.model}: no weights yet; {hint}") from None
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            reason = " ".join(str(error).split())[:120]
            raise InputError(f"{self.model}: cannot be loaded ({reason}); train again") from None

    def fingerprint(self) -> str:
        """The fingerprint of the images the run was trained on. Raises InputError if summary.json does not tell."""
        try:
            return str(_read_summary(self.summary)["data"]["fingerprint"])
        except (KeyError, TypeError):
            raise InputError(f"{self.summary}: does not name the training images; train again") from None

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write summary.json, whole or not at all."""
        write_text(self.summary, json.dumps(summary, indent=2) + "\n")


def _read_summary(path: Path) -> dict[str, Any]:
    """What a summary.json holds; nothing if it cannot be read."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        if isinstance(found := json.loads(read_text(path)), dict):
            return found
    return {}


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _claimed(path: Path) -> bool:
    """Make the folder, unless it is there already: then it is another training's, perhaps one that just started."""
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        return False
    except OSError as error:
        raise InputError(f"{path}: cannot be made ({error.strerror}); choose another folder with `out`") from None
    return True


def newest_run(runs: Path = RUNS) -> Path:
    """The run finished last, of those that did not fail. Raises InputError if there is none."""
    summaries = sorted(runs.glob("*/summary.json"), key=lambda path: path.stat().st_mtime)
    summaries = [path for path in summaries if "failed" not in _read_summary(path)]
    if not summaries:
        raise InputError(f"`run`: no finished run in {runs}/; train one first: {command('train')}")
    return summaries[-1].parent
