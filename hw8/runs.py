"""A run's folder: what is in it, how it is made, found and loaded."""

import itertools
import json
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hw8.config import RunConfig, read_config, to_yaml
from hw8.data.arrays import Images
from hw8.device import channels_last
from hw8.errors import InputError
from hw8.files import write_text, written_aside
from hw8.models import Model, create_model
from hw8.processes import processes

RUNS = Path("runs")
WEIGHTS, CALIBRATION = "weights.", "calibration."


class RunFolder:
    """`runs/NAME/`: config.yaml, model.safetensors (weights and calibration), resume.pt, metrics.csv, summary.json."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config, self.model = path / "config.yaml", path / "model.safetensors"
        self.resume, self.metrics, self.summary = path / "resume.pt", path / "metrics.csv", path / "summary.json"

    @classmethod
    def create(cls, config: RunConfig, out: Path | None) -> "RunFolder":
        """Make a new run's folder and write its config.yaml.

        Without `out` it is runs/PRESET, or runs/PRESET-2 and so on. Raises InputError if `out` holds something. Of
        several processes the first decides.
        """
        job = processes()
        folder = cls(job.from_first(cls._free(config, out) if job.main else Path()))
        write_text(folder.config, to_yaml(config))
        return folder

    @staticmethod
    def _free(config: RunConfig, out: Path | None) -> Path:
        """The folder for a new run, checked."""
        if out is None:
            name = config.preset or config.model.name
            names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
            out = next(path for path in map(RUNS.joinpath, names) if _claimed(path))
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            hint = f"go on with --resume {out}, or " if (out / "resume.pt").exists() else ""
            raise InputError(f"--out {out}: already there and not empty; {hint}choose another folder")
        return out

    @classmethod
    def open(cls, path: Path) -> tuple["RunFolder", RunConfig]:
        """An existing run and its settings. Raises InputError if there is none."""
        folder = cls(path)
        if not folder.config.exists():
            raise InputError(f"{path}: no run here (config.yaml is missing); python scripts/train.py makes one")
        return folder, read_config(folder.config)

    def save_weights(self, model: nn.Module, images: Images, calibration: dict[str, Tensor] | None = None) -> None:
        """Write model.safetensors, whole or not at all; without calibration the run counts as unfinished.

        `images` are those the model was trained on: their side and channels stand in the file's header.
        """
        from safetensors.torch import save

        tensors = {WEIGHTS + name: value for name, value in model.state_dict().items()}
        tensors |= {CALIBRATION + name: value for name, value in (calibration or {}).items()}
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
        model = create_model(config.model.name, side, channels, config.model.options)
        weights = {name.removeprefix(WEIGHTS): value for name, value in tensors.items() if name.startswith(WEIGHTS)}
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:160]
            raise InputError(f"{self.model}: does not fit {self.config} ({reason}); train again") from None
        calibration = {name.removeprefix(CALIBRATION): v for name, v in tensors.items() if name.startswith(CALIBRATION)}
        channels_last(model).eval()
        return model, calibration

    def image_shape(self) -> tuple[int, int]:
        """Side in pixels and channels of the images that the run's model takes. Raises InputError."""
        return self._read_tensors()[1]

    def _read_tensors(self) -> tuple[dict[str, Tensor], tuple[int, int]]:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.model, "pt") as file:
                side, _, channels = (int(size) for size in (file.metadata() or {})["images"].split("x"))
                return {name: file.get_tensor(name) for name in file.keys()}, (side, channels)  # noqa: SIM118 (no mapping)
        except FileNotFoundError:
            hint = f"go on with python scripts/train.py --resume {self.path}"
            raise InputError(f"{self.model}: no weights yet; {hint}") from None
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            reason = " ".join(str(error).split())[:120]
            raise InputError(f"{self.model}: cannot be loaded ({reason}); train again") from None

    def fingerprint(self) -> str:
        """The fingerprint of the images the run was trained on. Raises InputError if summary.json does not tell."""
        try:
            return str(json.loads(self.summary.read_text(encoding="utf-8"))["data"]["fingerprint"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self.summary}: does not name the training images ({error}); train again") from None

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write summary.json, whole or not at all."""
        write_text(self.summary, json.dumps(summary, indent=2) + "\n")


def _claimed(path: Path) -> bool:
    """Make the folder, unless it is there already: then it is another training's, perhaps one that just started."""
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        return False
    except OSError as error:
        raise InputError(f"{path}: cannot be made ({error.strerror}); choose another folder with --out") from None
    return True


def newest_run(runs: Path = RUNS) -> Path:
    """The run finished last. Raises InputError if there is none."""
    summaries = sorted(runs.glob("*/summary.json"), key=lambda path: path.stat().st_mtime)
    if not summaries:
        raise InputError(f"--run: no finished run in {runs}/; train one first: python scripts/train.py")
    return summaries[-1].parent
