"""One suite for the zoo: every registered model is found by itself."""

import pytest
import torch

from hw8.config import ModelConfig, RunConfig
from hw8.data.corruptions import CORRUPTIONS
from hw8.errors import InputError
from hw8.evaluation.metrics import roc_auc
from hw8.losses import LOSSES
from hw8.models import MODELS, create_model, register_model
from hw8.presets import changed
from hw8.training.session import train_run

NAMES = sorted(MODELS)


def batch(side: int, channels: int = 3, count: int = 6) -> torch.Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def build(name: str, side: int, channels: int = 3) -> torch.nn.Module:
    torch.manual_seed(0)
    return create_model(name, side, channels)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", [16, 32, 48, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_output_keeps_the_contract(name, side, channels):
    x_NCHW = batch(side, channels)
    output = build(name, side, channels)(x_NCHW)
    assert output.recon_NCHW.shape == x_NCHW.shape
    assert output.recon_NCHW.dtype == torch.float32
    assert output.recon_NCHW.abs().max() <= 1
    assert output.latent_ND.ndim == 2
    assert len(output.latent_ND) == len(x_NCHW)
    assert all(term_N.shape == (len(x_NCHW),) for term_N in output.terms.values())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_loss_is_finite_and_every_parameter_learns(name, loss):
    model, x_NCHW = build(name, 32), batch(32)
    output = model(x_NCHW)
    loss_N = LOSSES[loss](output.recon_NCHW, x_NCHW) + sum(output.terms.values())
    assert torch.isfinite(loss_N).all()
    loss_N.mean().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize("name", NAMES)
def test_built_twice_from_one_seed_it_is_the_same(name):
    first, second = build(name, 32).eval(), build(name, 32).eval()
    torch.testing.assert_close(first(batch(32)).recon_NCHW, second(batch(32)).recon_NCHW, rtol=0, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_in_evaluation_an_image_does_not_see_its_batch(name):
    model, x_NCHW = build(name, 32).eval(), batch(32)
    torch.testing.assert_close(model(x_NCHW).recon_NCHW[:1], model(x_NCHW[:1]).recon_NCHW, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded_it_gives_the_same_and_beats_chance(name, demo, tmp_path):
    config = changed(
        RunConfig(device="cpu"),
        data={"source": str(demo), "crop": 32},
        model={"name": name},
        train={"epochs": 4, "batch_size": 32},
    )
    done = train_run(config, tmp_path / "run")
    loaded, _ = done.folder.load(config)
    x_NCHW = batch(32)
    with torch.no_grad():
        expected = done.scorer.model(x_NCHW).recon_NCHW
        torch.testing.assert_close(loaded(x_NCHW).recon_NCHW, expected, rtol=0, atol=0)
    from hw8.data.sources import open_source

    source = open_source(str(demo))
    images, labels = source.testing(32), source.labels()
    assert labels is not None
    score_N = done.scorer.score(images, torch.arange(len(images)).numpy())["rse"]
    assert roc_auc(score_N[labels.label_N == 0], score_N[labels.label_N == 1]) > 0.55
    assert set(done.held_out.kinds) == set(CORRUPTIONS)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "fcn"])
@pytest.mark.parametrize("side", [8, 40, 63])
def test_sides_that_do_not_halve_four_times_are_refused(name, side):
    with pytest.raises(InputError, match=r"multiple of 16 pixels; try --crop"):
        create_model(name, side)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"depth": 3}, "has no option 'depth'; it has widths, latent"),
        ({"latent": 0}, "latent = 0 must be whole"),
        ({"latent": "8"}, "latent = '8' must be whole"),
        ({"widths": 5.0}, r"widths = 5\.0 must be whole"),
        ({"norm": "layer"}, "norm = 'layer' must be none or batch"),
    ],
)
def test_options_are_checked(options, words):
    with pytest.raises(InputError, match=words):
        create_model("fcn", 32, **options)


def test_narrow_conv_needs_four_widths():
    with pytest.raises(InputError, match="must be four numbers"):
        create_model("conv", 32, widths=[8, 8])


def test_unknown_names_and_duplicates():
    with pytest.raises(InputError, match="--model alexnet: unknown; choose one of conv, fcn, resnet"):
        create_model("alexnet", 32)
    with pytest.raises(ValueError, match="registered twice"):
        register_model(MODELS["fcn"])


def test_fcn_takes_any_side():
    assert create_model("fcn", 35)(batch(35)).recon_NCHW.shape == (6, 3, 35, 35)


def test_config_keeps_options_plain():
    with pytest.raises(InputError, match="options"):
        ModelConfig(options={1: 2})  # type: ignore[dict-item]
