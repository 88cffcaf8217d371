"""A training's curves in Weights & Biases or MLflow as well, through Accelerate's trackers.

TensorBoard's events are in the run folder either way. Weights & Biases takes its account from `wandb login` and its
project from WANDB_PROJECT; MLflow its server from MLFLOW_TRACKING_URI and its experiment from MLFLOW_EXPERIMENT_NAME.
Either sends held-out images to where it keeps its figures.
"""

import contextlib
import json
import logging
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw8.config import RunConfig
from hw8.errors import InputError, printable
from hw8.files import read_text, write_text
from hw8.processes import processes

if TYPE_CHECKING:
    from PIL import Image

FILE = "tracker.json"
PROJECT = "hw8"
IDENTITY = re.compile(r"[A-Za-z0-9_-]{1,64}")
OTHERWISE = {
    "wandb": "run `wandb login`, set WANDB_MODE=offline to keep it on this machine, or leave --tracker away",
    "mlflow": "mend MLFLOW_TRACKING_URI, unset it to keep it on this machine, or leave --tracker away",
}

log = logging.getLogger(__name__)


class Tracker:
    """One run at a tracking service, or at none. A service that fails is told of once; training goes on without it.

    A resumed run goes on under its identity there, and the epochs that it repeats are not told again.
    """

    def __init__(self, service: Any = None, identity: str = "", file: Path = Path(FILE), reached: int = -1) -> None:
        self._service, self._identity, self._file, self._reached = service, identity, file, reached

    def log(self, values: dict[str, float], step: int) -> None:
        """Numbers by name, at a step."""
        if step > self._reached:
            self._try(lambda service: service.log(values, step=step))

    def log_epoch(self, values: dict[str, float], name: str, picture: "Image.Image", step: int) -> None:
        """The numbers and the picture of an epoch that ends at this step."""
        if step <= self._reached or self._service is None:
            return
        self.log(values, step)
        if self._service is not None and self._service.name == "wandb":
            self._try(lambda service: service.log_images({name: [picture]}, step=step))
        else:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / f"step-{step:08d}.png"
                picture.save(file)
                self._try(lambda service: service.log_artifact(str(file), name))
        self._reached = step
        if self._service is not None:
            known = {"tracker": self._service.name, "id": self._identity, "reached": step}
            write_text(self._file, json.dumps(known) + "\n")

    def finish(self, values: dict[str, float], step: int) -> None:
        """The last numbers of a run that came to its end; told again if a resumed run comes to it again."""
        self._try(lambda service: service.log(values, step=step))

    def close(self) -> None:
        """Hand over what is pending."""
        self._try(lambda service: service.finish())

    def _try(self, action: Callable[[Any], object]) -> None:
        if self._service is None:
            return
        try:
            action(self._service)
        except Exception as error:  # whatever a service's client raises, a training must not end by it
            log.warning("%s failed (%s); going on without it", self._service.name, _reason(error))
            self._service = None


@contextlib.contextmanager
def tracked(config: RunConfig, folder: Path, flat: dict[str, object]) -> Iterator[Tracker]:
    """The tracker that the settings ask for, while the block runs; `flat` are the settings to be shown there.

    Of several processes the first has it. Raises InputError in all of them if it cannot be started.
    """
    job = processes()
    tracker, problem = Tracker(), ""
    if job.main and config.tracker != "tensorboard":
        try:
            tracker = _started(config.tracker, folder, flat)
        except InputError as error:
            problem = str(error)
    problem = job.from_first(problem)
    if problem:
        raise InputError(problem)
    try:
        yield tracker
    finally:
        tracker.close()


def _started(name: str, folder: Path, flat: dict[str, object]) -> Tracker:
    """The service, started with the run's name and, for a resumed run, the identity that it has there."""
    file = folder / FILE
    known = _remembered(file, name)
    try:
        from accelerate.state import PartialState
        from accelerate.tracking import MLflowTracker, WandBTracker

        PartialState()  # Accelerate's trackers write to its log, which wants to know how many processes there are
        identity = known.get("id")
        service: Any
        if name == "wandb":
            identity = identity or secrets.token_hex(4)
            project = os.environ.get("WANDB_PROJECT", PROJECT)
            service = WandBTracker(project, name=folder.name, id=identity, resume="allow")
        else:
            service = MLflowTracker(PROJECT, run_id=identity, run_name=folder.name)
        service.main_process_only = False  # only the first process is here, and must not wait for others
        service.start()
        if name == "mlflow":
            identity = service.tracker.info.run_id
        service.store_init_configuration({key: _plain(value) for key, value in flat.items()})
    except ImportError as error:
        raise InputError(f"--tracker {name}: {error}; pip install {name}, or leave --tracker away") from None
    except Exception as error:  # each client has its own kinds
        raise InputError(f"--tracker {name}: cannot start ({_reason(error)}); {OTHERWISE[name]}") from None
    return Tracker(service, str(identity), file, known.get("reached", -1))


def _remembered(file: Path, name: str) -> dict[str, Any]:
    """What tracker.json says of an earlier part of this run at this service; nothing if it cannot be read."""
    with contextlib.suppress(OSError, ValueError, RecursionError, InputError):
        found = json.loads(read_text(file))
        good = isinstance(found, dict) and found.get("tracker") == name and type(found.get("reached")) is int
        if good and IDENTITY.fullmatch(str(found.get("id"))):
            return dict(found)
    return {}


def _reason(error: Exception) -> str:
    return printable(" ".join(str(error).split()), 200).rstrip(".")


def _plain(value: object) -> object:
    """A setting as the services take it: a number or a short text."""
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)
