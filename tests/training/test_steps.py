"""What a single step does: which gradient, which decay, which weights are kept."""

import copy
import dataclasses
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hw8.base.errors import InputError
from hw8.base.processes import Processes
from hw8.config import TrainConfig
from hw8.config.presets import changed
from hw8.data.arrays import to_pixels
from hw8.data.loader import mirror_mask
from hw8.data.sources import open_source
from hw8.data.splits import split_rows
from hw8.models import create_model
from hw8.models.losses import selection_loss
from hw8.models.output import Model
from hw8.runs import train as session
from hw8.training import distributed
from hw8.training import step as step_module
from hw8.training.averaging import averaging_decay, update_average
from hw8.training.checkpoint import TrainingState
from hw8.training.loop import Trainer
from hw8.training.optimizers import AdamW
from hw8.training.schedule import learning_rate, with_enough_steps


@pytest.fixture
def trainer(quick) -> Trainer:
    """A training that has made no step, on 320 images of 16 pixels."""
    config = dataclasses.replace(quick, precision="fp32")
    images = open_source(config.data.source).training()
    return session.build(config, images, split_rows(len(images), config.data))


def test_the_gradient_is_cut_to_its_largest_norm(trainer, monkeypatch):
    norms = []
    original = AdamW.step

    def step(self):
        grads = [p.grad for group in self.param_groups for p in group["params"]]
        norms.append(torch.linalg.vector_norm(torch.cat([grad.flatten() for grad in grads])).item())
        original(self)

    monkeypatch.setattr(AdamW, "step", step)
    trainer.stepper.config = changed(trainer.config, train={"clip_norm": 1e-3})
    trainer.step(trainer.splits.train[:64])
    assert norms == [pytest.approx(1e-3, rel=1e-3)]
    assert trainer.pending[0][1] > 0.01, "what is reported is the norm before the cut"


def test_a_step_that_overflows_float16_is_skipped_and_counted(trainer):
    trainer.stepper.precision = "fp16"
    trainer.state.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    before = copy.deepcopy(trainer.state.model.state_dict())
    trainer.step(trainer.splits.train[:64])
    for name, parameter in trainer.state.model.named_parameters():
        torch.testing.assert_close(parameter.detach(), before[name], rtol=0, atol=0)
    assert trainer.state.scaler.get_scale() == 2.0**39
    assert np.isfinite(trainer.fetch_losses())
    assert trainer.state.progress.skipped_steps == 1
    assert trainer.state.progress.epoch_sums["norm"] == 0
    trainer.state.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**4)
    trainer.step(trainer.splits.train[:64])
    trainer.fetch_losses()
    assert trainer.state.progress.skipped_steps == 1
    assert (next(trainer.state.model.parameters()) != next(iter(before.values()))).any()


def test_float16_has_the_gradient_of_float32_but_for_rounding(trainer, monkeypatch):
    gradients = []

    def step(self):
        gradients.append(torch.cat([p.grad.flatten().clone() for p in trainer.state.model.parameters()]))

    monkeypatch.setattr(AdamW, "step", step)
    for precision in ("fp32", "fp16"):
        trainer.stepper.precision = precision
        trainer.state.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, enabled=precision == "fp16")
        trainer.state.progress.step = 0
        trainer.step(trainer.splits.train[:64])
    exact, half = gradients
    assert 0 < (half - exact).norm() < 0.05 * exact.norm()


def test_every_twentieth_step_tells_the_mean_loss_since_the_last(trainer, monkeypatch):
    monkeypatch.setattr(trainer, "_batches", lambda epoch: [trainer.splits.train[:8]] * 45)
    steps = list(trainer.steps())
    assert [number for number, (_, loss) in enumerate(steps, 1) if loss is not None] == [20, 40]
    assert {count for count, _ in steps} == {8}
    assert trainer.state.progress.epoch_sums["steps"] == 40
    assert len(trainer.pending) == 5


def test_biases_and_normalisations_do_not_decay(trainer):
    model = trainer.state.model
    decays = {id(p): group["weight_decay"] for group in trainer.state.optimizer.param_groups for p in group["params"]}
    decay_by_name = {name: decays[id(p)] for name, p in model.named_parameters()}
    expected = trainer.config.train.weight_decay
    assert expected > 0
    norms = {f"{n}.{k}" for n, m in model.named_modules() if isinstance(m, nn.BatchNorm1d) for k in ("weight", "bias")}
    assert norms
    for name, decay in decay_by_name.items():
        assert decay == (0 if name in norms or name.endswith("bias") else expected), name


def test_the_learning_rate_is_the_schedules(trainer):
    for step in range(3):
        trainer.step(trainer.splits.train[:64])
        rates = {group["lr"] for group in trainer.state.optimizer.param_groups}
        assert rates == {learning_rate(step, trainer.total_steps, trainer.config.train)}


def test_the_loss_is_the_mean_over_the_batch_whatever_its_parts(trainer):
    rows = trainer.splits.train[:50]
    x_NCHW = to_pixels(torch.from_numpy(trainer.images.read(rows)))
    trainer.stepper.config = changed(trainer.config, data={"flip": False})
    with torch.no_grad():
        model = copy.deepcopy(trainer.state.model).train()
        expected = (model(x_NCHW).recon_NCHW - x_NCHW).square().flatten(1).mean(1).mean()
    trainer.step(rows)
    torch.testing.assert_close(trainer.pending[0][0], expected)


@pytest.mark.parametrize("flip", [True, False])
def test_half_of_the_images_are_mirrored_if_they_may_be(trainer, monkeypatch, flip):
    seen = []
    original = step_module.training_batch

    def batch(*words):
        seen.append(original(*words))
        return seen[-1]

    monkeypatch.setattr(step_module, "training_batch", batch)
    trainer.stepper.config = changed(trainer.config, data={"flip": flip})
    rows = trainer.splits.train[:64]
    trainer.step(rows)
    plain = to_pixels(torch.from_numpy(trainer.images.read(rows)))
    mirrored = torch.from_numpy(mirror_mask(64, trainer.config.seed, 0) & flip)
    torch.testing.assert_close(torch.cat(seen), torch.where(mirrored[:, None, None, None], plain.flip(3), plain))
    assert 20 <= mirrored.sum() <= 44 if flip else not mirrored.any()


def test_learned_numbers_are_averaged_and_counters_copied():
    torch.manual_seed(0)
    model = create_model("vqvae", 16, 3, {})
    state = TrainingState(model, TrainConfig(ema_decay=0.9), "x")
    before = {name: value.clone() for name, value in state.average.state_dict().items()}
    with torch.no_grad():
        for value in model.state_dict().values():
            value.add_(1)
    state.progress.step = 1000
    share = 1 - averaging_decay(1000, state.config.ema_decay)
    assert share == pytest.approx(0.1)
    state.set_rates(0.0)
    state.update_average()
    learned = {name for name, _ in model.named_parameters()}
    for name, value in state.average.state_dict().items():
        blended = name in learned or name.endswith(("running_mean", "running_var"))
        torch.testing.assert_close(value, before[name] + (share if blended else 1), msg=name)
    assert any(name.endswith("running_var") for name in before)


def test_the_decay_may_be_a_tensor():
    torch.manual_seed(0)
    current = create_model("vqvae", 16, 3, {})
    averages = [create_model("vqvae", 16, 3, {})]
    averages.append(copy.deepcopy(averages[0]))
    for average, decay in zip(averages, (0.9, torch.tensor(0.9)), strict=True):
        update_average(average, current, decay)
    for p, q in zip(*(average.state_dict().values() for average in averages), strict=True):
        torch.testing.assert_close(p, q)


def test_the_held_out_loss_is_that_of_the_averaged_weights(trainer):
    with torch.no_grad():
        for value in trainer.state.model.parameters():
            value.normal_()
    rows = trainer.splits.development
    x_NCHW = to_pixels(torch.from_numpy(trainer.images.read(rows)))
    with torch.no_grad():
        expected = selection_loss("mse", trainer.state.average(x_NCHW), x_NCHW).mean()
    assert trainer._held_out_loss() == pytest.approx(expected.item(), rel=1e-5)


class TestPace:
    """Few images make few steps: then there are more epochs, of small batches, in every command alike."""

    def test_by_hand(self):
        preset = TrainConfig(epochs=15, batch_size=128)
        few = with_enough_steps(preset, 120)
        assert (few.epochs, few.batch_size) == (200, 64), "two steps an epoch"
        middle = with_enough_steps(preset, 3000)
        assert (middle.epochs, middle.batch_size) == (15, 64), "24 steps an epoch are too few, 47 enough"
        assert with_enough_steps(preset, 3600) == preset, "29 steps an epoch"
        assert with_enough_steps(dataclasses.replace(preset, least_steps=0), 120) == dataclasses.replace(
            preset, least_steps=0
        )
        assert with_enough_steps(few, 120) == few
        assert with_enough_steps(dataclasses.replace(preset, batch_size=16), 100).batch_size == 16

    def test_a_small_set_is_trained_for_as_many_steps_and_no_decoder_is_dead(self, quick, tmp_path):
        """150 images make two steps an epoch."""
        folder = tmp_path / "few"
        folder.mkdir()
        np.save(folder / "trainingset.npy", np.load(Path(quick.data.source) / "trainingset.npy")[:150])
        config = changed(quick, data={"source": str(folder)}, train={"epochs": 2, "least_steps": 80})
        finished = session.train_run(config, tmp_path / "run")
        assert finished.summary["epochs"] == 40
        assert finished.summary["batch_size"] == 64
        assert not [line for line in finished.summary["warnings"] if "decoder is dead" in line]
        saved = session.RunFolder.open(tmp_path / "run")[1].train
        assert (saved.epochs, saved.least_steps) == (2, 80), "the settings are saved as the user gave them"
        before = finished.folder.model_file.read_bytes()
        session.resume_run(tmp_path / "run")
        assert finished.folder.model_file.read_bytes() == before

    def test_a_run_of_before_there_was_a_least_trains_for_its_epochs(self, quick):
        from hw8.config import from_mapping

        values = dataclasses.asdict(changed(quick, train={"least_steps": 400}))
        assert from_mapping(values).train.least_steps == 400
        del values["train"]["least_steps"]
        assert from_mapping(values).train.least_steps == 0


def test_processes_share_the_buffers_that_are_learned_and_no_others(monkeypatch):
    class Job(Processes):
        def all_reduce(self, value):
            return value

        def broadcast_tensors(self, tensors):
            shared.extend(tensors)

    class Small(Model):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(2)
            self.register_buffer("codebook_KD", torch.ones(3, 2))
            self.register_buffer("noise_D", torch.ones(2), persistent=False)

    shared: list[torch.Tensor] = []
    monkeypatch.setattr(distributed, "processes", lambda: Job(world_size=2))
    model = Small()
    assert distributed.all_reduce_gradients(model, torch.tensor(3.0), stop=True) == (3, True)
    assert [id(buffer) for buffer in shared] == [id(model.codebook_KD)]


def test_a_batch_that_leaves_a_process_without_an_image_is_refused(trainer, monkeypatch):
    monkeypatch.setattr(session, "processes", lambda: Processes(world_size=3))
    cpu = torch.device("cpu")
    with pytest.raises(InputError, match="2 images in a batch cannot be shared by 3 processes"):
        session._check_trainable(changed(trainer.config, train={"batch_size": 2}), 320, cpu)
    session._check_trainable(changed(trainer.config, train={"batch_size": 4}), 320, cpu)


def test_pictures_show_each_image_above_its_reconstruction(trainer):
    x_NCHW = to_pixels(torch.from_numpy(trainer.images.read(trainer.splits.development[:8])))
    pictures_NCHW = trainer._pictures()
    torch.testing.assert_close(pictures_NCHW[:, :, :16], x_NCHW)
    with torch.no_grad():
        torch.testing.assert_close(
            pictures_NCHW[:, :, 16:], trainer.state.average(x_NCHW).recon_NCHW, atol=0.02, rtol=0
        )


def test_steps_of_other_seeds_draw_other_numbers():
    drawn = []
    for seed, number in ((0, 1), (1, 0), (0, 0), (1, 1)):
        step_module._seed_layers(seed, number, 0, torch.device("cpu"))
        drawn.append(torch.rand(1).item())
    assert len(set(drawn)) == 4


@pytest.mark.parametrize("model", ["recogniser", "views"])
def test_batches_augmented_ahead_give_the_same_weights(quick, model, monkeypatch):
    """With a core to spare the next batch is augmented in another thread, from the same seed: bit for bit the same."""
    options = {"widths": [4, 4, 4, 4]}
    scoring = {"score": "texture"}
    config = changed(quick, model={"name": model, "options": options}, train={"batch_size": 48}, scoring=scoring)
    images = open_source(config.data.source).training()
    splits, before, weights, ahead = split_rows(len(images), config.data), torch.get_num_threads(), [], []
    original = step_module.Stepper._make_ahead
    monkeypatch.setattr(
        step_module.Stepper, "_make_ahead", lambda *given: ahead.append(threading.get_ident()) or original(*given)
    )
    try:
        torch.set_num_threads(1)
        for spare in (False, True):
            monkeypatch.setattr(step_module, "has_spare_cores", lambda spare=spare: spare)
            training = session.build(config, images, splits)
            count = sum(1 for _ in training.steps())
            weights.append(training.state.model.state_dict())
            assert len(ahead) == (count - 1 if spare else 0)
    finally:
        torch.set_num_threads(before)
    assert threading.get_ident() not in ahead
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=0, atol=0)


def test_steps_that_are_given_up_leave_nothing_that_draws(quick, monkeypatch):
    """Else random numbers drawn after them would depend on when the other thread draws its own."""
    monkeypatch.setattr(step_module, "has_spare_cores", lambda: True)
    config = changed(quick, model={"name": "recogniser", "options": {"widths": [4, 4, 4, 4]}})
    images = open_source(config.data.source).training()
    training = session.build(config, images, split_rows(len(images), config.data))
    steps = training.steps()
    next(steps)
    _, future = training.stepper.ahead
    steps.close()
    assert future.done()
    assert training.stepper.ahead is None
    training.step(training.splits.train[:64])
