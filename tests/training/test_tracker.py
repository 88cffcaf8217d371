"""Curves at a tracking service: the real clients, kept on this machine, and a service that misbehaves."""

import dataclasses
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from hw8.errors import InputError, Interrupted
from hw8.training import loop, tracker
from hw8.training.session import resume_run, train_run
from hw8.training.tracker import FILE, Tracker

SCRIPTS = Path(__file__).parents[2] / "scripts"
PICTURE = Image.new("RGB", (4, 4))


class Service:
    """What hw8 uses of a tracker of Accelerate's."""

    name = "wandb"

    def __init__(self, broken: bool = False) -> None:
        self.broken, self.told, self.finished = broken, [], False

    def log(self, values, step):
        if self.broken:
            raise ConnectionError("no route\nto host")
        self.told.append((step, values))

    def log_images(self, values, step):
        self.told.append((step, list(values)))

    def finish(self):
        self.finished = True


@pytest.fixture
def wandb_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    return tmp_path / "wandb"


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
    assert service.told == []
    resumed.log({"loss": 0.5}, 15)
    resumed.log_epoch({"epoch/loss": 0.4}, "pictures", PICTURE, 20)
    resumed.close()
    assert service.told == [(15, {"loss": 0.5}), (20, {"epoch/loss": 0.4}), (20, ["pictures"])]
    assert service.finished
    assert json.loads((tmp_path / FILE).read_text()) == {"tracker": "wandb", "id": "abc", "reached": 20}


def test_a_service_that_fails_is_told_of_once_and_left(tmp_path, caplog):
    failing = Tracker(Service(broken=True), "abc", tmp_path / FILE)
    with caplog.at_level(logging.WARNING):
        failing.log({"loss": 1.0}, 1)
        failing.log_epoch({"loss": 1.0}, "pictures", PICTURE, 2)
        failing.close()
    assert [record.getMessage() for record in caplog.records] == [
        "wandb failed (no route to host); going on without it"
    ]
    assert not (tmp_path / FILE).exists()


def test_a_tracker_changes_no_bit(quick, tmp_path, wandb_offline):
    train_run(quick, tmp_path / "plain")
    train_run(dataclasses.replace(quick, tracker="wandb"), tmp_path / "told")
    plain, told = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("plain", "told"))
    assert plain == told
    known = json.loads((tmp_path / "told" / FILE).read_text())
    (run,) = wandb_offline.glob(f"offline-run-*-{known['id']}")
    content = (run / f"run-{known['id']}.wandb").read_bytes()
    for name in (b"epoch/held_out_loss", b"held_out/macro_auc", b"unseen/macro_auc", b"data.crop"):
        assert name in content, name
    assert len(list(run.glob("files/media/images/**/*.png"))) == 3


def test_wandb_without_an_account_is_one_line_and_leaves_nothing(demo, tmp_path):
    pytest.importorskip("wandb")
    own = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    words = ["--preset", "fcn_crop", "--data", str(demo), "--tracker", "wandb"]
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / "train.py"), *words],
        cwd=tmp_path,
        env=own | {"HOME": str(tmp_path), "PYTHONPATH": str(SCRIPTS.parent)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: --tracker wandb: cannot start (")
    assert "WANDB_MODE=offline" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_client_that_is_not_installed_is_one_line(quick, tmp_path, monkeypatch):
    from accelerate.tracking import MLflowTracker

    def start(self):
        raise ModuleNotFoundError("No module named 'mlflow'")

    monkeypatch.setattr(MLflowTracker, "start", start)
    with pytest.raises(InputError, match="No module named 'mlflow'; pip install mlflow, or leave --tracker away"):
        train_run(dataclasses.replace(quick, tracker="mlflow"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_mlflow_keeps_curves_settings_and_pictures_of_a_run_that_was_stopped(quick, tmp_path, monkeypatch, mlflow_here):
    original = loop.Trainer._step

    def stepped(self, rows_B):
        original(self, rows_B)
        if self.state.progress.step == 7:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "_step", stepped)
        with pytest.raises(Interrupted):
            train_run(dataclasses.replace(quick, tracker="mlflow"), tmp_path / "run")
    assert mlflow_here.active_run() is None
    done = resume_run(tmp_path / "run")
    client = mlflow_here.MlflowClient()
    (experiment,) = client.search_experiments(filter_string="name = 'hw8'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "run"
    assert run.data.params["train.epochs"] == "3"
    history = client.get_metric_history(run.info.run_id, "epoch/held_out_loss")
    assert [point.step for point in history] == [5, 10, 15]
    assert run.data.metrics["held_out/macro_auc"] == pytest.approx(done.held_out.common.macro.auc)
    pictures = client.list_artifacts(run.info.run_id, "held_out/images_and_reconstructions")
    assert [item.path[-8:] for item in pictures] == ["0005.png", "0010.png", "0015.png"]


def test_a_strange_note_of_an_earlier_part_is_left_alone(tmp_path):
    file = tmp_path / FILE
    good = {"tracker": "mlflow", "id": "ab12", "reached": 5}
    file.write_text(json.dumps(good))
    assert tracker._remembered(file, "mlflow") == good
    assert tracker._remembered(file, "wandb") == {}
    for text in ("{", "[]", "[" * 90_000, *(json.dumps(good | bad) for bad in ({"id": "../x"}, {"reached": "5"}))):
        file.write_text(text)
        assert tracker._remembered(file, "mlflow") == {}
