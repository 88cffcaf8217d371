"""The models' formulas against other ways of computing them."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from hw8.config.presets import load_preset
from hw8.models import create_model
from hw8.models.adversarial import reverse_gradient
from hw8.models.blocks import ResidualBlock, picked
from hw8.models.memae import MemaeOptions, Memory, entropy, hard_shrink
from hw8.models.vae import VaeOptions, VariationalAutoencoder, kl_to_standard_normal
from hw8.models.vqvae import Codebook, straight_through


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def images(count: int = 8, side: int = 32) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1


class TestVariational:
    def test_kl_agrees_with_torch_distributions(self):
        mean, log_variance = rand(50, 7), rand(50, 7, seed=1)
        expected = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).sum(1)
        torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), expected)

    @pytest.fixture
    def linear(self):
        """x = W z + N(0, sigma^2 I), W with orthogonal columns: posterior and evidence are known normals."""
        side, latent, sigma = 4, 3, 0.4
        pixels = side * side
        scales = torch.tensor([2.0, 1.0, 0.5])
        weight_PD = torch.linalg.qr(rand(pixels, latent).double())[0].float() * scales
        variance = 1 / (1 + scales**2 / sigma**2)

        class Encoder(nn.Module):
            def forward(self, x_NCHW):
                mean = x_NCHW.flatten(1) @ weight_PD * variance / sigma**2
                return torch.cat([mean, variance.log().expand_as(mean)], 1)

        class Linear(VariationalAutoencoder):
            def decode(self, latent_ND):
                return (latent_ND @ weight_PD.T).view(-1, 1, side, side)

        model = Linear(Encoder(), nn.Identity(), VaeOptions(latent=latent, sigma=sigma, warmup=0)).eval()
        x_NCHW = (rand(20, latent) @ weight_PD.T + sigma * rand(20, pixels, seed=3)).view(-1, 1, side, side)
        covariance = weight_PD @ weight_PD.T + sigma**2 * torch.eye(pixels)
        evidence_N = MultivariateNormal(torch.zeros(pixels), covariance).log_prob(x_NCHW.flatten(1))
        return model, x_NCHW, evidence_N

    def test_with_the_exact_posterior_every_bound_is_the_evidence(self, linear):
        """log p(x, z) - log q(z | x) = log p(x) for every z, if q is the posterior."""
        model, x_NCHW, evidence_N = linear
        weights_KN = model.log_weights(x_NCHW, *model.encode(x_NCHW), model.noise_KD)
        torch.testing.assert_close(weights_KN, evidence_N.expand(8, -1), rtol=1e-3, atol=1e-2)
        values = model.evidence(x_NCHW, model(x_NCHW))
        for name in ("nelbo", "iwae"):
            torch.testing.assert_close(-values[name], evidence_N, rtol=1e-3, atol=1e-2)

    def test_with_another_posterior_the_bounds_are_ordered(self, linear):
        model, x_NCHW, evidence_N = linear
        exact = model.encoder

        class Wide(nn.Module):
            def forward(self, x_NCHW):
                mean, log_variance = exact(x_NCHW).chunk(2, 1)
                return torch.cat([mean * 0.8, log_variance + 0.7], 1)

        model.encoder = Wide()
        weights_KN = model.log_weights(x_NCHW, *model.encode(x_NCHW), rand(4000, 3, seed=4))
        elbo_N = weights_KN.mean(0)
        iwae_N = torch.logsumexp(weights_KN, 0) - math.log(4000)
        assert (elbo_N < evidence_N).all()
        assert (elbo_N < iwae_N).all()
        torch.testing.assert_close(iwae_N, evidence_N, rtol=0, atol=0.2)
        values = model.evidence(x_NCHW, model(x_NCHW))
        assert (values["iwae"] <= values["nelbo"] + 1e-4).all(), "IWAE is never below the ELBO of the same samples"

    def test_training_loss_is_the_negative_elbo_in_the_losses_units(self):
        """MSE + 2 sigma^2 KL / D is the negative ELBO, up to its constant, times 2 sigma^2 / D."""
        torch.manual_seed(0)
        model = create_model("vae", 32, 3, {"sigma": 0.3, "warmup": 0}).eval()
        x_NCHW = images()
        with torch.no_grad():
            output = model(x_NCHW)
            likelihood_N = model.log_likelihood(x_NCHW, output.recon_NCHW)
            kl_N = kl_to_standard_normal(*model.encode(x_NCHW))
        pixels = 3 * 32 * 32
        constant = pixels / 2 * math.log(2 * math.pi * 0.3**2)
        expected = (-likelihood_N + kl_N - constant) * 2 * 0.3**2 / pixels
        squared_N = (output.recon_NCHW - x_NCHW).square().flatten(1).mean(1)
        torch.testing.assert_close(squared_N + output.terms["kl"], expected, rtol=1e-5, atol=1e-7)

    def test_bernoulli_likelihood_agrees_with_torch(self):
        model = create_model("vae", 32, 3, {"likelihood": "bernoulli"}).eval()
        x_NCHW, recon_NCHW = images(), images().roll(1, 0) * 0.9
        bernoulli = torch.distributions.Bernoulli((recon_NCHW + 1) / 2, validate_args=False)
        expected = bernoulli.log_prob((x_NCHW + 1) / 2).flatten(1).sum(1)
        torch.testing.assert_close(model.log_likelihood(x_NCHW, recon_NCHW), expected, rtol=1e-4, atol=0.1)

    def test_beta_warms_up_with_the_training_steps(self):
        model = create_model("vae", 32, 3, {"beta": 0.5, "warmup": 4})
        assert [model._beta() for _ in range(6)] == pytest.approx([0.125, 0.25, 0.375, 0.5, 0.5, 0.5])
        assert model.eval()._beta() == 0.5

    def test_active_units_are_counted(self):
        model = create_model("vae", 32, 3, {"latent": 6})

        class Encoder(nn.Module):
            def forward(self, x_NCHW):
                mean = rand(len(x_NCHW), 6) * torch.tensor([1.0, 0.5, 0.2, 0.01, 0.0, 0.0])
                return torch.cat([mean, torch.zeros(len(x_NCHW), 6)], 1)

        model.encoder = Encoder()
        assert model.diagnose(images(200)) == {"active_units": 3, "latent_units": 6}


class TestMemory:
    def test_addressing_by_hand(self):
        memory = Memory(MemaeOptions(slots=3, dim=2))
        with torch.no_grad():
            memory.slots.copy_(torch.tensor([[2.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
        answer, weight = memory(torch.tensor([[5.0, 0.0]]))
        expected = torch.softmax(torch.tensor([1.0, 0.0, -1.0]), 0)
        torch.testing.assert_close(weight[0], expected)
        torch.testing.assert_close(answer[0], expected @ memory.slots)

    def test_hard_shrinkage_by_hand(self):
        weight = torch.tensor([[0.5, 0.3, 0.15, 0.05]])
        torch.testing.assert_close(hard_shrink(weight, 0.2), torch.tensor([[0.625, 0.375, 0.0, 0.0]]))
        torch.testing.assert_close(hard_shrink(weight, 0.0), weight)

    def test_entropy_is_least_for_one_slot_and_most_for_all(self):
        torch.testing.assert_close(entropy(torch.eye(4)), torch.zeros(4), atol=1e-5, rtol=0)
        assert entropy(torch.full((1, 8), 1 / 8)).item() == pytest.approx(math.log(8), rel=1e-5)

    def test_sparse_addressing_uses_fewer_slots(self):
        torch.manual_seed(0)
        uniform = create_model("memae", 32).eval().diagnose(images())
        torch.manual_seed(0)
        sparse = create_model("memae", 32, 3, {"shrink": 1.0, "temperature": 0.1}).eval().diagnose(images())
        assert uniform["slots_in_use"] > 0.9 * uniform["slots"]
        assert sparse["slots_in_use"] < 0.6 * sparse["slots"]


class TestVectorQuantised:
    def test_straight_through(self):
        latent = rand(5, 3).requires_grad_()
        quantised = latent.detach().round()
        through = straight_through(latent, quantised)
        torch.testing.assert_close(through, quantised)
        (through * rand(5, 3, seed=2)).sum().backward()
        torch.testing.assert_close(latent.grad, rand(5, 3, seed=2))

    def test_nearest_code(self):
        book = Codebook(10, 4, 0.9)
        latent = rand(30, 4)
        np.testing.assert_array_equal(book.assign(latent), torch.cdist(latent, book.codes).argmin(1))

    def test_codes_follow_the_mean_of_their_latents(self):
        torch.manual_seed(0)
        book = Codebook(2, 2, 0.5)
        book.codes.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
        book.total.copy_(book.codes)
        latent = torch.tensor([[2.0, 1.0], [3.0, 0.0], [-2.0, 0.0]])
        book.update(latent, book.assign(latent))
        # counts: 0.5 * 1 + 0.5 * (2, 1); totals: 0.5 * code + 0.5 * sum of latents
        torch.testing.assert_close(book.count, torch.tensor([1.5, 1.0]))
        torch.testing.assert_close(book.codes, torch.tensor([[3.0 / 1.5, 0.5 / 1.5], [-1.5, 0.0]]))

    def test_dead_codes_come_back_to_life(self):
        torch.manual_seed(0)
        book = Codebook(8, 2, 0.5)
        book.codes[1:] += 100
        book.total.copy_(book.codes)
        latent = rand(200, 2)
        before = book.perplexity(book.assign(latent))
        for _ in range(20):
            book.update(latent, book.assign(latent))
        assert before == pytest.approx(1)
        assert book.perplexity(book.assign(latent)) > 4

    def test_perplexity_by_hand(self):
        book = Codebook(4, 2, 0.9)
        assert book.perplexity(torch.tensor([0, 1, 0, 1])) == pytest.approx(2)
        assert book.perplexity(torch.tensor([3, 3])) == pytest.approx(1)


def test_reversed_gradients():
    x = rand(4, 3).requires_grad_()
    reverse_gradient(x, 0.3).sum().backward()
    torch.testing.assert_close(x.grad, torch.full((4, 3), -0.3))


class TestDeepSvdd:
    def test_has_no_bias_and_its_centre_stays_away_from_zero(self):
        torch.manual_seed(0)
        model = create_model("deep_svdd", 32)
        assert not [name for name, _ in model.named_parameters() if name.endswith("bias")]
        model(images())
        centre = model.centre.clone()
        assert (centre.abs() >= 0.1).all()
        model(images().flip(0) * 0.5)
        torch.testing.assert_close(model.centre, centre, rtol=0, atol=0)

    def test_distance_by_hand(self):
        model = create_model("deep_svdd", 32).eval()
        model.centre.fill_(0.5)
        output = model(images())
        expected = (output.latent_ND - 0.5).square().mean(1)
        torch.testing.assert_close(output.terms["distance"], expected)
        torch.testing.assert_close(model.evidence(images(), output)["distance"], expected.sqrt())


def test_the_auxiliary_decoder_does_not_move_the_encoder():
    torch.manual_seed(0)
    model = create_model("auxiliary", 32)
    model(images()).terms["auxiliary"].mean().backward()
    assert all(parameter.grad is None for parameter in model.encoder.parameters())
    assert all(parameter.grad is None for parameter in model.decoder.parameters())
    assert all(parameter.grad is not None for parameter in model.auxiliary.parameters())


@pytest.mark.parametrize(
    ("name", "expected"),
    # The last is counted by hand: 588 + 4,632 + 2 * 18,480 weights down, 18,456 + 4,620 + 579 up.
    [("course_fcn", 3_176_419), ("course_cnn", 47_355), ("course_vae", 65_835)],
)
def test_the_sample_notebooks_models_have_its_parameters(name, expected):
    config = load_preset(name)
    model = create_model(config.model.name, 64, 3, config.model.options)
    assert sum(p.numel() for p in model.parameters()) == expected
    assert (config.train.lr, config.train.batch_size, config.train.epochs) == (1e-3, 2000, 50)
    assert (config.train.loss, config.scoring.score) == ("mse", "rse")


def test_a_shortcut_is_a_strided_convolution():
    torch.manual_seed(0)
    ours, plain = torch.nn.Conv2d(8, 5, 1, bias=False), torch.nn.Conv2d(8, 5, 1, stride=2, bias=False)
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(7, 8, 6, 6)
    torch.testing.assert_close(ours(picked(x, 2)), plain(x))


@pytest.mark.parametrize("side", [8, 9])
def test_the_gradient_of_a_halving_block_is_that_of_its_formula(side):
    torch.manual_seed(0)
    block, x = ResidualBlock(4, 6, 2).double(), torch.randn(5, 4, side, side, dtype=torch.float64, requires_grad=True)
    factor = torch.randn(5, 6, (side + 1) // 2, (side + 1) // 2)
    inputs = x, *block.parameters()
    ours = torch.autograd.grad((block(x) * factor).sum(), inputs)
    formula = (block.main(x) + block.shortcut(x[:, :, ::2, ::2])).relu()
    torch.testing.assert_close(ours, torch.autograd.grad((formula * factor).sum(), inputs))


def test_narrow_residual_blocks_train_without_a_crash():
    """Eight channels at stride 2, channels_last, several threads: what PyTorch's own strided kernel crashes on."""
    block = ResidualBlock(8, 8, 2).to(memory_format=torch.channels_last)
    for count in range(50, 60):
        x = torch.randn(count, 8, 16, 16).to(memory_format=torch.channels_last).requires_grad_()
        block(x).square().mean().backward()
        assert torch.isfinite(x.grad).all()
