"""The state of a training, saved so that a resumed one ends in the same weights, bit for bit."""

import copy
import dataclasses
import io
import math
import os
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch

from hw8.base.errors import InputError
from hw8.base.files import open_regular, written_aside
from hw8.base.processes import processes
from hw8.config import TrainConfig
from hw8.models.output import Model
from hw8.training.history import COLUMNS, Row
from hw8.training.schedule import averaging_decay

LONGEST = 100_000  # characters of a command
ABSURD = 1e15


@dataclasses.dataclass
class Progress:
    """How far a training has come; plain numbers only, so that it loads without unpickling code."""

    command: str = ""
    step: int = 0
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    epoch_sums: dict[str, float] = dataclasses.field(default_factory=dict)
    best_loss: float = float("inf")
    best_epoch: int = 0
    stopped_early: bool = False
    history: list[Row] = dataclasses.field(default_factory=list)

    def check(self) -> None:
        """Raise ValueError for values that no training comes to, which a damaged or foreign file may hold."""
        for field in dataclasses.fields(self):
            value, known = getattr(self, field.name), type(getattr(Progress(), field.name))
            if type(value) not in ((int, float) if known is float else (known,)):
                raise ValueError(f"progress.{field.name} is of another type")
        rows = [self.epoch_sums, *self.history]
        numbers = [self.seconds, self.epoch_seconds, *(v for row in rows for v in row.values())]
        if not all(type(value) in (int, float) and abs(value) < ABSURD for value in numbers):  # nor is nan
            raise ValueError("progress holds something that is no number")
        if math.isnan(self.best_loss) or not all(row.keys() >= set(COLUMNS) for row in self.history):
            raise ValueError("progress lacks a number")
        if not 0 <= self.best_epoch <= len(self.history) <= self.step < 2**40 or len(self.command) > LONGEST:
            raise ValueError("progress contradicts itself")


class TrainingState:
    """Model, its averaged copy (which is scored and saved), optimizer and progress."""

    def __init__(self, model: Model, config: TrainConfig, fingerprint: str) -> None:
        self.model, self.config, self.fingerprint = model, config, fingerprint
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        matrices = [p for p in model.parameters() if p.ndim >= 2]
        vectors = [p for p in model.parameters() if p.ndim < 2]
        groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=config.lr, fused=next(model.parameters()).device.type != "mps")
        self.progress = Progress()

    def update_average(self) -> None:
        """Move the averaged weights and normalisation statistics towards the current ones.

        Other buffers (codebooks, centres, unit vectors, counters) mean nothing as an average, and are copied.
        """
        share = 1 - averaging_decay(self.progress.step, self.config)
        averaged, current = self.average.state_dict(), self.model.state_dict()
        learned = {name for name, _ in self.model.named_parameters()}
        blended = [name for name in current if name in learned or name.endswith(("running_mean", "running_var"))]
        torch._foreach_lerp_([averaged[name] for name in blended], [current[name] for name in blended], share)
        for name in current.keys() - set(blended):
            averaged[name].copy_(current[name])

    def save(self, path: Path) -> None:
        """Write everything needed to go on to `path`, whole or not at all.

        The random number generators need no place in it: every draw is a function of seed and step.
        """
        content = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": dataclasses.asdict(self.progress),
            "fingerprint": self.fingerprint,
        }
        buffer = io.BytesIO()  # in memory first: torch reports a full disk as an error of its own kind
        torch.save(content, buffer)
        with written_aside(path) as aside:
            aside.write_bytes(buffer.getbuffer())

    def load(self, path: Path) -> None:
        """Take up a saved state. Raises InputError if it is missing, damaged, or of other data or another model."""
        job = processes()
        content = job.from_first(_read(path) if job.main else {})
        if content["fingerprint"] != self.fingerprint:
            raise InputError(f"{path}: was trained on other images than these; give the same `data` as before")
        try:
            progress = Progress(**content["progress"])
            progress.check()
            for own, saved in ((self.model, content["model"]), (self.average, content["average"])):
                _check_alike("weights", own.state_dict(), saved)
            self._check_optimizer(content["optimizer"])
            self.model.load_state_dict(content["model"])
            self.average.load_state_dict(content["average"])
            self.optimizer.load_state_dict(content["optimizer"])
            self.progress = progress
        except (RuntimeError, TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
            reason = " ".join(str(error).split())[:120]
            raise InputError(f"{path}: does not fit this run's config.yaml ({reason}); train again") from None

    def _check_optimizer(self, saved: dict[str, Any]) -> None:
        """Raise ValueError unless every saved moment is like its parameter, which PyTorch does not look at."""
        if not isinstance(saved, dict):
            raise ValueError("the optimizer's state is none")
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        for index, moments in dict(saved["state"]).items():
            like = {"step": torch.zeros(()), "exp_avg": parameters[index], "exp_avg_sq": parameters[index]}
            _check_alike(f"moments of parameter {index}", like, moments)
        for own, other in zip(self.optimizer.param_groups, saved["param_groups"], strict=True):
            for name, value in own.items():
                if name not in ("params", "lr") and value != other.get(name):
                    raise ValueError(f"the optimizer's {name} is another")


def _read(path: Path) -> dict[str, Any]:
    """What the file holds: plain values and tensors, never code (weights_only), never more than its own size."""
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            _check_archive(file, size)
            with warnings.catch_warnings(action="ignore"):  # of other pickles than torch.save's
                content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        _check_size(content, size)
    except Exception as error:  # a damaged file fails inside the reader in more ways than it documents
        reason = " ".join(str(error).split())[:120]
        if isinstance(error, pickle.UnpicklingError):  # whose own words explain how to load it unsafely
            reason = "it holds something else than plain data"
        raise InputError(f"{path}: cannot be loaded ({reason}); start the training again") from None
    if not isinstance(content, dict) or {"model", "average", "optimizer", "progress", "fingerprint"} - content.keys():
        raise InputError(f"{path}: is not a state that train.py wrote; start the training again")
    return content


def _check_alike(what: str, own: Mapping[str, torch.Tensor], saved: Any) -> None:
    """Raise ValueError unless `saved` has the same names, shapes and kinds of tensors, all of finite numbers."""
    if not isinstance(saved, dict) or saved.keys() != own.keys():
        raise ValueError(f"the {what} have other names")
    for name, value in saved.items():
        like = own[name]
        if not isinstance(value, torch.Tensor) or value.device.type == "meta":
            raise ValueError(f"{name} of the {what} is no tensor")
        if (value.shape, value.dtype, value.layout) != (like.shape, like.dtype, like.layout):
            raise ValueError(f"{name} of the {what} is of another shape or kind")
        if not bool(torch.isfinite(value).all()):
            raise ValueError(f"{name} of the {what} holds numbers that are not finite")


def _check_archive(file: BinaryIO, size: int) -> None:
    """Raise ValueError unless it is a zip whose entries are stored as they are, as torch.save leaves them."""
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("its entries are compressed")
    if sum(entry.file_size for entry in entries) > size:
        raise ValueError("its entries are larger than the file")
    file.seek(0)


def _check_size(content: Any, size: int) -> None:
    """Raise ValueError if tensors in nested dicts and lists show more than is stored of them, or are too many."""
    waiting, seen = [content], 0
    while waiting:
        item = waiting.pop()
        seen += 1
        if isinstance(item, torch.Tensor) and item.numel() * item.element_size() > item.untyped_storage().nbytes():
            raise ValueError("a tensor unfolds to more than the file holds")
        if isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list | tuple):
            waiting += item
        if seen > size:  # a list of lists of one list
            raise ValueError("it unfolds to more than the file holds")
