"""What only a GPU shows: replayed steps are those of a plain loop, and scores are the CPU's. Skipped without a GPU."""

import copy
import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from hw8.base.device import channels_last
from hw8.config.presets import PRESETS, changed, load_preset
from hw8.data.arrays import Images
from hw8.data.demo import demo_images
from hw8.data.splits import split_rows
from hw8.runs.train import build
from hw8.scoring.inference import Scorer
from hw8.training.loop import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
SIDE, STEPS = 64, 10
MODELS = {str(load_preset(name).model): name for name in PRESETS}  # one preset of each model and its options


def trainer(preset: str, device: str = "cuda", precision: str = "fp32") -> Trainer:
    """A training of a preset on 310 images that has made no step; batches of 19 and 18."""
    config = changed(load_preset(preset), train={"batch_size": 19, "epochs": 20, "least_steps": 0})
    config = dataclasses.replace(config, device=device, precision=precision)
    images = Images(np.random.default_rng(0).integers(0, 256, (310, SIDE, SIDE, 3), dtype=np.uint8), config.data.crop)
    return build(config, images, split_rows(len(images), config.data))


def losses(training: Trainer, steps: int = STEPS) -> list[float]:
    """The losses of the first steps."""
    for _ in zip(range(steps), training.steps(), strict=False):
        pass
    return torch.stack(training.pending)[:, 0].tolist()


@pytest.mark.parametrize("preset", MODELS.values())
def test_replayed_steps_are_those_of_a_plain_loop(preset):
    replayed, plain = trainer(preset), trainer(preset)
    plain.stepper.graph, before = None, copy.deepcopy(plain.state.average)
    np.testing.assert_allclose(losses(replayed), losses(plain), rtol=2e-2)
    assert replayed.stepper.graph is not None
    assert replayed.stepper.graph._graphs
    # The averaged weights, which score: apart by little of the way that they went.
    average, other, first = (
        torch.cat([p.flatten() for p in model.parameters()])
        for model in (plain.state.average, replayed.state.average, before)
    )
    assert (other - average).norm() < 0.1 * (first - average).norm()
    assert float(replayed.state.decay) == float(plain.state.decay)
    assert (float(plain.state.decay) > 0) == (plain.config.train.ema_decay > 0)  # the course's presets do not average
    for ours, theirs in zip(*(run.state.optimizer.param_groups for run in (replayed, plain)), strict=True):
        assert float(ours["lr"]) == float(theirs["lr"])


@pytest.mark.parametrize("preset", ["resnet", "fcn_crop"])
def test_images_on_the_gpu_train_as_those_of_the_host(preset):
    resident, streamed = trainer(preset), trainer(preset)
    streamed.stepper.resident_NHWC = None
    np.testing.assert_allclose(losses(resident), losses(streamed), rtol=2e-2)


@pytest.mark.parametrize("preset", ["resnet", "fcn_crop"])
def test_a_replayed_step_that_overflows_float16_moves_no_weight_and_is_counted(preset):
    training = trainer(preset, precision="fp16")
    losses(training, 4)
    assert training.stepper.graph is not None
    assert training.stepper.graph._graphs
    before = copy.deepcopy(training.state.model.state_dict())
    training.state.scaler._scale.fill_(2.0**100)
    training.step(training.splits.train[:19])
    training.fetch_losses()
    assert training.state.progress.skipped_steps >= 1
    assert training.state.scaler.get_scale() < 2.0**100
    for name, parameter in training.state.model.named_parameters():
        torch.testing.assert_close(parameter.detach(), before[name], rtol=0, atol=0)
    for state in training.state.optimizer.state.values():
        assert all(value.isfinite().all() for value in state.values())


@pytest.mark.parametrize("preset", ["resnet", "fcn_crop"])
@pytest.mark.parametrize("devices", [("cuda", "cpu"), ("cpu", "cuda")])
def test_a_run_is_resumed_on_another_device(preset, devices, tmp_path):
    first, second = (trainer(preset, device) for device in devices)
    losses(first)
    first.state.save(tmp_path / "resume.pt")
    second.state.load(tmp_path / "resume.pt")
    second.state.progress.history = []
    rows = first.splits.train[:19]
    for training in (first, second):
        training.pending = []
        for _ in range(5):
            training.step(rows)
    values = [torch.stack(training.pending)[:, 0].tolist() for training in (first, second)]
    np.testing.assert_allclose(*values, rtol=3e-2)


@pytest.mark.parametrize("preset", MODELS.values())
def test_scores_are_the_cpus(preset):
    config = load_preset(preset)
    images = Images(demo_images("normal", 100, seed=1), config.data.crop)
    rows = np.arange(len(images))
    model = channels_last(trainer(preset, "cpu").state.average)
    cpu, gpu = (Scorer(copy.deepcopy(model), torch.device(kind), "fp32", 16) for kind in ("cpu", "cuda"))
    expected, table = cpu.table(images, rows), gpu.table(images, rows)
    assert expected.keys() == table.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(table[name], value, rtol=1e-2, atol=1e-2 * np.abs(value).max(), err_msg=name)
    replayed = slice(64, 80)
    _, direct = gpu.reconstruct(images.read(rows[replayed]))
    for name, value in direct.items():
        np.testing.assert_allclose(
            table[name][replayed], value, rtol=1e-3, atol=1e-3 * np.abs(value).max(), err_msg=name
        )


def test_threads_that_share_a_scorer_get_their_own_scores():
    config = load_preset("resnet")
    images = [Images(demo_images("normal", 160, seed=seed), config.data.crop) for seed in (1, 2)]
    scorer = Scorer(channels_last(trainer("resnet", "cpu").state.average), torch.device("cuda"), "fp32", 16)
    expected = [scorer.table(part, np.arange(160))["l1"] for part in images]
    with ThreadPoolExecutor(2) as threads:
        for _ in range(5):
            found = list(threads.map(lambda part: scorer.table(part, np.arange(160))["l1"], images))
            np.testing.assert_allclose(found, expected, rtol=1e-4)
