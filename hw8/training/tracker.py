"""A training's curves at Weights & Biases or MLflow, in addition to TensorBoard, through Accelerate's trackers.

Weights & Biases takes its account from `wandb login` and its project from WANDB_PROJECT; MLflow takes its server from
MLFLOW_TRACKING_URI and its experiment from MLFLOW_EXPERIMENT_NAME. Either gets held-out images besides the curves.
"""

import contextlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw8.base.errors import InputError, error_reason
from hw8.base.files import read_text, write_text
from hw8.base.processes import processes
from hw8.config import RunConfig

if TYPE_CHECKING:
    from PIL import Image

FILE = "tracker.json"  # in the run folder: the run's identity at the service, and the last step logged there
PROJECT = "hw8"
PASSWORD = re.compile(r"(?<=://)[^\s/]*@")  # http://NAME:PASSWORD@HOST, as error messages of MLflow quote it
MAX_FINISH = 600.0  # seconds that Weights & Biases may upload at the end; without a limit it waits for ever
WITHOUT = "continue without it: `tracker` tensorboard"
REMEDIES = {
    "wandb": f"run `wandb login`, set WANDB_MODE=offline to keep it on this machine, or {WITHOUT}",
    "mlflow": f"correct MLFLOW_TRACKING_URI, unset it to keep it on this machine, or {WITHOUT}",
}

log = logging.getLogger(__name__)


class Tracker:
    """One run at a tracking service, or at none. A service that fails is reported once; training continues without it.

    A resumed run continues under its identity there, and the epochs that it repeats are not logged again.
    """

    def __init__(self, service: Any = None, identity: str = "", file: Path = Path(FILE), reached: int = -1) -> None:
        self._service, self._identity, self._file, self._reached = service, identity, file, reached
        self._lost = False

    def remember(self) -> None:
        """Write down the run's identity at the service and the last step logged, for when the run is resumed."""
        if self._service is not None and not self._lost:
            note = {"tracker": self._service.name, "id": self._identity, "reached": self._reached}
            write_text(self._file, json.dumps(note) + "\n")

    def log(self, values: dict[str, float], step: int) -> None:
        """Log numbers by name, at a step."""
        if step > self._reached:
            self._try(lambda service: service.log(values, step=step))

    def log_epoch(self, values: dict[str, float], name: str, picture: "Image.Image", step: int) -> None:
        """Log the numbers and the picture of an epoch that ends at this step."""
        if step > self._reached:
            self.log(values, step)
            self._try(lambda service: _log_picture(service, name, picture, step))
            self._reached = step
            self.remember()

    def finish(self, values: dict[str, float], step: int) -> None:
        """Log the last numbers of a finished run, again if a resumed run finishes again."""
        self._try(lambda service: service.log(values, step=step))

    def close(self, ended: bool = True) -> None:
        """End the service's run in this process, also after a failure; `ended` is whether the training finished."""
        if self._service is None:
            return
        try:
            _end(self._service, ended)
        except (Exception, KeyboardInterrupt) as error:  # Ctrl-C stops the waiting, and nothing else
            if not self._lost:
                name = self._service.name
                log.warning("%s failed (%s); the end of this run may be missing there", name, _reason(error))
        self._service = None

    def _try(self, action: Callable[[Any], object]) -> None:
        if self._service is None or self._lost:
            return
        try:
            action(self._service)
        except Exception as error:  # whatever a service's client raises, it must not end the training
            log.warning("%s failed (%s); continuing without it", self._service.name, _reason(error))
            self._lost = True


@contextlib.contextmanager
def tracked(config: RunConfig, folder: Path, flat: dict[str, object]) -> Iterator[Tracker]:
    """Yield the tracker that the settings ask for; `flat` are the settings to show at the service.

    Of several processes rank 0 has it. Raises InputError in all of them if it cannot be started.
    """
    tracker = Tracker()

    def start() -> None:
        nonlocal tracker
        tracker = _started(config.tracker, folder, flat)

    if config.tracker != "tensorboard":
        processes().on_rank_0(start)
    try:
        yield tracker
    except BaseException:
        tracker.close(ended=False)
        raise
    tracker.close()


def _started(name: str, folder: Path, flat: dict[str, object]) -> Tracker:
    """Start the service with the run's name and, for a resumed run, the identity that it has there."""
    note = _remembered(folder / FILE, name)
    try:
        from accelerate.state import PartialState

        PartialState()  # Accelerate's logger, which its trackers use, needs it
        service = (_wandb if name == "wandb" else _mlflow)(folder.resolve().name, note.get("id"))
        service.start()
        plain = (bool, int, float, str, type(None))  # what the services take
        settings = {key: value if isinstance(value, plain) else str(value) for key, value in flat.items()}
        service.store_init_configuration(settings)
    except InputError:
        raise
    except ImportError as error:
        raise InputError(f"`tracker` {name}: {error}; pip install {name}, or {WITHOUT}") from None
    except Exception as error:  # each client has its own kinds
        raise InputError(f"`tracker` {name}: cannot start ({_reason(error)}); {REMEDIES[name]}") from None
    identity = service.tracker.id if name == "wandb" else service.tracker.info.run_id
    return Tracker(service, identity, folder / FILE, note.get("reached", -1))


def _wandb(name: str, identity: str | None) -> Any:
    """Accelerate's tracker for Weights & Biases, not yet started."""
    import wandb
    from accelerate.tracking import WandBTracker

    if wandb.run is not None:  # it would be taken for ours, and ended with it
        raise InputError("`tracker` wandb: a run of Weights & Biases is open in this process; end it: wandb.finish()")
    settings = {}
    if "WANDB_FINISH_TIMEOUT" not in os.environ and hasattr(wandb.Settings(), "finish_timeout"):  # not in 0.19
        settings["finish_timeout"] = MAX_FINISH
    project = os.environ.get("WANDB_PROJECT") or PROJECT
    return WandBTracker(project, name=name, id=identity, resume="allow", settings=settings)


def _mlflow(name: str, identity: str | None) -> Any:
    """Accelerate's tracker for MLflow, not yet started."""
    from accelerate.tracking import MLflowTracker

    service = MLflowTracker(PROJECT, run_name=name)
    service.run_id = identity or service.run_id  # a resumed run's own identity comes before MLFLOW_RUN_ID
    return service


def _log_picture(service: Any, name: str, picture: "Image.Image", step: int) -> None:
    if service.name == "wandb":
        service.log_images({name: [picture]}, step=step)
    else:
        import mlflow  # whose tracker in Accelerate takes no images

        mlflow.log_image(picture, f"{name}/step-{step:08d}.png")


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
    """The note that an earlier part of this run left about this service; empty if there is none."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        note = json.loads(read_text(file))
        if note["tracker"] == name:
            return {"id": str(note["id"]), "reached": int(note["reached"])}
    return {}


def _reason(error: BaseException) -> str:
    return PASSWORD.sub("", error_reason(error, 200) or type(error).__name__).rstrip(".")
