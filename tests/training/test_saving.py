"""What is saved, and when."""

import pytest
import torch

from hw8.base.errors import InputError
from hw8.config.presets import changed
from hw8.runs.train import train_run
from hw8.training import loop
from hw8.training.checkpoint import TrainingState
from hw8.training.run_folder import RunFolder


def test_the_saved_weights_are_those_of_the_best_epoch(quick, tmp_path, monkeypatch):
    losses = iter([3.0, 1.0, 2.0])
    averages = []
    monkeypatch.setattr(
        loop.Trainer,
        "_held_out_loss",
        lambda self: (
            averages.append({name: value.clone() for name, value in self.state.average.state_dict().items()})
            or next(losses)
        ),
    )
    run = train_run(quick, tmp_path / "run")
    assert run.summary["best_epoch"] == 2
    for name, value in run.folder.load_model(run.config).model.state_dict().items():
        torch.testing.assert_close(value, averages[1][name], rtol=0, atol=0)


def test_weights_are_saved_before_the_state_that_counts_on_them(quick, tmp_path, monkeypatch):
    order = []
    for owner, name in ((RunFolder, "save_model"), (TrainingState, "save")):
        original = getattr(owner, name)
        monkeypatch.setattr(
            owner, name, lambda *given, name=name, original=original: order.append(name) or original(*given)
        )
    train_run(quick, tmp_path / "run")
    assert order[:2] == ["save_model", "save"]


def test_a_long_epoch_is_saved_in_the_middle(quick, tmp_path, monkeypatch):
    saved = []
    real = loop.Trainer.save
    monkeypatch.setattr(loop.Trainer, "save", lambda self: saved.append(self.state.progress.step) or real(self))
    train_run(changed(quick, train={"epochs": 1, "save_minutes": 1e-9}), tmp_path / "run")
    assert saved == [1, 2, 3, 4, 5, 5]
    saved.clear()
    train_run(changed(quick, train={"epochs": 1, "save_minutes": 60.0}), tmp_path / "other")
    assert saved == [5]


def test_a_held_out_loss_that_is_not_finite_stops_the_run(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(loop.Trainer, "_held_out_loss", lambda self: float("nan"))
    with pytest.raises(
        InputError, match="the held-out loss is not finite after epoch 1; train again with a lower `lr`"
    ):
        train_run(quick, tmp_path / "run")
    assert not (tmp_path / "run" / "model.safetensors").exists()
