"""Curves at a tracking service: the real clients, kept on this machine, and a service that misbehaves."""

import dataclasses
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from hw8.base.errors import InputError, Interrupted
from hw8.base.processes import Processes
from hw8.runs.train import resume_run, train_run
from hw8.training import loop, tracker
from hw8.training.tracker import FILE, Tracker

SCRIPTS = Path(__file__).parents[2] / "scripts"
PICTURE = Image.new("RGB", (4, 4))


class Service:
    """What hw8 uses of a tracker of Accelerate's."""

    name = "wandb"

    def __init__(self, broken: bool = False) -> None:
        self.broken, self.logged, self.finished = broken, [], False

    def log(self, values, step):
        if self.broken:
            raise ConnectionError("no route\nto host")
        self.logged.append((step, values))

    def log_images(self, values, step):
        self.logged.append((step, list(values)))

    def finish(self):
        self.finished = True


@pytest.fixture
def wandb_offline(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    wandb.teardown()  # which forgets the settings that an earlier test came with
    yield tmp_path / "wandb"
    wandb.teardown()


@pytest.fixture
def mlflow_here(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    yield mlflow
    mlflow.set_tracking_uri(before)


def test_what_a_resumed_run_repeats_is_not_told_again(tmp_path):
    service = Service()
    resumed = Tracker(service, "abc", tmp_path / FILE, reached=10)
    resumed.log({"loss": 1.0}, 10)
    resumed.log_epoch({"loss": 1.0}, "pictures", PICTURE, 10)
    assert service.logged == []
    resumed.log({"loss": 0.5}, 15)
    resumed.log_epoch({"epoch/loss": 0.4}, "pictures", PICTURE, 20)
    resumed.close()
    assert service.logged == [(15, {"loss": 0.5}), (20, {"epoch/loss": 0.4}), (20, ["pictures"])]
    assert service.finished
    assert json.loads((tmp_path / FILE).read_text()) == {"tracker": "wandb", "id": "abc", "reached": 20}


def test_a_service_that_fails_is_told_of_once_and_left(tmp_path, caplog):
    failing = Tracker(Service(broken=True), "abc", tmp_path / FILE)
    service = failing._service
    with caplog.at_level(logging.WARNING):
        failing.log({"loss": 1.0}, 1)
        failing.log_epoch({"loss": 1.0}, "pictures", PICTURE, 2)
        failing.close()
    assert service.finished, "its run would be in the way of the next one in this process"
    assert [record.getMessage() for record in caplog.records] == [
        "wandb failed (no route to host); continuing without it"
    ]
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ConnectionError("gone")])
def test_the_end_of_a_training_is_not_lost_by_a_service_that_does_not_end(tmp_path, caplog, error):
    class Endless(Service):
        def finish(self):
            raise error

    with caplog.at_level(logging.WARNING):
        Tracker(Endless(), "abc", tmp_path / FILE).close()
    assert "the end of this run may be missing there" in caplog.text


def test_no_password_is_repeated():
    error = ConnectionError("API request to http://me:secret@host:80/api failed; see https://user@host/x@y")
    assert tracker._reason(error) == "API request to http://host:80/api failed; see https://host/x@y"
    assert tracker._reason(KeyError()) == "KeyError"


def test_a_start_that_fails_at_the_first_process_fails_in_all(quick, tmp_path, monkeypatch):
    class Second(Processes):
        def broadcast(self, value):
            return (None, InputError("--tracker wandb: cannot start")) if value == (None, None) else value

    monkeypatch.setattr(tracker, "processes", lambda: Second(rank=1, world_size=2))
    monkeypatch.setattr(tracker, "_started", lambda *_: pytest.fail("only the first has a tracker"))
    with (
        pytest.raises(InputError, match="cannot start"),
        tracker.tracked(dataclasses.replace(quick, tracker="wandb"), tmp_path, {}),
    ):
        pytest.fail("it did not start")


def test_another_run_of_this_process_is_left_alone(tmp_path, wandb_offline):
    wandb = pytest.importorskip("wandb")
    own = wandb.init(project="own")
    with pytest.raises(InputError, match=r"is open in this process; end it: wandb\.finish\(\)"):
        tracker._started("wandb", tmp_path, {})
    assert wandb.run is own
    own.finish()
    with_us = tracker._started("wandb", tmp_path, {"seed": 0})
    assert with_us._service.tracker.settings.finish_timeout == tracker.MAX_FINISH
    with_us.close(ended=False)
    assert wandb.run is None


def test_a_run_of_mlflow_that_is_open_in_this_process_is_left_alone(tmp_path, mlflow_here):
    with mlflow_here.start_run() as own:
        with pytest.raises(InputError, match="already active"):
            tracker._started("mlflow", tmp_path, {})
        assert mlflow_here.active_run() is own


def test_a_resumed_run_has_its_own_identity_before_the_environments(tmp_path, monkeypatch, mlflow_here):
    first = tracker._started("mlflow", tmp_path, {})
    first.remember()
    first.close(ended=False)
    client = mlflow_here.MlflowClient()
    assert client.get_run(first._identity).info.status == "KILLED"
    other = client.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", other)
    again = tracker._started("mlflow", tmp_path, {})
    again.close()
    assert again._identity == first._identity
    assert client.get_run(first._identity).info.status == "FINISHED"
    monkeypatch.setenv("MLFLOW_RUN_ID", other)  # MLflow took it away with the run that ended
    new = tracker._started("mlflow", tmp_path / "new", {})
    new.close()
    assert new._identity == other


def test_a_run_stopped_in_its_first_epoch_goes_on_under_its_identity_or_without(
    quick, tmp_path, monkeypatch, wandb_offline
):
    original = loop.Trainer.step

    def stepped(self, *rows):
        original(self, *rows)
        if self.state.progress.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    logged, out = dataclasses.replace(quick, tracker="wandb"), tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "step", stepped)
        with pytest.raises(Interrupted):
            train_run(logged, out)
    first = json.loads((out / FILE).read_text())
    assert first["reached"] == -1
    shutil.copytree(out, tmp_path / "copy")
    resume_run(out)
    assert json.loads((out / FILE).read_text()) == first | {"reached": 15}
    monkeypatch.setattr(tracker, "_started", lambda *_: pytest.fail("the service is gone"))
    resume_run(tmp_path / "copy", quick)
    assert (tmp_path / "copy" / "model.safetensors").read_bytes() == (out / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match="seed = 1"):
        resume_run(tmp_path / "copy", dataclasses.replace(quick, seed=1))


def test_a_tracker_changes_no_bit(quick, tmp_path, wandb_offline):
    train_run(quick, tmp_path / "plain")
    train_run(dataclasses.replace(quick, tracker="wandb"), tmp_path / "logged")
    plain, logged = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("plain", "logged"))
    assert plain == logged
    note = json.loads((tmp_path / "logged" / FILE).read_text())
    (run,) = wandb_offline.glob(f"offline-run-*-{note['id']}")
    file = run / f"run-{note['id']}.wandb"
    ended = time.monotonic() + 20
    while b"unseen/macro_auc" not in file.read_bytes() and time.monotonic() < ended:
        time.sleep(0.05)  # its process closes the file a moment after the run is said to be finished
    content = file.read_bytes()
    for name in (b"epoch/held_out_loss", b"held_out/macro_auc", b"unseen/macro_auc", b"data.crop"):
        assert name in content, name
    assert len(list(run.glob("files/media/images/**/*.png"))) == 3


@pytest.mark.slow
def test_wandb_without_an_account_is_one_line_and_leaves_nothing(demo, tmp_path):
    pytest.importorskip("wandb")
    own = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    words = ["--preset", "fcn_crop", "--data", str(demo), "--tracker", "wandb"]
    result = subprocess.run(
        [sys.executable, str(SCRIPTS / "train.py"), *words],
        cwd=tmp_path,
        env=own | {"HOME": str(tmp_path), "PYTHONPATH": str(SCRIPTS.parent)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: --tracker wandb: cannot start (")
    assert "WANDB_MODE=offline" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_client_that_is_not_installed_is_one_line(quick, tmp_path, monkeypatch):
    from accelerate.tracking import MLflowTracker

    def start(self):
        raise ModuleNotFoundError("No module named 'mlflow'")

    monkeypatch.setattr(MLflowTracker, "start", start)
    with pytest.raises(InputError, match="No module named 'mlflow'; pip install mlflow, or continue without it"):
        train_run(dataclasses.replace(quick, tracker="mlflow"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_mlflow_keeps_curves_settings_and_pictures_of_a_run_that_was_stopped(quick, tmp_path, monkeypatch, mlflow_here):
    original = loop.Trainer.step

    def stepped(self, *rows):
        original(self, *rows)
        if self.state.progress.step == 7:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "step", stepped)
        with pytest.raises(Interrupted):
            train_run(dataclasses.replace(quick, tracker="mlflow"), tmp_path / "run")
    assert mlflow_here.active_run() is None
    result = resume_run(tmp_path / "run")
    client = mlflow_here.MlflowClient()
    (experiment,) = client.search_experiments(filter_string="name = 'hw8'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "run"
    assert run.data.params["train.epochs"] == "3"
    history = client.get_metric_history(run.info.run_id, "epoch/held_out_loss")
    assert [point.step for point in history] == [5, 10, 15]
    assert run.data.metrics["held_out/macro_auc"] == pytest.approx(result.held_out.common.macro.auc)
    pictures = client.list_artifacts(run.info.run_id, "held_out/images_and_reconstructions")
    assert [item.path[-8:] for item in pictures] == ["0005.png", "0010.png", "0015.png"]


def test_a_note_that_was_cut_or_is_of_another_service_is_ignored(tmp_path):
    file = tmp_path / FILE
    assert tracker._remembered(file, "mlflow") == {}
    file.write_text(json.dumps({"tracker": "mlflow", "id": "ab12", "reached": 5}))
    assert tracker._remembered(file, "mlflow") == {"id": "ab12", "reached": 5}
    assert tracker._remembered(file, "wandb") == {}
    for text in ("{", "[]", '{"tracker": "mlflow"}'):
        file.write_text(text)
        assert tracker._remembered(file, "mlflow") == {}
