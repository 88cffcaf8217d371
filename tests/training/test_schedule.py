import itertools

import pytest

from hw8.config import TrainConfig
from hw8.training.averaging import averaging_decay
from hw8.training.schedule import learning_rate, with_enough_steps

CONFIG = TrainConfig(lr=1.0, warmup_share=0.1, final_lr_share=0.02)


def test_climbs_then_falls():
    rates = [learning_rate(step, 100, CONFIG) for step in range(100)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10] == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.02)
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))
    assert rates[10 + 45] == pytest.approx(0.02 + 0.98 * 0.5, abs=0.02)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_very_short_trainings(steps):
    assert all(0 < learning_rate(step, steps, CONFIG) <= 1 for step in range(steps))


def test_without_warm_up():
    assert learning_rate(0, 10, TrainConfig(lr=1.0, warmup_share=0.0)) == 1.0


def test_the_average_forgets_its_first_weights():
    assert averaging_decay(0, CONFIG.ema_decay) == pytest.approx(0.1)
    assert averaging_decay(10_000, CONFIG.ema_decay) == CONFIG.ema_decay
    assert averaging_decay(50, 0.0) == 0


def test_warm_up_is_rounded_up():
    config = TrainConfig(lr=1.0, warmup_share=0.1)
    assert [learning_rate(step, 15, config) for step in (0, 1, 2)] == pytest.approx([0.5, 1, 1])


def test_exactly_enough_steps_are_enough():
    preset = TrainConfig(epochs=20, batch_size=128, least_steps=60)
    assert with_enough_steps(preset, 384) == preset
