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

from hw8.base.errors import InputError, printable
from hw8.base.files import read_text, write_text
from hw8.base.processes import processes
from hw8.config import RunConfig

if TYPE_CHECKING:
    from PIL import Image

FILE = "tracker.json"
PROJECT = "hw8"
IDENTITY = re.compile(r"[A-Za-z0-9_-]{1,64}")
PASSWORD = re.compile(r"(?<=://)[^\s/]*@")  # http://NAME:PASSWORD@HOST
LONGEST_FINISH = 600.0  # seconds that Weights & Biases may take at the end; of itself it waits for ever
WITHOUT = "go on without it: `tracker` tensorboard"
OTHERWISE = {
    "wandb": f"run `wandb login`, set WANDB_MODE=offline to keep it on this machine, or {WITHOUT}",
    "mlflow": f"mend MLFLOW_TRACKING_URI, unset it to keep it on this machine, or {WITHOUT}",
}

log = logging.getLogger(__name__)


class Tracker:
    """One run at a tracking service, or at none. A service that fails is told of once; training goes on without it.

    A resumed run goes on under its identity there, and the epochs that it repeats are not told again.
    """

    def __init__(self, service: Any = None, identity: str = "", file: Path = Path(FILE), reached: int = -1) -> None:
        self._service, self._identity, self._file, self._reached = service, identity, file, reached
        self._lost = False

    def remember(self) -> None:
        """Write down the run's identity at the service, and how far it was told, for when the run is resumed."""
        if self._service is not None and not self._lost:
            known = {"tracker": self._service.name, "id": self._identity, "reached": self._reached}
            write_text(self._file, json.dumps(known) + "\n")

    def log(self, values: dict[str, float], step: int) -> None:
        """Numbers by name, at a step."""
        if step > self._reached:
            self._try(lambda service: service.log(values, step=step))

    def log_epoch(self, values: dict[str, float], name: str, picture: "Image.Image", step: int) -> None:
        """The numbers and the picture of an epoch that ends at this step."""
        if step <= self._reached or self._service is None:
            return
        self.log(values, step)
        self._try(lambda service: _log_picture(service, name, picture, step))
        self._reached = step
        self.remember()

    def finish(self, values: dict[str, float], step: int) -> None:
        """The last numbers of a run that came to its end; told again if a resumed run comes to it again."""
        self._try(lambda service: service.log(values, step=step))

    def close(self, ended: bool = True) -> None:
        """Hand over what is pending, also to a service that failed: its run in this process has to end.

        `ended` is whether the training came to its end. Ctrl-C stops the waiting, and nothing else.
        """
        if self._service is None:
            return
        try:
            _end(self._service, ended)
        except KeyboardInterrupt:
            log.warning("%s is not waited for; the end of this run may be missing there", self._service.name)
        except Exception as error:
            if not self._lost:
                log.warning(
                    "%s failed (%s); the end of this run may be missing there", self._service.name, _reason(error)
                )
        self._service = None

    def _try(self, action: Callable[[Any], object]) -> None:
        if self._service is None or self._lost:
            return
        try:
            action(self._service)
        except Exception as error:  # whatever a service's client raises, a training must not end by it
            log.warning("%s failed (%s); going on without it", self._service.name, _reason(error))
            self._lost = True


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
    job.refuse_together(problem)
    try:
        yield tracker
    except BaseException:
        tracker.close(ended=False)
        raise
    tracker.close()


def _started(name: str, folder: Path, flat: dict[str, object]) -> Tracker:
    """The service, started with the run's name and, for a resumed run, the identity that it has there."""
    file = folder / FILE
    known = _remembered(file, name)
    started: Any = None
    try:
        from accelerate.state import PartialState

        PartialState()  # Accelerate's trackers write to its log, which wants to know how many processes there are
        create = _wandb if name == "wandb" else _mlflow
        service, identity = create(folder.resolve().name, known.get("id"))
        service.main_process_only = False  # only the first process is here, and must not wait for others
        service.start()
        started = service
        if name == "mlflow":
            identity = service.tracker.info.run_id
        service.store_init_configuration({key: _plain(value) for key, value in flat.items()})
    except InputError:
        raise
    except ImportError as error:
        raise InputError(f"`tracker` {name}: {error}; pip install {name}, or {WITHOUT}") from None
    except KeyboardInterrupt:
        Tracker(started).close(ended=False)
        raise
    except Exception as error:  # each client has its own kinds
        Tracker(started).close(ended=False)
        raise InputError(f"`tracker` {name}: cannot start ({_reason(error)}); {OTHERWISE[name]}") from None
    return Tracker(service, str(identity), file, known.get("reached", -1))


def _wandb(name: str, identity: str | None) -> tuple[Any, str]:
    """Accelerate's tracker for Weights & Biases, not yet started, and the run's identity there."""
    import wandb
    from accelerate.tracking import WandBTracker

    if wandb.run is not None:  # it would be taken for ours, and ended with it
        raise InputError("`tracker` wandb: a run of Weights & Biases is open in this process; end it: wandb.finish()")
    identity = identity or secrets.token_hex(4)
    settings = {}
    if "WANDB_FINISH_TIMEOUT" not in os.environ and hasattr(wandb.Settings(), "finish_timeout"):
        settings["finish_timeout"] = LONGEST_FINISH
    project = os.environ.get("WANDB_PROJECT") or PROJECT
    return WandBTracker(project, name=name, id=identity, resume="allow", settings=settings), identity


def _mlflow(name: str, identity: str | None) -> tuple[Any, str]:
    """Accelerate's tracker for MLflow, not yet started, which gives a new run its identity."""
    from accelerate.tracking import MLflowTracker

    service = MLflowTracker(PROJECT, run_name=name)
    service.run_id = identity or service.run_id  # a resumed run's own comes before MLFLOW_RUN_ID
    return service, ""


def _log_picture(service: Any, name: str, picture: "Image.Image", step: int) -> None:
    if service.name == "wandb":
        service.log_images({name: [picture]}, step=step)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"step-{step:08d}.png"
        picture.save(file)
        service.log_artifact(str(file), name)


def _end(service: Any, ended: bool) -> None:
    """End the service's run: as finished, or as one that was stopped or failed."""
    if ended:
        service.finish()
    elif service.name == "wandb":
        service.tracker.finish(exit_code=1)
    else:
        import mlflow

        mlflow.end_run("KILLED")


def _remembered(file: Path, name: str) -> dict[str, Any]:
    """What tracker.json says of an earlier part of this run at this service; nothing if it cannot be read."""
    with contextlib.suppress(OSError, ValueError, RecursionError, InputError):
        found = json.loads(read_text(file))
        good = isinstance(found, dict) and found.get("tracker") == name and type(found.get("reached")) is int
        if good and isinstance(found.get("id"), str) and IDENTITY.fullmatch(found["id"]):
            return dict(found)
    return {}


def _reason(error: Exception) -> str:
    text = PASSWORD.sub("", " ".join(str(error).split())) or type(error).__name__
    return printable(text, 200).rstrip(".")


def _plain(value: object) -> object:
    """A setting as the services take it: a number or a short text."""
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)
