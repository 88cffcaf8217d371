"""The state of a training, saved so that a resumed one ends in the same weights, bit for bit."""

import copy
import dataclasses
import io
import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hw8.base.errors import InputError, error_reason
from hw8.base.files import atomic_write
from hw8.base.processes import processes
from hw8.config import TrainConfig
from hw8.models.output import Model
from hw8.training.averaging import averaging_decay, update_average
from hw8.training.history import Row
from hw8.training.optimizers import AdamW, Muon


@dataclasses.dataclass
class TrainingProgress:
    """How far a training has come; plain values only, so that it loads without unpickling code."""

    command: str = ""
    step: int = 0
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    epoch_sums: dict[str, float] = dataclasses.field(default_factory=dict)
    best_loss: float = float("inf")
    best_epoch: int = 0
    stopped_early: bool = False
    skipped_steps: int = 0
    history: list[Row] = dataclasses.field(default_factory=list)


class TrainingState:
    """Model, its averaged copy (which scores and is saved), optimizer, gradient scaler and progress.

    The scaler multiplies the loss so that small gradients do not vanish in float16, and skips steps whose gradients
    overflow (Micikevicius et al. 2018); in other precisions it does nothing.
    """

    def __init__(self, model: Model, config: TrainConfig, fingerprint: str, precision: str = "fp32") -> None:
        self.model, self.config, self.fingerprint = model, config, fingerprint
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        # Weight decay is for matrices: biases and normalisation weights would only lose their scale by it.
        matrices = [p for p in model.parameters() if p.ndim >= 2]
        vectors = [p for p in model.parameters() if p.ndim < 2]
        device = next(model.parameters()).device.type
        groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        gpu, kind = device == "cuda", Muon if config.optimizer == "muon" else AdamW
        # In a step that is replayed (see CudaGraph) the rates of its capture would stay, were they not on the GPU.
        self.decay: float | Tensor = torch.zeros((), device=device) if gpu else 0.0
        lr = torch.full((), config.lr, device=device) if gpu else config.lr
        # Muon is fused on GPUs only: its fused step leaves it to us to skip what the gradient scaler found to overflow.
        fused = gpu or (kind is AdamW and device == "cpu")
        self.optimizer: AdamW = kind(groups, lr=lr, fused=fused, capturable=gpu)
        self.optimizer._warned_capturable_if_run_uncaptured = True  # of the steps before the capture
        self.scaler = torch.amp.GradScaler(device, enabled=precision == "fp16")
        self.progress = TrainingProgress()

    def set_rates(self, lr: float) -> None:
        """Set what the next step depends on: the learning rate, and the decay of the averaged weights."""
        for group in self.optimizer.param_groups:
            group["lr"] = _replaced(group["lr"], lr)
        self.decay = _replaced(self.decay, averaging_decay(self.progress.step, self.config.ema_decay))

    def update_average(self) -> None:
        """Move the averaged weights towards the current ones."""
        update_average(self.average, self.model, self.decay)

    def save(self, path: Path) -> None:
        """Write everything needed to resume to `path`, whole or not at all.

        The states of random number generators are not needed: every draw is a function of seed and step.
        """
        content = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "progress": dataclasses.asdict(self.progress),
            "fingerprint": self.fingerprint,
        }
        buffer = io.BytesIO()  # in memory first: torch reports a full disk by an error of its own
        torch.save(content, buffer)
        with atomic_write(path) as temporary:
            temporary.write_bytes(buffer.getbuffer())

    def load(self, path: Path) -> None:
        """Load a saved state. Raises InputError if it is missing, damaged, or of other data or another model.

        On a GPU before the first step: a captured step keeps the tensors that it was captured with.
        """
        content = processes().on_rank_0(lambda: _read(path))
        try:
            if content["fingerprint"] != self.fingerprint:
                raise InputError(f"{path}: was trained on other images than these; give the same `data` as before")
            self.model.load_state_dict(content["model"])
            self.average.load_state_dict(content["average"])
            # Saved on another device, a group has that one's kind of learning rate and of step.
            for group, saved in zip(self.optimizer.param_groups, content["optimizer"]["param_groups"], strict=True):
                saved |= {name: group[name] for name in ("lr", "fused", "capturable")}
            self.optimizer.load_state_dict(content["optimizer"])
            if scaler := content.get("scaler"):  # empty but for float16
                self.scaler.load_state_dict(scaler)
            self.progress = TrainingProgress(**content["progress"])
        except InputError:
            raise
        except Exception as error:  # another model's state, or another file of torch.save
            raise InputError(
                f"{path}: does not fit this run's config.yaml ({error_reason(error)}); train again"
            ) from None


def _replaced(old: float | Tensor, new: float) -> float | Tensor:
    """The new number, put in place of the old one if that is on a GPU."""
    return old.fill_(new) if isinstance(old, Tensor) else new


def _read(path: Path) -> dict[str, Any]:
    """The content of the file: plain values and tensors, never code (weights_only)."""
    try:
        with path.open("rb") as file, warnings.catch_warnings(action="ignore"):  # of pickles by others than torch
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails inside the reader in more ways than it documents
        # PyTorch's own words for an unsafe pickle explain how to load it nevertheless.
        unsafe = isinstance(error, pickle.UnpicklingError)
        reason = "it holds more than plain data" if unsafe else error_reason(error)
        raise InputError(f"{path}: cannot be loaded ({reason}); start the training again") from None
