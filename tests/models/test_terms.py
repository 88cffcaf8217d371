"""What each model adds to the loss, against its formula written out, at points where no part of it vanishes."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hw8.models import create_model, recogniser
from hw8.models.classifier import near_misses
from hw8.models.losses import LOSSES, objective, selection_loss
from hw8.models.output import Output
from hw8.models.transformations import DAMAGES, QUARTERS, Transformed, parameter_names

SIDE, PIXELS = 32, 3 * 32 * 32


def images(count: int = 6, seed: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)) * 2 - 1


class Says(nn.Module):
    """A layer that says the same numbers (D,) of every input, whatever it is."""

    def __init__(self, *numbers: float) -> None:
        super().__init__()
        self.numbers = nn.Parameter(torch.tensor(numbers))

    def forward(self, x):
        return self.numbers.expand(len(x), -1)


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("likelihood", "scale"), [("gaussian", 2 * 0.3**2), ("bernoulli", 1.0)])
def test_the_vaes_kl(training, likelihood, scale):
    """KL(N(2, e^-1) || N(0, 1)) = (e^-1 + 4 - 1 + 1) / 2 nats a unit, 7 units, with beta .5 in the loss's units."""
    options = {"latent": 7, "sigma": 0.3, "beta": 0.5, "warmup": 0, "likelihood": likelihood}
    model = create_model("vae", SIDE, 3, options).train(training)
    model.encoder = Says(*[2.0] * 7, *[-1.0] * 7)
    kl = 7 * (math.exp(-1) + 4 - 1 + 1) / 2
    torch.testing.assert_close(
        model(images()).terms["kl"], torch.full((6,), 0.5 * kl * scale / PIXELS), rtol=1e-5, atol=0
    )
    assert model.evidence(images(), None)["kl"].tolist() == pytest.approx([kl] * 6, rel=1e-5)


def test_the_vaes_sample_has_the_deviation_that_its_log_variance_says():
    """exp(log-variance / 2): .61 for -1, not .37."""
    model = create_model("vae", SIDE, 3, {"latent": 40, "warmup": 0}).train()
    model.encoder = Says(*[2.0] * 40, *[-1.0] * 40)
    seen = []
    model.decode = lambda latent_ND: seen.append(latent_ND) or torch.zeros(len(latent_ND), 3, SIDE, SIDE)
    torch.manual_seed(0)
    model(images(50))
    model.eval()(images(50))
    assert seen[0].mean().item() == pytest.approx(2, abs=0.05)
    assert seen[0].std().item() == pytest.approx(math.exp(-0.5), rel=0.05)
    assert (seen[1] == 2).all(), "in evaluation the latent is the mean"


def test_what_the_recogniser_misses(monkeypatch):
    """Amounts by Huber's loss at .1 over .1, twice; a quarter turn and a damage by half their cross-entropies."""
    names, weight = parameter_names(3), 1.5
    model = create_model("recogniser", SIDE, 3, {"weight": weight}).train()
    amount_NP = torch.full((2, len(names)), 0.5)
    amount_NP[:, 1] = 0.21
    transformed = Transformed(images(2), amount_NP, torch.tensor([0, 2]), torch.tensor([1, 0]))
    monkeypatch.setattr(recogniser, "transform", lambda x_NCHW, chances: transformed)
    with torch.no_grad():
        model.heads.weight.zero_()
        model.heads.bias.zero_()
        model.heads.bias[: len(names)] = 0.2
        model.heads.bias[len(names)] = 2.0  # "not turned"
        model.heads.bias[-len(DAMAGES)] = 1.0  # "not damaged"
    terms = model(images(2)).terms
    far, near = 0.3 - 0.1 / 2, 0.01**2 / (2 * 0.1)
    amounts = (far * (len(names) - 1) + near) / len(names)
    turned = math.log(math.exp(2) + QUARTERS - 1)
    damaged = math.log(math.exp(1) + len(DAMAGES) - 1)
    assert terms["amounts"].tolist() == pytest.approx([2 * weight * amounts] * 2, rel=1e-4)
    assert terms["turn"].tolist() == pytest.approx([weight / 2 * (turned - 2), weight / 2 * turned], rel=1e-4)
    assert terms["damage"].tolist() == pytest.approx([weight / 2 * damaged, weight / 2 * (damaged - 1)], rel=1e-4)


def test_the_adversarial_term_names_latents_false_and_samples_of_the_prior_true():
    model = create_model("aae", SIDE, 3, {"latent": 4})
    model.discriminator = Says(0.7)
    assert model.eval()(images()).terms["adversarial"].tolist() == pytest.approx([softplus(0.7)] * 6)
    both = softplus(0.7) + softplus(-0.7)
    assert model.train()(images()).terms["adversarial"].tolist() == pytest.approx([both] * 6)
    model.discriminator = nn.Linear(4, 1)
    with torch.no_grad():
        model.discriminator.weight.copy_(torch.tensor([[1.0, 0, 0, 0]]))
        model.discriminator.bias.zero_()
    output = model.eval()(images())
    torch.testing.assert_close(output.terms["adversarial"], F.softplus(output.latent_ND[:, 0]))
    torch.testing.assert_close(model.evidence(images(), output)["discriminator_logit"], -output.latent_ND[:, 0])


@pytest.mark.parametrize("commitment", [0.25, 2.0])
def test_the_commitment_is_weighted(commitment):
    torch.manual_seed(0)
    model = create_model("vqvae", SIDE, 3, {"commitment": commitment}).eval()
    map_NDhw = model.encoder(images())
    flat_QD = map_NDhw.permute(0, 2, 3, 1).reshape(-1, 32)
    nearest = model.codebook.codes[torch.cdist(flat_QD, model.codebook.codes).argmin(1)]
    expected = commitment * (flat_QD - nearest).square().view(6, -1).mean(1)
    output = model(images())
    torch.testing.assert_close(output.terms["commitment"], expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        model.evidence(images(), output)["code_distance"] * commitment, expected, rtol=1e-4, atol=1e-6
    )


def test_the_memorys_entropy_is_a_cost():
    """Over 16 equal slots the addressing's entropy is log 16 at every place; sharper addressing costs less."""
    torch.manual_seed(0)
    model = create_model("memae", SIDE, 3, {"slots": 16, "entropy_weight": 0.3}).eval()
    with torch.no_grad():
        model.memory.slots.copy_(torch.ones(16, 64))
    assert model(images()).terms["entropy"].tolist() == pytest.approx([0.3 * math.log(16)] * 6, rel=1e-5)
    with torch.no_grad():
        model.memory.slots.normal_()
    model.memory.temperature = 0.05
    output = model(images())
    assert (output.terms["entropy"] < 0.9 * 0.3 * math.log(16)).all()
    torch.testing.assert_close(output.terms["entropy"], 0.3 * model.evidence(images(), output)["address_entropy"])


def test_the_auxiliary_error_is_weighted_by_the_main_one():
    torch.manual_seed(0)
    model = create_model("auxiliary", SIDE, 3, {"weight": 0.5, "latent": 8}).eval()
    output = model(images())
    second = torch.tanh(model.auxiliary(output.latent_ND))
    main_N = (output.recon_NCHW - images()).square().flatten(1).mean(1)
    error_N = (second - images()).square().flatten(1).mean(1)
    torch.testing.assert_close(output.terms["auxiliary"], 0.5 * error_N * main_N / main_N.mean())
    values = model.evidence(images(), output)
    torch.testing.assert_close(values["auxiliary_mse"], error_N)
    both = ((second - images()).abs() + (output.recon_NCHW - images()).abs()).flatten(1).mean(1) / 2
    torch.testing.assert_close(values["both_l1"], both)


def test_the_classifier_names_images_real_and_near_misses_false():
    """Log-odds of .4 of being changed for each: half of log(1 + e^.4) for the image, of log(1 + e^-.4) for the copy."""
    model = create_model("classifier", SIDE, 3, {"weight": 0.2})
    model.classifier = Says(0.4)
    expected = 0.2 * (softplus(0.4) + softplus(-0.4)) / 2
    assert model.train()(images()).terms["classifier"].tolist() == pytest.approx([expected] * 6)


@pytest.mark.parametrize("negatives", ["near_miss", "pixel_noise"])
def test_the_classifier_meets_the_image_first_and_its_changed_copy_second(negatives, monkeypatch):
    model = create_model("classifier", SIDE, 3, {"negatives": negatives, "strength": 30.0}).train()
    seen = []
    model.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    torch.manual_seed(0)
    model(images())
    torch.manual_seed(0)
    real, changed = seen[0].chunk(2)
    torch.testing.assert_close(real, images())
    if negatives == "near_miss":
        torch.testing.assert_close(changed, near_misses(images()))
    else:
        assert (changed - real).std().item() == pytest.approx(30 / 127.5, rel=0.1)


def test_dropout_zeroes_a_share_of_the_latent_and_scales_the_rest():
    model = create_model("denoising", SIDE, 3, {"corruption": "dropout", "strength": 0.2, "latent": 400}).train()
    model.encoder = Says(*[1.0] * 400)
    torch.manual_seed(0)
    latent_ND = model(images(20)).latent_ND
    assert (latent_ND == 0).float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert latent_ND.unique().tolist() == [0.0, pytest.approx(1 / 0.8)]
    assert (model.eval()(images(20)).latent_ND == 1).all()


def test_losses_by_hand():
    x, recon = torch.full((2, 1, 2, 2), 0.5), torch.full((2, 1, 2, 2), -0.3)
    recon[1] = 0.5
    x.requires_grad_()
    recon.requires_grad_()
    assert LOSSES["mse"](recon, x).tolist() == pytest.approx([0.64, 0])
    assert LOSSES["l1"](recon, x).tolist() == pytest.approx([0.8, 0])
    p, q = 0.75, 0.35
    entropy = -(p * math.log(p) + (1 - p) * math.log(1 - p))
    expected = [-(p * math.log(q) + (1 - p) * math.log(1 - q)), entropy]
    assert LOSSES["bce"](recon, x).tolist() == pytest.approx(expected, rel=1e-5)
    (LOSSES["mse"](recon, x) * torch.tensor([1.0, 3.0])).sum().backward()
    torch.testing.assert_close(recon.grad[0], torch.full((1, 2, 2), 2 * -0.8 / 4))
    torch.testing.assert_close(x.grad[0], torch.full((1, 2, 2), 2 * 0.8 / 4))


def test_the_objective_adds_all_terms_and_the_best_epoch_looks_at_the_reconstruction_alone():
    x = torch.zeros(2, 1, 2, 2)
    output = Output(x + 0.5, torch.zeros(2, 1), {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([10.0, 20.0])})
    assert objective("mse", output, x).tolist() == [11.25, 22.25]
    assert selection_loss("mse", output, x).tolist() == [0.25, 0.25]
    bare = output._replace(recon_NCHW=None)
    assert objective("mse", bare, x).tolist() == [11, 22]
    assert selection_loss("mse", bare, x).tolist() == [11, 22]
