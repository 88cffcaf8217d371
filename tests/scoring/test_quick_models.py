"""Models made quick for scoring: folded, and with operations of oneDNN."""

import copy
import pickle

import numpy as np
import pytest
import torch

from hw8.base.device import autocast, channels_last
from hw8.base.errors import InputError
from hw8.config.presets import PRESETS, load_preset
from hw8.models import create_model
from hw8.models.blocks import CRASHING_SIZE, Layers, Projection, ResidualBlock
from hw8.scoring import onednn
from hw8.scoring.evidence import evidence
from hw8.scoring.folding import folded
from hw8.scoring.onednn import OneDnnLayer, OneDnnResidualBlock, has_onednn, with_onednn

CPU = torch.device("cpu")
needs_bf16 = pytest.mark.skipif(not has_onednn("bf16"), reason="needs AVX-512")
PRECISIONS = ["fp32", pytest.param("bf16", marks=needs_bf16)]
# One preset of each model and backbone.
MODELS = {name: load_preset(name).model for name in PRESETS}
PRESETS_OF = {(model.name, model.options.get("backbone")): name for name, model in MODELS.items()}


def trained_looking(name: str, side: int = 32, channels: int = 3) -> torch.nn.Module:
    """A preset's model for evaluation, with statistics in its normalisations as after a training."""
    preset = load_preset(name)
    torch.manual_seed(0)
    model = create_model(preset.model.name, side, channels, preset.model.options)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return channels_last(model.eval())


def images(count: int, side: int = 32, channels: int = 3) -> torch.Tensor:
    return (torch.rand(count, channels, side, side) * 2 - 1).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", ["fcn_crop", "conv", "resnet", "multi_encoder", "boss", "memae", "deep_svdd", "vae"])
@torch.inference_mode()
def test_a_folded_model_says_the_same(name):
    """Normalisations folded into the layers before them change nothing but the last digits."""
    model, x_NCHW = trained_looking(name), images(5)
    quick = folded(model)
    expected, output = model(x_NCHW), quick(x_NCHW)
    torch.testing.assert_close(output.latent_ND, expected.latent_ND, rtol=1e-3, atol=1e-4)
    if expected.recon_NCHW is not None:
        torch.testing.assert_close(output.recon_NCHW, expected.recon_NCHW, rtol=1e-3, atol=1e-4)
    norms = [sum("BatchNorm" in type(module).__name__ for module in m.modules()) for m in (model, quick)]
    assert norms[1] < norms[0] or norms[0] == 0


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", PRESETS_OF.values())
@torch.inference_mode()
def test_it_gives_the_same_evidence(name, precision):
    """In float32 but for the last digits; in bfloat16 as near to float32 as the layers themselves."""
    for side, channels, count in ((32, 3, 20), (16, 1, 5), (33, 1, 1)):
        try:
            model = folded(trained_looking(name, side, channels))
        except InputError:  # convolutions need another side
            continue
        quick, x_NCHW = with_onednn(copy.deepcopy(model), precision, CPU), images(count, side, channels)
        exact = evidence(model, x_NCHW)
        with autocast(precision, CPU):
            plain, values = evidence(model, x_NCHW), evidence(quick, x_NCHW)
        for key, exact_N in exact.items():
            assert values[key].shape == exact_N.shape
            if precision == "fp32":
                torch.testing.assert_close(values[key], exact_N, rtol=1e-3, atol=1e-4)
            else:
                errors = [(value[key] - exact_N).square().mean().sqrt().item() for value in (values, plain)]
                assert errors[0] <= 1.5 * errors[1] + 2e-3 * exact_N.abs().mean().item(), (key, side, channels)


@pytest.mark.skipif(not has_onednn("fp32"), reason="layers stay on other processors")
def test_every_layer_of_the_boss_is_one_operation():
    quick = with_onednn(folded(trained_looking("boss")), "fp32", CPU)
    blocks = [module for module in quick.modules() if isinstance(module, ResidualBlock)]
    assert {type(block) for block in blocks} == {OneDnnResidualBlock}
    layers = [module for module in quick.features.modules() if isinstance(module, OneDnnLayer)]
    assert len(layers) == 2 + 3 * len(blocks)
    assert not any(isinstance(module, torch.nn.ReLU) for module in quick.features.modules())


def test_other_devices_and_precisions_keep_their_layers():
    for precision, device in (("fp16", CPU), ("fp32", torch.device("meta"))):
        quick = with_onednn(folded(trained_looking("resnet")), precision, device)
        assert not any(isinstance(module, OneDnnLayer) for module in quick.modules())


@needs_bf16
@torch.inference_mode()
def test_layers_outside_of_autocast_stay_in_float32():
    """A classifier's log-odds are computed in float32 whatever the precision of the network before it."""
    layer = OneDnnLayer(torch.nn.Linear(8, 3), has_relu=False, precision="bf16")
    x_ND = torch.randn(4, 8)
    torch.testing.assert_close(layer(x_ND), layer.layer(x_ND))
    with autocast("bf16", CPU):
        assert layer(x_ND).dtype == torch.bfloat16


@needs_bf16
@pytest.mark.parametrize("rows", [2, 8, 32])
@torch.inference_mode()
def test_the_size_that_ends_the_process_elsewhere_is_computed(rows):
    layers = Layers(Projection(CRASHING_SIZE // rows, 2))
    quick = with_onednn(copy.deepcopy(layers), "bf16", CPU)
    x_ND = torch.randn(rows, CRASHING_SIZE // rows)
    with autocast("bf16", CPU):
        np.testing.assert_allclose(quick(x_ND).float(), layers(x_ND).float(), atol=0.02)


@pytest.mark.parametrize("place", ["features.layers.0.weight", "decoder.layers.0.norm.running_mean"])
@torch.inference_mode()
def test_a_broken_model_has_no_finite_scores(place):
    """A weight, or a statistic of a normalisation that is not folded, which is not a number."""
    model = folded(trained_looking("boss"))
    model.state_dict()[place][0] = torch.nan
    values = evidence(with_onednn(model, "fp32", CPU), images(2))
    assert not values["amounts" if "features" in place else "l1"].isfinite().any()


class Centred(torch.nn.Conv2d):
    """A convolution by other weights than its own."""

    def forward(self, x_NCHW):
        return self._conv_forward(x_NCHW, self.weight - self.weight.mean(), self.bias)


@pytest.mark.parametrize(
    "layer",
    [
        Centred(3, 4, 3),
        torch.nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
        torch.nn.Conv2d(3, 4, 3, padding="same"),
    ],
)
@torch.inference_mode()
def test_layers_without_an_operation_stay(layer):
    layers = Layers(layer, torch.nn.LeakyReLU())
    quick = with_onednn(copy.deepcopy(layers), "fp32", CPU)
    x_NCHW = images(2)
    torch.testing.assert_close(quick(x_NCHW), layers(x_NCHW), rtol=0, atol=0)


def test_a_pytorch_without_the_operations_keeps_its_layers(monkeypatch):
    monkeypatch.setattr(onednn, "OPS", object())
    has_onednn.cache_clear()
    try:
        for precision in ("fp32", "bf16"):
            quick = with_onednn(folded(trained_looking("resnet")), precision, CPU)
            assert not any(isinstance(module, OneDnnLayer) for module in quick.modules())
    finally:
        has_onednn.cache_clear()


def test_asking_whether_they_work_draws_no_random_numbers():
    has_onednn.cache_clear()
    before = torch.get_rng_state()
    has_onednn("fp32")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@torch.inference_mode()
def test_a_copy_says_the_same(precision, copied):
    quick, x_NCHW = with_onednn(folded(trained_looking("resnet")), precision, CPU), images(3)
    with autocast(precision, CPU):
        torch.testing.assert_close(copied(quick)(x_NCHW).latent_ND, quick(x_NCHW).latent_ND, rtol=0, atol=0)
