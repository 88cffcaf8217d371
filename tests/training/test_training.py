"""The loop, its checkpoints and its refusals."""

import dataclasses
import functools
import itertools
import json
import os
import pickle
import shutil
import signal
import time

import numpy as np
import pytest
import torch
from torch import nn

from hw8.base.errors import InputError, Interrupted
from hw8.config import read_config
from hw8.config.presets import changed
from hw8.models import create_model
from hw8.models.blocks import Autoencoder
from hw8.models.registry import MODELS
from hw8.runs.train import resume_run, train_run
from hw8.training import loop
from tests.helpers import settings_of_a_second


def weights(folder) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.fixture
def stop_at(monkeypatch):
    """Make the training receive a signal at one step."""

    def arm(step: int, number: int) -> None:
        original = loop.Trainer.step

        def stepped(self, *rows):
            original(self, *rows)
            if self.state.progress.step == step:
                os.kill(os.getpid(), number)

        monkeypatch.setattr(loop.Trainer, "step", stepped)

    return arm


def test_writes_what_a_run_folder_holds(trained):
    folder = trained.folder
    names = {path.name for path in folder.path.iterdir()}
    assert {"config.yaml", "model.safetensors", "resume.pt", "metrics.csv", "summary.json"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert not [name for name in names if name.endswith(".part")]
    assert read_config(folder.config_file) == trained.config
    lines = folder.metrics_file.read_text().splitlines()
    assert lines[0].split(",")[:5] == ["epoch", "step", "lr", "train_loss", "held_out_loss"]
    assert len(lines) == 1 + trained.config.train.epochs


def test_summary_says_what_was_done(trained):
    summary = trained.summary
    assert summary["held_out"]["macro_auc"] == trained.held_out.common.macro.auc
    assert summary["data"]["train"] + summary["data"]["calibration"] + summary["data"]["development"] == 400
    assert len(summary["data"]["fingerprint"]) == 64
    assert summary["parameters"] == sum(p.numel() for p in trained.scorer.model.parameters())
    assert summary["versions"]["torch"] == torch.__version__
    assert summary["command"] == "python scripts/train.py"


def test_the_loss_falls(trained):
    rows = np.genfromtxt(trained.folder.metrics_file, delimiter=",", names=True)
    assert rows["train_loss"][-1] < 0.7 * rows["train_loss"][0]
    assert rows["held_out_loss"][-1] < rows["held_out_loss"][0]


def test_same_seed_same_bytes_other_seed_other_bytes(quick, whole, tmp_path):
    for name, seed in (("again", 0), ("other", 1)):
        train_run(dataclasses.replace(quick, seed=seed), tmp_path / name)
    assert weights(tmp_path / "again") == weights(whole)
    assert weights(tmp_path / "other") != weights(whole)


@pytest.fixture(scope="module")
def whole(small, tmp_path_factory):
    """The folder of `quick`'s run, trained without a break."""
    return train_run(settings_of_a_second(small), tmp_path_factory.mktemp("whole") / "whole").folder.path


@pytest.mark.parametrize(
    ("step", "number"),
    [
        (7, signal.SIGINT),
        (10, signal.SIGTERM),
        (14, signal.SIGINT),
        *(pytest.param(step, number, marks=pytest.mark.slow) for number in (2, 15) for step in (1, 5)),
    ],
)
def test_interrupted_and_resumed_it_ends_in_the_same_bytes(quick, whole, tmp_path, stop_at, step, number):
    """Five steps an epoch, three epochs: within an epoch, at its end, and just before the very end."""
    stop_at(step, number)
    with pytest.raises(Interrupted, match=r"resume with: `hw8 train --resume"):
        train_run(quick, tmp_path / "cut")
    resume_run(tmp_path / "cut")
    assert weights(tmp_path / "cut") == weights(whole)
    rows = [(folder / "metrics.csv").read_text().splitlines() for folder in (tmp_path / "cut", whole)]
    losses = [[line.split(",")[:5] for line in lines] for lines in rows]
    assert losses[0] == losses[1]


def test_the_scaler_of_float16_skips_steps_that_overflow_and_is_resumed(quick, tmp_path, stop_at, monkeypatch):
    """A first scale that overflows, and one that grows until it overflows again, after the break too."""
    scaler = functools.partial(torch.amp.GradScaler, init_scale=2.0**28, growth_factor=2.0**8, growth_interval=4)
    monkeypatch.setattr(torch.amp, "GradScaler", scaler)
    half = dataclasses.replace(quick, precision="fp16")
    unbroken = train_run(half, tmp_path / "whole")
    stop_at(7, signal.SIGINT)
    with pytest.raises(Interrupted):
        train_run(half, tmp_path / "cut")
    saved = torch.load(tmp_path / "cut" / "resume.pt", weights_only=True)
    skipped = saved["progress"]["skipped_steps"]
    assert saved["scaler"]["scale"] != 2.0**28
    resumed = resume_run(tmp_path / "cut")
    assert 0 < skipped < resumed.summary["skipped_steps"] == unbroken.summary["skipped_steps"] < 15
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


def test_a_run_records_its_threads_and_resumes_with_them(quick, tmp_path, stop_at, monkeypatch):
    """Fewer from the second epoch on, as when another program takes a core."""
    used = []
    original = loop.Trainer.step

    def step(self, *rows):
        original(self, *rows)
        used.append(torch.get_num_threads())

    def adapt(self, images):
        torch.set_num_threads(1)
        return True

    monkeypatch.setattr(loop.Trainer, "step", step)
    monkeypatch.setattr(loop.Threads, "adapt", adapt)
    stop_at(7, signal.SIGINT)
    before = torch.get_num_threads()
    with pytest.raises(Interrupted):
        train_run(dataclasses.replace(quick, threads=2), tmp_path / "run")
    assert used == [2] * 5 + [1] * 2
    assert torch.get_num_threads() == before
    assert read_config(tmp_path / "run" / "config.yaml").threads == 1
    monkeypatch.setattr(loop.Threads, "adapt", lambda *_: False)
    for settings in (dataclasses.replace(quick, threads=2), None):
        assert resume_run(tmp_path / "run", settings).summary["hardware"]["threads"] == 2
    assert used[7:] == [2] * 8
    rows = np.genfromtxt(tmp_path / "run" / "metrics.csv", delimiter=",", names=True)
    assert rows["threads"].tolist() == [2, 2, 2]


def test_a_resumed_run_counts_the_images_that_it_computes_itself(quick, tmp_path, stop_at, monkeypatch):
    counted = []
    monkeypatch.setattr(loop.Threads, "adapt", lambda _, images: counted.append(images))
    stop_at(7, signal.SIGINT)
    with pytest.raises(Interrupted):
        train_run(quick, tmp_path / "run")
    resume_run(tmp_path / "run")
    whole, rest, last = counted
    assert whole == last
    assert 0 < rest < whole


def test_a_stop_in_the_last_step_finishes_the_run(quick, tmp_path, stop_at):
    stop_at(15, signal.SIGINT)
    assert train_run(quick, tmp_path / "run").summary["epochs"] == 3


def test_a_last_epoch_ends_early_where_its_steps_are_too_many(quick, tmp_path, stop_at):
    per_epoch = 5
    config = changed(quick, train={"epochs": 9, "least_steps": 0, "most_steps": per_epoch + 3})
    run = train_run(config, tmp_path / "whole")
    rows = np.genfromtxt(run.folder.metrics_file, delimiter=",", names=True)
    assert rows["step"].tolist() == [per_epoch, per_epoch + 3]
    stop_at(per_epoch + 2, signal.SIGTERM)
    with pytest.raises(Interrupted, match=f"at step {per_epoch + 2} of {per_epoch + 3}"):
        train_run(config, tmp_path / "stopped")
    resume_run(tmp_path / "stopped")
    resume_run(tmp_path / "stopped")  # finished, it stays as it is
    assert weights(tmp_path / "stopped") == weights(tmp_path / "whole")


def test_a_stop_after_an_epoch_that_was_not_saved_saves_it(quick, whole, tmp_path, monkeypatch):
    """The second epoch follows too soon upon the first to be saved by itself."""
    original = loop.Trainer._pictures

    def stopping(self):
        if len(self.state.progress.history) == 2:
            assert torch.load(self.folder.resume_file, weights_only=True)["progress"]["step"] == 5
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self)

    monkeypatch.setattr(loop.Trainer, "_pictures", stopping)
    with pytest.raises(Interrupted, match="stopped at step 10 of 15"):
        train_run(quick, tmp_path / "cut")
    assert torch.load(tmp_path / "cut" / "resume.pt", weights_only=True)["progress"]["step"] == 10
    resume_run(tmp_path / "cut")
    assert weights(tmp_path / "cut") == weights(whole)


def test_a_crash_between_saves_repeats_only_lost_steps(quick, whole, tmp_path, monkeypatch):
    """As after kill -9: nothing is saved at the moment of the crash."""
    original = loop.Trainer.step

    def crash(self, *rows):
        if self.state.progress.step == 8:
            raise RuntimeError("power cut")
        original(self, *rows)

    monkeypatch.setattr(loop.Trainer, "step", crash)
    with pytest.raises(RuntimeError, match="power cut"):
        train_run(quick, tmp_path / "cut")
    monkeypatch.setattr(loop.Trainer, "step", original)
    resume_run(tmp_path / "cut")
    assert weights(tmp_path / "cut") == weights(whole)


def test_resuming_before_the_first_save_starts_again(quick, whole, tmp_path, monkeypatch):
    original = loop.Trainer.step
    monkeypatch.setattr(loop.Trainer, "step", lambda self, *rows: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train_run(quick, tmp_path / "cut")
    monkeypatch.setattr(loop.Trainer, "step", original)
    resume_run(tmp_path / "cut")
    assert weights(tmp_path / "cut") == weights(whole)


def test_resuming_a_finished_run_changes_nothing(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    resume_run(tmp_path / "run")
    assert weights(tmp_path / "run") == weights(whole)


def test_a_state_of_more_steps_than_the_run_has_is_refused(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "copy")
    text = (whole / "config.yaml").read_text()
    epochs = read_config(whole / "config.yaml").train.epochs
    (tmp_path / "copy" / "config.yaml").write_text(text.replace(f"epochs: {epochs}\n", f"epochs: {epochs - 1}\n"))
    with pytest.raises(InputError, match="steps in resume.pt are not those of this run"):
        resume_run(tmp_path / "copy")


def test_resume_refuses_other_settings_and_other_data(quick, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    other = changed(quick, train={"lr": 0.5})
    with pytest.raises(InputError, match=r"train\.lr = 0\.5 is given \(the run has 0\.002\)"):
        resume_run(tmp_path / "run", other)
    source = quick.data.source
    elsewhere = tmp_path / "data"
    elsewhere.mkdir()
    array = np.load(f"{source}/trainingset.npy")
    array[0] ^= 255
    np.save(elsewhere / "trainingset.npy", array)
    config = (tmp_path / "run" / "config.yaml").read_text().replace(str(source), str(elsewhere))
    (tmp_path / "run" / "config.yaml").write_text(config)
    with pytest.raises(InputError, match="was trained on other images than these"):
        resume_run(tmp_path / "run")


def test_a_run_whose_images_moved_resumes_where_they_are_now(quick, whole, tmp_path, stop_at):
    stop_at(7, signal.SIGINT)
    with pytest.raises(Interrupted):
        train_run(quick, tmp_path / "run")
    shutil.copytree(quick.data.source, tmp_path / "moved")
    resume_run(tmp_path / "run", changed(quick, data={"source": str(tmp_path / "moved")}))
    assert weights(tmp_path / "run") == weights(whole)
    assert read_config(tmp_path / "run" / "config.yaml").data.source == str(tmp_path / "moved")


def test_a_finished_run_that_lacks_a_file_stays_as_it_is(whole, tmp_path):
    for name, words in (("resume.pt", "is finished, and its resume.pt is gone"), ("model.safetensors", "is gone, and")):
        run = tmp_path / name
        shutil.copytree(whole, run)
        (run / name).unlink()
        before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
        with pytest.raises(InputError, match=words):
            resume_run(run)
        after = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
        assert before == {key: value for key, value in after.items() if key in before}
        assert "failed" not in json.loads((run / "summary.json").read_text())


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_a_resume_state_that_holds_code_is_refused_and_runs_nothing(whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "run" / "resume.pt").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError, match=r"resume\.pt: cannot be loaded"):
        resume_run(tmp_path / "run")
    torch.save({"model": Bomb()}, tmp_path / "run" / "resume.pt")
    with pytest.raises(InputError, match=r"resume\.pt: cannot be loaded"):
        resume_run(tmp_path / "run")
    assert not (tmp_path / "exploded").exists()


def test_a_folder_in_use_is_refused(quick, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("all of it")
    with pytest.raises(InputError, match="already there and not empty"):
        train_run(quick, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]


def test_a_finished_run_is_not_to_be_resumed(trained, quick):
    with pytest.raises(InputError, match="already there and a finished run; choose another folder"):
        train_run(quick, trained.folder.path)


def test_bad_settings_leave_no_folder(quick, tmp_path):
    for wrong in ({"crop": 500}, {"source": str(tmp_path / "none")}):
        with pytest.raises(InputError):
            train_run(changed(quick, data=wrong), tmp_path / "run")
    with pytest.raises(InputError):
        train_run(changed(quick, model={"options": {"depth": 9}}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_nan_stops_the_run_and_is_not_saved(quick, tmp_path, monkeypatch):
    original = loop.Trainer.step

    def poison(self, *rows):
        if self.state.progress.step == 7:
            with torch.no_grad():
                next(self.state.model.parameters()).fill_(float("nan"))
        original(self, *rows)

    monkeypatch.setattr(loop.Trainer, "step", poison)
    with pytest.raises(InputError, match=r"no longer a finite number at step \d+.*lower `lr`"):
        train_run(quick, tmp_path / "run")
    saved = torch.load(tmp_path / "run" / "resume.pt", weights_only=True)
    assert saved["progress"]["step"] == 5
    assert all(torch.isfinite(value).all() for value in saved["model"].values())


def test_the_rate_of_an_epoch_is_that_of_its_steps_alone(quick, tmp_path, monkeypatch):
    original, clock, ahead = loop.Trainer.save, time.monotonic, [0.0]
    monkeypatch.setattr(loop.time, "monotonic", lambda: clock() + ahead[0])

    def save(self):
        ahead[0] += 100
        original(self)

    monkeypatch.setattr(loop.Trainer, "save", save)
    run = train_run(changed(quick, train={"epochs": 2}), tmp_path / "run")
    rate = np.genfromtxt(run.folder.metrics_file, delimiter=",", names=True)["images_per_second"][1]
    assert len(run.splits.train) / rate < 50


class Deaf(nn.Module):
    """A layer whose output never depends on its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x * 0 + self.weight.detach() + self.weight * 0


def test_a_loss_that_never_moves_stops_the_run(quick, tmp_path, monkeypatch):
    monkeypatch.setitem(
        MODELS, "deaf", lambda side, channels: Autoencoder(nn.Flatten(), nn.Sequential(Deaf(), Fold(side)))
    )
    config = changed(quick, model={"name": "deaf", "options": {}}, data={"flip": False})
    said = r"(is .* in every step of epoch 1|has not moved from .* in 2 epochs); the model does not learn"
    with pytest.raises(InputError, match=said):
        train_run(config, tmp_path / "run")


class Fold(nn.Module):
    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x):
        return x.view(len(x), -1, self.side, self.side)


def test_early_stopping(quick, tmp_path):
    config = changed(quick, train={"epochs": 40, "least_steps": 0, "patience": 2, "lr": 0.3})
    finished = train_run(config, tmp_path / "run")
    assert finished.summary["stopped_early"]
    assert finished.summary["epochs"] == finished.summary["best_epoch"] + 2
    assert finished.summary["epochs"] < 40


def test_best_is_the_lowest_held_out_loss(quick, tmp_path):
    finished = train_run(changed(quick, train={"epochs": 6, "least_steps": 0, "lr": 0.1}), tmp_path / "run")
    rows = np.genfromtxt(finished.folder.metrics_file, delimiter=",", names=True)
    assert finished.summary["best_epoch"] == 1 + rows["held_out_loss"].argmin()


def test_terms_that_a_model_names_are_added_to_its_loss(quick, tmp_path, monkeypatch):
    class WithTerm(Autoencoder):
        def forward(self, x_NCHW):
            output = super().forward(x_NCHW)
            return output._replace(terms={"latent": 100 + output.latent_ND.square().mean(1)})

    original = MODELS["fcn"]

    @functools.wraps(original)
    def with_term(side, channels, options):
        plain = original(side, channels, options)
        return WithTerm(plain.encoder, plain.decoder)

    monkeypatch.setitem(MODELS, "fcn", with_term)
    finished = train_run(quick, tmp_path / "run")
    rows = np.genfromtxt(finished.folder.metrics_file, delimiter=",", names=True)
    assert (rows["train_loss"] > 100).all()
    assert (rows["held_out_loss"] < 10).all(), "the held-out loss is the reconstruction's alone"


def test_weights_are_averaged(quick, tmp_path):
    raw = train_run(changed(quick, train={"ema_decay": 0.0}), tmp_path / "raw")
    saved = torch.load(raw.folder.resume_file, weights_only=True)
    for name, value in saved["model"].items():
        torch.testing.assert_close(saved["average"][name], value, rtol=0, atol=0)
    averaged = torch.load(train_run(quick, tmp_path / "averaged").folder.resume_file, weights_only=True)
    assert any((averaged["average"][name] != value).any() for name, value in averaged["model"].items())


@pytest.mark.parametrize(
    ("precision", "loss"), [*itertools.product(["fp32", "bf16"], ["mse", "l1", "bce"]), ("fp16", "l1")]
)
def test_every_objective_in_every_precision(quick, tmp_path, precision, loss):
    config = dataclasses.replace(changed(quick, train={"loss": loss}), precision=precision)
    finished = train_run(config, tmp_path / "run")
    rows = np.genfromtxt(finished.folder.metrics_file, delimiter=",", names=True)
    assert rows["held_out_loss"][-1] < rows["held_out_loss"][0]


def test_a_batch_in_parts_has_the_gradient_of_the_whole(quick, tmp_path):
    """Without statistics of the batch the parts' gradients add up; with them the batch stays whole."""
    plain = changed(
        quick, model={"options": {"widths": [32], "latent": 8, "norm": "none"}}, train={"epochs": 1, "least_steps": 0}
    )
    plain = dataclasses.replace(plain, precision="fp32")
    curves = []
    for size in (1000, 7):
        train_run(changed(plain, train={"part_size": size}), tmp_path / f"{size}")
        curves.append((tmp_path / f"{size}" / "metrics.csv").read_text().splitlines()[1].split(",")[3:5])
    np.testing.assert_allclose(*np.array(curves, float), rtol=1e-4)
    assert not create_model("fcn", 16, 3, {"norm": "batch"}).allows_microbatches()
    assert create_model("fcn", 16, 3, {"norm": "none"}).allows_microbatches()
    assert create_model("course_vae", 16, 3, {}).allows_microbatches()
    assert not create_model("vqvae", 16, 3, {}).allows_microbatches()


def test_without_a_compiler_compile_says_what_is_missing(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(InputError, match="`compile` needs a C"):
        train_run(changed(quick, train={"compile": True}), tmp_path / "run")


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++"))), reason="no C++ compiler is installed")
def test_a_compiled_model_learns_the_same(quick, tmp_path):
    exact = dataclasses.replace(quick, precision="fp32")
    for name in ("plain", "compiled"):
        train_run(changed(exact, train={"epochs": 1, "least_steps": 0, "compile": name == "compiled"}), tmp_path / name)
    rows = [
        (tmp_path / name / "metrics.csv").read_text().splitlines()[1].split(",")[3:5] for name in ("plain", "compiled")
    ]
    np.testing.assert_allclose(*np.array(rows, float), rtol=1e-3)
