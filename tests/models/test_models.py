"""One suite for the zoo: every registered model is tested without being listed."""

import dataclasses
import inspect
import math
import re

import numpy as np
import pytest
import torch

from hw8.base.errors import InputError
from hw8.config import ModelConfig, RunConfig
from hw8.config.presets import PRESETS, changed, load_preset
from hw8.data.corruptions import CORRUPTIONS
from hw8.data.sources import open_source
from hw8.evaluation.metrics import roc_auc
from hw8.models import MODELS, blocks, create_model, options_class, register_model
from hw8.models.blocks import CRASHING_SIZE, Generative, Projection
from hw8.models.losses import LOSSES, objective
from hw8.runs.train import resume_run, train_run
from hw8.scoring.evidence import evidence
from hw8.training import loop
from hw8.training.run_folder import RunFolder, SavedModel
from tests.helpers import heavy

NAMES = sorted(MODELS)


def batch(side: int, channels: int = 3, count: int = 6) -> torch.Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def build(name: str, side: int, channels: int = 3) -> torch.nn.Module:
    torch.manual_seed(0)
    return create_model(name, side, channels)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", [16, pytest.param(32, marks=pytest.mark.slow), 48])
@pytest.mark.parametrize("channels", [1, 3])
def test_output_keeps_the_contract(name, side, channels):
    x_NCHW = batch(side, channels)
    output = build(name, side, channels)(x_NCHW)
    if output.recon_NCHW is not None:
        assert output.recon_NCHW.shape == x_NCHW.shape
        assert output.recon_NCHW.dtype == torch.float32
        assert output.recon_NCHW.abs().max() <= 1
    else:
        assert output.terms, "a model without reconstruction needs a loss of its own"
    assert output.latent_ND.ndim == 2
    assert len(output.latent_ND) == len(x_NCHW)
    assert all(term_N.shape == (len(x_NCHW),) for term_N in output.terms.values())


@pytest.mark.parametrize("name", ["aae", "course_vae", "vae"])
def test_a_generative_model_makes_images_of_random_latents(name):
    model, x_NCHW = build(name, 16).eval(), batch(16)
    assert isinstance(model, Generative)
    made_NCHW = model.decode(torch.randn_like(model(x_NCHW).latent_ND))
    assert made_NCHW.shape == x_NCHW.shape
    assert made_NCHW.abs().max() <= 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_loss_is_finite_and_every_parameter_learns(name, loss):
    model, x_NCHW = build(name, 32), batch(32)
    output = model(x_NCHW)
    loss_N = objective(loss, output, x_NCHW)
    assert loss_N.shape == (len(x_NCHW),)
    assert torch.isfinite(loss_N).all()
    loss_N.mean().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize("name", NAMES)
def test_built_and_run_twice_from_one_seed_it_is_the_same(name):
    runs = []
    for _ in range(2):
        model = build(name, 32)
        trained = objective("mse", model(batch(32)), batch(32))
        runs.append((trained, *everything(model.eval(), batch(32)).values()))
    for first, second in zip(*runs, strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0)


def everything(model, x_NCHW) -> dict[str, torch.Tensor]:
    """Reconstruction error, latent and the model's own evidence, one row an image."""
    with torch.no_grad():
        output = model(x_NCHW)
        return {"latent": output.latent_ND} | evidence(model, x_NCHW, output)


def score_of(model, x_NCHW) -> str:
    """The reconstruction error or, of a model without a reconstruction, the last of its own evidence."""
    values = everything(model, x_NCHW)
    return "l1" if "l1" in values else list(values)[-1]


@pytest.mark.parametrize("name", NAMES)
def test_in_evaluation_an_image_does_not_see_its_batch(name):
    model, x_NCHW = build(name, 32).eval(), batch(32)
    together, alone = everything(model, x_NCHW), everything(model, x_NCHW[:1])
    assert set(together) > {"latent"}
    for key, value in together.items():
        assert torch.isfinite(value).all(), key
        torch.testing.assert_close(value[:1], alone[key], rtol=1e-4, atol=1e-4, msg=key)


@pytest.mark.parametrize("name", NAMES)
def test_diagnoses_are_finite_numbers(name):
    diagnosis = build(name, 32).eval().diagnose(batch(32))
    assert all(isinstance(value, int | float) and math.isfinite(value) for value in diagnosis.values())


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded_it_gives_the_same(name, faces, tmp_path):
    """A trained model in memory against itself from the file: nothing that it learned is left out of the file."""
    model, config = build(name, 32), RunConfig(model=ModelConfig(name))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    for seed in range(3):
        torch.manual_seed(seed)
        objective("mse", model(batch(32)), batch(32)).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    folder = RunFolder(tmp_path)
    folder.save_model(SavedModel(model.eval(), 32, 3).to_bytes())
    loaded = folder.load_model(config).model
    expected = everything(model.to(memory_format=torch.channels_last), batch(32))
    found = everything(loaded, batch(32))
    assert found.keys() == expected.keys()
    for key, value in found.items():
        torch.testing.assert_close(value, expected[key], rtol=0, atol=0, msg=key)
    if name != "fcn":
        assert any(
            value.ne(everything(build(name, 32).eval(), batch(32))[key]).any() for key, value in expected.items()
        )


@pytest.mark.parametrize("name", heavy(NAMES, {"conv", "recogniser"}))
def test_bfloat16_changes_its_evidence_little(name):
    """Evidence under autocast ranks images as in float32, with no more than a few ties."""
    model, x_NCHW = build(name, 32).eval(), batch(32, count=40) * torch.linspace(0.1, 1, 40)[:, None, None, None]
    exact = everything(model, x_NCHW)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = everything(model, x_NCHW)
    for key, value in exact.items():
        if value.ndim == 1:
            assert rounded[key].dtype == torch.float32, key
            assert len(rounded[key].unique()) >= 0.9 * len(value.unique()), key
            assert np.corrcoef(value, rounded[key])[0, 1] > 0.98 or value.std() < 0.02 * value.abs().mean(), key


@pytest.mark.parametrize("name", heavy(NAMES, {"aae", "fcn"}))
def test_resumed_it_ends_in_the_same_bytes(name, small, tmp_path, monkeypatch):
    config = changed(
        RunConfig(device="cpu"),
        data={"source": str(small), "held_out_minimum": 20, "flip": True},
        model={"name": name},
        train={"epochs": 2, "least_steps": 0, "batch_size": 80},
        scoring={"score": score_of(build(name, 16).eval(), batch(16))},
    )
    whole = train_run(config, tmp_path / "whole")
    original = loop.Trainer.step

    def crash(self, *rows):
        if self.state.progress.step == 6:
            raise RuntimeError("power cut")
        original(self, *rows)

    monkeypatch.setattr(loop.Trainer, "step", crash)
    with pytest.raises(RuntimeError, match="power cut"):
        train_run(config, tmp_path / "cut")
    monkeypatch.setattr(loop.Trainer, "step", original)
    cut = resume_run(tmp_path / "cut")
    assert cut.folder.model_file.read_bytes() == whole.folder.model_file.read_bytes()


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_builds_and_gives_its_score(name):
    config = load_preset(name)
    side = config.data.crop or 64
    torch.manual_seed(0)
    model = create_model(config.model.name, side, 3, config.model.options).eval()
    values = everything(model, batch(side))
    for needed in config.scoring.evidence_names:
        assert torch.isfinite(values[needed]).all()


@pytest.mark.parametrize("name", heavy(NAMES, {"deep_svdd", "fcn"}))
def test_trained_it_beats_chance(name, small, tmp_path):
    """On the demo's far anomalies, by reconstruction error or, without a reconstruction, by its own evidence."""
    score = score_of(build(name, 32).eval(), batch(32))
    config = changed(
        RunConfig(device="cpu"),
        data={"source": str(small), "held_out_minimum": 20},
        model={"name": name},
        train={"epochs": 4, "least_steps": 0, "batch_size": 32},
        scoring={"score": score},
    )
    run = train_run(config, tmp_path / "run")
    source = open_source(str(small))
    images, labels = source.testing(), source.labels()
    assert labels is not None
    score_N = run.score(images, np.arange(len(images)))[score]
    far = np.isin(labels.kind_N, ["cat", "cartoon"])
    assert roc_auc(score_N[labels.label_N == 0], score_N[far]) > 0.6
    assert set(run.held_out.common.kinds) == set(CORRUPTIONS)


@pytest.mark.parametrize("name", ["course_cnn", "course_vae", "memae", "vqvae"])
def test_models_that_halve_three_times_take_multiples_of_eight(name):
    x_NCHW = torch.zeros(2, 3, 40, 40)
    assert create_model(name, 40)(x_NCHW).recon_NCHW.shape == x_NCHW.shape
    with pytest.raises(InputError, match="multiple of 8 pixels; try `crop` 40, or `preset` fcn for any side"):
        create_model(name, 44)


@pytest.mark.parametrize("name", ["conv", "resnet", "deep_svdd"])
@pytest.mark.parametrize("side", [8, 40, 63])
def test_sides_that_do_not_halve_four_times_are_refused(name, side):
    with pytest.raises(InputError, match=r"multiple of 16 pixels; try (`crop` (32|48), or )?`preset` fcn"):
        create_model(name, side)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"depth": 3}, "depth = 3: unknown; known: widths, latent, norm"),
        ({"width": [3]}, "width = [3]: unknown; did you mean widths? known: widths, latent, norm"),
        ({"latent": 0}, "latent = 0: must be at least 1"),
        ({"latent": "8"}, "latent = '8': must be a valid integer"),
        ({"latent": 10**7}, "latent = 10000000: must be at most 1000000"),
        ({"widths": 5.0}, "widths = 5.0: must be a valid tuple"),
        ({"widths": [5, True]}, "widths[1] = True: must be a valid integer"),
        ({"norm": "layer"}, "norm = 'layer': must be 'none' or 'batch'"),
    ],
)
def test_options_are_checked(options, words):
    with pytest.raises(InputError) as caught:
        create_model("fcn", 32, 3, options)
    assert str(caught.value) == f"model.options.{words}"


@pytest.mark.parametrize(
    ("widths", "words"),
    [([8, 8], "widths = [8, 8]: has too few entries"), ([8] * 5, "Tuple should have at most 4 items")],
)
def test_conv_needs_four_widths(widths, words):
    with pytest.raises(InputError, match=re.escape(words)):
        create_model("conv", 32, 3, {"widths": widths})


def test_a_share_of_the_image_is_below_one():
    for corruption in ("salt_pepper", "dropout"):
        with pytest.raises(InputError, match=r"model\.options\.strength = 25\.0: must be a share in \(0, 1\)"):
            create_model("denoising", 32, 3, {"corruption": corruption})
    with pytest.raises(InputError, match="many_levels = True: needs the corruption gaussian"):
        create_model("denoising", 32, 3, {"corruption": "dropout", "strength": 0.1, "many_levels": True})


@pytest.mark.parametrize("name", NAMES)
def test_every_option_has_a_meaning_and_a_default_that_is_allowed(name):
    kind = options_class(name)
    assert dataclasses.replace(kind()) == kind()
    documented = inspect.getsource(kind).count('"""\n') - 1
    assert documented >= len(dataclasses.fields(kind)), "a docstring below each field"


def test_unknown_names_and_duplicates():
    with pytest.raises(InputError, match="`model` alexnet: unknown; choose one of .*conv, .*resnet"):
        create_model("alexnet", 32)
    with pytest.raises(ValueError, match="registered twice"):
        register_model(MODELS["fcn"])


def test_fcn_takes_any_side():
    assert create_model("fcn", 35)(batch(35)).recon_NCHW.shape == (6, 3, 35, 35)


def test_config_keeps_options_plain():
    with pytest.raises(InputError, match="options"):
        ModelConfig(options={1: 2})  # type: ignore[dict-item]


@pytest.mark.parametrize("rows", [2, 32])
def test_a_batch_that_ends_the_process_is_computed_in_halves(rows, monkeypatch):
    """Without the halves, PyTorch 2.13 dies of it on a processor with AMX."""
    linear, counts = blocks.F.linear, []
    monkeypatch.setattr(blocks.F, "linear", lambda x_ND, *rest: counts.append(len(x_ND)) or linear(x_ND, *rest))
    layer = Projection(CRASHING_SIZE // rows, 2)
    x_ND = torch.randn(rows, CRASHING_SIZE // rows)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        y_NO = layer(x_ND)
    assert counts == [rows // 2] * 2
    torch.testing.assert_close(y_NO.float(), x_ND @ layer.weight.T + layer.bias, rtol=0.05, atol=0.05)
