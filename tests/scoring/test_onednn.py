import copy

import numpy as np
import pytest
import torch

from hw8.base.device import autocast, channels_last
from hw8.config.presets import load_preset
from hw8.models import create_model
from hw8.models.blocks import CRASHING_SIZE, Layers, Projection, ResidualBlock
from hw8.scoring.evidence import evidence
from hw8.scoring.folding import folded
from hw8.scoring.onednn import OneDnnLayer, OneDnnResidualBlock, has_onednn, with_onednn

CPU = torch.device("cpu")
needs_bf16 = pytest.mark.skipif(not has_onednn("bf16", CPU), reason="needs AVX-512")
PRECISIONS = ["fp32", pytest.param("bf16", marks=needs_bf16)]
PRESETS = ["fcn_crop", "conv", "resnet", "vae", "boss", "memae", "deep_svdd", "classifier", "boss_views", "course_cnn"]


def trained_looking(name: str) -> torch.nn.Module:
    """A preset's model for evaluation, with statistics in its normalisations as after a training, folded."""
    preset = load_preset(name)
    torch.manual_seed(0)
    model = create_model(preset.model.name, 32, 3, preset.model.options)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return channels_last(folded(model.eval()))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("count", [1, 5, 130])
@torch.inference_mode()
def test_it_gives_the_same_evidence(name, precision, count):
    """In float32 but for the last digits; in bfloat16 as near to float32 as the layers themselves."""
    model = trained_looking(name)
    quick = with_onednn(copy.deepcopy(model), precision, CPU)
    x_NCHW = (torch.rand(count, 3, 32, 32) * 2 - 1).contiguous(memory_format=torch.channels_last)
    exact = evidence(model, x_NCHW)
    with autocast(precision, CPU):
        plain, values = evidence(model, x_NCHW), evidence(quick, x_NCHW)
    for key, exact_N in exact.items():
        assert values[key].shape == exact_N.shape
        if precision == "fp32":
            torch.testing.assert_close(values[key], exact_N, rtol=1e-3, atol=1e-4)
        else:
            errors = [(value[key] - exact_N).square().mean().sqrt().item() for value in (values, plain)]
            assert errors[0] <= 1.5 * errors[1] + 1e-3 * exact_N.abs().mean().item()


@pytest.mark.skipif(not has_onednn("fp32", CPU), reason="layers stay on other processors")
def test_every_layer_of_the_boss_is_one_operation():
    quick = with_onednn(trained_looking("boss"), "fp32", CPU)
    blocks = [module for module in quick.modules() if isinstance(module, ResidualBlock)]
    assert {type(block) for block in blocks} == {OneDnnResidualBlock}
    layers = [module for module in quick.features.modules() if isinstance(module, OneDnnLayer)]
    assert len(layers) == 2 + 3 * len(blocks)
    assert not any(isinstance(module, torch.nn.ReLU) for module in quick.features.modules())


def test_other_devices_and_precisions_keep_their_layers():
    for precision, device in (("fp16", CPU), ("fp32", torch.device("meta"))):
        quick = with_onednn(trained_looking("resnet"), precision, device)
        assert not any(isinstance(module, OneDnnLayer) for module in quick.modules())


@needs_bf16
@torch.inference_mode()
def test_layers_outside_of_autocast_stay_in_float32():
    """A classifier's log-odds are computed in float32 whatever the precision of the network before it."""
    layer = OneDnnLayer(torch.nn.Linear(8, 3), relu=False, precision="bf16")
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


@torch.inference_mode()
def test_a_broken_model_has_no_finite_scores():
    model = trained_looking("boss")
    next(model.features.parameters())[0, 0, 0, 0] = torch.nan
    quick = with_onednn(model, "fp32", CPU)
    assert not evidence(quick, torch.zeros(2, 3, 32, 32), evidence_names=["amounts"])["amounts"].isfinite().any()
