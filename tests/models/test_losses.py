import math

import pytest
import torch

from hw8.models.losses import bce, l1, mse

X = torch.tensor([[[[-1.0, 1.0]]], [[[0.0, 0.5]]]])
R = torch.tensor([[[[-0.5, 1.0]]], [[[0.0, -0.5]]]])


def test_by_hand():
    torch.testing.assert_close(mse(R, X), torch.tensor([0.125, 0.5]))
    torch.testing.assert_close(l1(R, X), torch.tensor([0.25, 0.5]))
    # on [0, 1]: targets (0, 1) and (0.5, 0.75), means (0.25, 1) and (0.5, 0.25)
    first = -math.log(0.75) / 2
    second = (math.log(2) - 0.75 * math.log(0.25) - 0.25 * math.log(0.75)) / 2
    torch.testing.assert_close(bce(R, X), torch.tensor([first, second]))


def test_bce_agrees_with_the_bernoulli_of_torch():
    generator = torch.Generator().manual_seed(0)
    x, recon = (torch.rand(5, 3, 4, 4, generator=generator) * 1.98 - 0.99 for _ in range(2))
    expected = -torch.distributions.Bernoulli((recon + 1) / 2, validate_args=False).log_prob((x + 1) / 2)
    torch.testing.assert_close(bce(recon, x), expected.flatten(1).mean(1))


@pytest.mark.parametrize("loss", [mse, l1, bce])
def test_least_where_the_reconstruction_is_the_image(loss):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(4, 3, 8, 8, generator=generator) * 2 - 1
    best = loss(x, x)
    for shift in (-0.1, 0.1):
        assert (loss((x + shift).clamp(-1, 1), x) > best).all()


def test_bce_is_finite_at_the_ends():
    ends = torch.tensor([[[[-1.0, 1.0]]]])
    assert torch.isfinite(bce(ends, -ends)).all()
    assert bce(ends, ends).item() == 0
