"""What the models are trained on besides clean images: corrupted inputs and near-misses."""

import pytest
import torch
from torch import nn

from hw8.base.errors import InputError
from hw8.data.arrays import to_pixels
from hw8.data.demo import demo_images
from hw8.evaluation.metrics import roc_auc
from hw8.models import create_model
from hw8.models import noise as noises
from hw8.models.classifier import near_misses
from hw8.models.losses import objective


def images(count: int = 8, side: int = 32) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1


class TestCorruptions:
    X = torch.full((64, 3, 32, 32), 0.25)

    def test_gaussian_noise_has_its_strength_in_grey_levels(self):
        torch.manual_seed(0)
        noisy = noises.gaussian(self.X, 20.0, torch.randn(self.X.shape))
        assert float((noisy - self.X).std()) == pytest.approx(20 / 127.5, rel=0.02)

    def test_salt_and_pepper(self):
        torch.manual_seed(0)
        noisy = noises.salt_pepper(self.X, 0.2, torch.rand(64, 1, 32, 32))
        assert float((noisy == 1).float().mean()) == pytest.approx(0.1, abs=0.01)
        assert float((noisy == -1).float().mean()) == pytest.approx(0.1, abs=0.01)
        assert (noisy.std(1) == 0).all(), "all channels of a pixel go together"

    @pytest.mark.parametrize("name", ["mask_pixels", "mask_blocks"])
    def test_masks_set_a_share_of_the_pixels_to_zero(self, name):
        torch.manual_seed(0)
        masked = noises.NOISES[name](self.X, 0.25, torch.rand(64, *noises.noise_shape(name, 32, 3, 8)))
        assert float((masked == 0).float().mean()) == pytest.approx(0.25, abs=0.02)

    def test_blocks_are_whole(self):
        torch.manual_seed(0)
        masked = noises.mask_blocks(self.X, 0.5, torch.rand(64, 1, 8, 8))
        tiles = masked.view(64, 3, 8, 4, 8, 4).permute(0, 1, 2, 4, 3, 5).flatten(-2)
        assert (tiles.std(-1) == 0).all()

    @pytest.mark.parametrize("name", ["vae", "denoising"])
    def test_the_noise_of_scoring_is_fixed_and_not_saved(self, name):
        """It is the same whatever was drawn before it, moves between devices and types, and saves no bytes."""
        model, name_of_noise = create_model(name, 32), {"vae": "noise_KD", "denoising": "noise_KS"}[name]
        noise_KS = getattr(model, name_of_noise)
        torch.manual_seed(1)
        assert (getattr(create_model(name, 32), name_of_noise) == noise_KS).all()
        expected_S = torch.randn(noise_KS.shape[1:], generator=torch.Generator().manual_seed(noises.SEED + 1))
        assert (noise_KS[1] == expected_S).all()
        assert name_of_noise not in model.state_dict()
        assert getattr(model.to("meta"), name_of_noise).is_meta

    def test_noise_that_would_fill_the_memory_is_refused_before_it_is_drawn(self):
        with pytest.raises(InputError, match="at most 500,000,000 are allowed"):
            create_model("denoising", 32, 3, {"draws": 10**6})

    def test_the_input_is_corrupted_while_training_only(self):
        torch.manual_seed(0)
        model = create_model("denoising", 32)
        seen = []
        model.encoder.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
        x_NCHW = images()
        model(x_NCHW)
        model.eval()(x_NCHW)
        assert (seen[0] != x_NCHW).any()
        assert (seen[1] == x_NCHW).all()

    @pytest.mark.parametrize(
        ("options", "words"), [({"strength": 0}, "strength = 0"), ({"corruption": "rain"}, "rain")]
    )
    def test_nonsense_is_refused(self, options, words):
        with pytest.raises(ValueError, match=words):
            create_model("denoising", 32, 3, options)


def test_near_misses_stay_near():
    """Every image changes, none leaves the pixel range, and most pixels of most images stay close."""
    torch.manual_seed(0)
    smooth = nn.functional.interpolate(torch.randn(200, 3, 4, 4).clamp(-1, 1), size=32, mode="bilinear")
    changed = near_misses(smooth)
    difference = (changed - smooth).abs().flatten(1)
    assert (difference.max(1).values > 0.01).float().mean() > 0.97
    assert changed.abs().max() <= 1
    assert difference.mean() < 0.35


@pytest.mark.slow
def test_the_classifier_learns_to_tell_near_misses():
    """After 120 steps on 100 generated faces, its log-odds rank near-misses of other faces above the faces."""
    torch.manual_seed(0)
    model = create_model("classifier", 32, 3, {"backbone": "conv", "weight": 1.0})
    faces = to_pixels(torch.from_numpy(demo_images("normal", 150, seed=1)[:, 16:48, 16:48].copy()))
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    for _ in range(60):
        x_NCHW = faces[torch.randint(100, (32,))]
        objective("mse", model(x_NCHW), x_NCHW).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    with torch.no_grad():
        logits = [model.evidence(x, model(x))["classifier_logit"] for x in (faces[100:], near_misses(faces[100:]))]
    assert roc_auc(*(logit.numpy() for logit in logits)) > 0.65
