"""Trainings that fail in silence."""

import json
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from hw8.base.errors import InputError
from hw8.config.presets import changed
from hw8.data.labels import Labels
from hw8.evaluation.metrics import evaluate
from hw8.models.blocks import Autoencoder
from hw8.models.registry import MODELS
from hw8.runs import health
from hw8.runs.train import train_run
from hw8.runs.trained_run import TrainedRun
from hw8.training import loop
from hw8.training.run_folder import newest_run


def test_a_healthy_training_has_no_warnings(trained):
    """But for its ranking: four epochs on 240 faces are not worth more than chance."""
    assert [line for line in trained.summary["warnings"] if "at chance" not in line] == []


class Blind(nn.Module):
    """An encoder that says the same of every image, of any weight."""

    def __init__(self) -> None:
        super().__init__()
        self.word = nn.Parameter(torch.ones(4))

    def forward(self, x):
        return self.word.expand(len(x), 4)


class Picture(nn.Module):
    """A decoder that learns one picture, or a picture for each latent."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side
        self.linear = nn.Linear(4, 3 * side * side)

    def forward(self, latent):
        return self.linear(latent).view(len(latent), 3, self.side, self.side)


def test_a_collapsed_latent_and_a_dead_decoder_are_named(quick, tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS, "blind", lambda side, channels: Autoencoder(Blind(), Picture(side)))
    config = changed(quick, model={"name": "blind", "options": {}})
    run = train_run(config, tmp_path / "run")
    saved = json.loads((tmp_path / "run" / "summary.json").read_text())["warnings"]
    assert saved == run.summary["warnings"]
    assert any(line.startswith("the latent has collapsed") and "lower learning rate" in line for line in saved)
    assert any(line.startswith("the decoder is dead") for line in saved)


def test_a_loss_that_hardly_moves_is_named(quick, tmp_path):
    config = changed(quick, train={"lr": 1e-9, "ema_decay": 0.0})
    (line,) = [line for line in train_run(config, tmp_path / "run").summary["warnings"] if "hardly moved" in line]
    assert "try another learning rate (now 1e-09)" in line


def test_scores_that_do_not_differ_are_named():
    assert "the scores have collapsed" in health._scores("l1", np.full(50, 0.3) + np.linspace(0, 1e-5, 50))
    assert health._scores("l1", np.linspace(0.2, 0.4, 50)) is None
    assert health._scores("latent", np.zeros((50, 3))) is None


def test_a_ranking_at_chance_is_named():
    rng = np.random.default_rng(0)
    labels = Labels(np.repeat([0, 1], 100), np.repeat(["normal", "noise"], 100))
    chance, good = rng.normal(size=200), rng.normal(size=200) + 2 * labels.label_N
    assert "at chance" in health._chance("l1", evaluate(chance, labels))
    assert health._chance("l1", evaluate(good, labels)) is None


def test_a_training_that_failed_says_so_in_its_summary_and_is_not_the_newest_run(quick, tmp_path, monkeypatch):
    train_run(quick, tmp_path / "good")

    def poison(self, *rows):
        with torch.no_grad():
            next(self.state.model.parameters()).fill_(float("nan"))
        original(self, *rows)

    original = loop.Trainer.step
    monkeypatch.setattr(loop.Trainer, "step", poison)
    with pytest.raises(InputError, match="no longer a finite number"):
        train_run(quick, tmp_path / "bad")
    summary = json.loads((tmp_path / "bad" / "summary.json").read_text())
    assert "train again with a lower `lr`" in summary["failed"]
    assert summary["seed"] == quick.seed
    assert newest_run(tmp_path) == tmp_path / "good"
    shutil.copy(tmp_path / "good" / "model.safetensors", tmp_path / "bad")  # weights of an epoch before
    with pytest.raises(InputError, match="its training failed: .* no longer a finite number"):
        TrainedRun.load(tmp_path / "bad")
    with pytest.raises(InputError, match="its training failed: remove it, or choose another folder"):
        train_run(quick, tmp_path / "bad")
