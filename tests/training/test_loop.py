"""One training: its random numbers, its losses, its pictures."""

import time

import numpy as np
import pytest
import torch

from hw8.base.errors import InputError
from hw8.base.processes import Processes
from hw8.config.presets import changed
from hw8.data.arrays import to_pixels
from hw8.data.sources import open_source
from hw8.data.splits import split_rows
from hw8.models.transformations import GEOMETRY, MIRRORED_TURNS, _moved, mirror_signs
from hw8.runs import train as session
from hw8.training import loop, step
from tests.models.test_transformations import faces_like


@pytest.fixture
def trainer(quick):
    images = open_source(quick.data.source).training()
    return session.build(quick, images, split_rows(len(images), quick.data))


def test_pictures_show_each_image_above_its_reconstruction(trainer):
    x_NCHW = to_pixels(torch.from_numpy(trainer.images.read(trainer.splits.development[:8])))
    pictures_NCHW = trainer._pictures()
    torch.testing.assert_close(pictures_NCHW[:, :, :16], x_NCHW)
    with torch.no_grad():
        torch.testing.assert_close(
            pictures_NCHW[:, :, 16:], trainer.state.average(x_NCHW).recon_NCHW, atol=0.02, rtol=0
        )


def test_a_batch_that_leaves_a_process_without_an_image_is_refused(trainer, monkeypatch):
    monkeypatch.setattr(session, "processes", lambda: Processes(count=3))
    cpu = torch.device("cpu")
    with pytest.raises(InputError, match="2 images in a batch cannot be shared by 3 processes"):
        session._check_trainable(changed(trainer.config, train={"batch_size": 2}), 320, cpu)
    session._check_trainable(changed(trainer.config, train={"batch_size": 4}), 320, cpu)


def test_steps_of_other_seeds_draw_other_numbers():
    drawn = []
    for seed, number in ((0, 1), (1, 0), (0, 0), (1, 1)):
        step._seed_layers(seed, number, 0, torch.device("cpu"))
        drawn.append(torch.rand(1).item())
    assert len(set(drawn)) == 4


@pytest.mark.parametrize("name", GEOMETRY)
def test_mirroring_an_image_mirrors_its_amounts(name):
    x_NCHW, signs = faces_like(4), dict(zip(GEOMETRY, mirror_signs(3)[:5].tolist(), strict=True))
    still_N = torch.zeros(4, dtype=torch.long)

    def moved(image_NCHW, amount, turn=0):
        amounts = {other: torch.zeros(4) for other in GEOMETRY} | {name: torch.full((4,), amount)}
        return _moved(image_NCHW.clone(), amounts, still_N + turn, still_N > 0)

    torch.testing.assert_close(moved(x_NCHW.flip(3), signs[name] * 0.7), moved(x_NCHW, 0.7).flip(3), atol=1e-4, rtol=0)
    for turn, mirrored in enumerate(MIRRORED_TURNS):
        torch.testing.assert_close(moved(x_NCHW.flip(3), 0.0, mirrored), moved(x_NCHW, 0.0, turn).flip(3))


def test_the_rate_of_an_epoch_is_that_of_its_steps_alone(quick, tmp_path, monkeypatch):
    original, clock, ahead = loop.Trainer.save, time.monotonic, [0.0]
    monkeypatch.setattr(loop.time, "monotonic", lambda: clock() + ahead[0])

    def save(self):
        ahead[0] += 100
        original(self)

    monkeypatch.setattr(loop.Trainer, "save", save)
    run = session.train_run(changed(quick, train={"epochs": 2}), tmp_path / "run")
    rate = np.genfromtxt(run.folder.metrics, delimiter=",", names=True)["images_per_second"][1]
    assert len(run.splits.train) / rate < 50
