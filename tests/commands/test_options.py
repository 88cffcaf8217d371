"""Options of train.py: the settings of a run, and those of its model."""

import pytest

from hw8.base.errors import InputError
from hw8.commands.train_arguments import parse_training
from hw8.config import to_yaml
from hw8.config.limits import Count
from hw8.config.presets import DEFAULT_PRESET, PRESETS, changed, load_preset
from hw8.models import MODELS
from hw8.models.blocks import Autoencoder
from hw8.models.registry import model_options


def model_of(*words: object):
    return parse_training("", [str(word) for word in words]).run.model


def test_without_options_the_default_preset_trains():
    assert parse_training("", []).run == load_preset(DEFAULT_PRESET)


@pytest.mark.parametrize("name", sorted({load_preset(name).model.name: name for name in PRESETS}.values()))
def test_a_preset_alone_gives_its_own_settings(name):
    assert parse_training("", ["--preset", name]).run == load_preset(name)


@pytest.mark.parametrize(
    "words", [("--latent", 32), ("--latent=32",), ("--option", "latent=32"), ("--latent", 5, "--option", "latent=32")]
)
def test_two_spellings_of_a_models_option(words):
    assert model_of("--preset", "vae_bce", *words).options == {"latent": 32, "likelihood": "bernoulli"}


def test_options_of_every_kind():
    words = ("--many-levels", "--strength", "30", "--draws", 2, "--backbone", "fcn")
    expected = {"latent": 64, "corruption": "gaussian", "strength": 30.0}
    expected |= {"many_levels": True, "draws": 2, "backbone": "fcn"}
    assert model_of("--preset", "denoise_gaussian", *words).options == expected
    assert model_of("--no-mirror", "--widths", 8, 8, 16, 16).options == {"mirror": False, "widths": (8, 8, 16, 16)}
    assert model_of("--preset", "fcn", "--widths", 9).options == {"widths": (9,), "latent": 32}
    assert model_of("--preset", "multi_encoder", "--encoders", "fcn", "conv").options["encoders"] == ("fcn", "conv")


def test_another_model_has_its_own_options():
    chosen = model_of("--preset", "conv", "--model", "resnet", "--widths", 8, 8, 8, 8)
    assert (chosen.name, chosen.options) == ("resnet", {"widths": (8, 8, 8, 8)})


@pytest.mark.parametrize("preset", ["fcn_crop", "denoise_mask", "boss_digits"])
def test_the_options_of_the_presets_own_model_are_not_those_of_another(preset):
    chosen = model_of("--preset", preset, "--model", "conv", "--latent", 9)
    assert (chosen.name, chosen.options) == ("conv", {"latent": 9})


def test_a_file_to_start_from_is_whole(tmp_path):
    """With defaults for what is missing, it would train another model under the preset's name."""
    (tmp_path / "c.yaml").write_text("preset: boss_quick\ntrain:\n  most_steps: 3\n")
    with pytest.raises(InputError, match=r"c.yaml: has no data, model, scoring; start from a config.yaml that"):
        model_of("--config", tmp_path / "c.yaml")


@pytest.mark.parametrize("word", ["--config", "--resume"])
def test_a_runs_file_decides_which_options_there_are(word, tmp_path):
    config = changed(load_preset("memae"), model={"options": {"slots": 32}})
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    start = tmp_path if word == "--resume" else tmp_path / "config.yaml"
    assert model_of(word, start, "--dim", 8).options == {"slots": 32, "dim": 8}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--latnt", "3"], "Unrecognized options: --latnt, 3; did you mean --latent? see --help"),
        (["--latent", "0"], "--latent 0: must be at least 1; see --help"),
        (["--latent", "1.5"], "--latent 1.5: a whole number is expected; see --help"),
        (["--epochs", "1.5"], "--epochs 1.5: a whole number is expected; see --help"),
        (["--lr", "fast"], "--lr fast: a number is expected; see --help"),
        (["--lr"], "--lr: a value is missing; see --help"),
        (["--loss", "l3"], "--loss l3: must be one of mse, l1, bce; see --help"),
        (["--option", "latnt=3"], "model.options.latnt = 3: unknown; did you mean latent? known: backbone, latent"),
        (["--option", "latent=true"], "model.options.latent = True: must be a valid integer"),
        (["--model", "alexnet"], "`model` alexnet: unknown; choose one of aae"),
        (["--lr", "nan"], "--lr nan: must be a finite number; see --help"),
    ],
)
def test_a_bad_option_is_one_line(words, line):
    with pytest.raises(InputError) as caught:
        model_of("--preset", "vae", *words)
    assert str(caught.value).startswith(line)


def test_what_is_missing_is_named(call):
    assert call("prepare_data", code=2).line == "error: missing: IMAGES, OUT; see --help"
    assert call("compare", code=2).line == "error: missing: --presets NAME ...; see --help"
    line = call("compare", "--presets", "pca", "--seeds", "one", code=2).line
    assert line == "error: --seeds one: cannot be read; see --help"


def test_help_lists_the_models_options_with_meaning_and_limits(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    text = " ".join(call("train", "--preset", "vae", "--help").stdout.replace("│", "").split())
    assert "--latent INT Length of the latent vector. (at least 1, at most 1000000; default: 64)" in text
    assert "--likelihood {gaussian,bernoulli}" in text
    assert "in pixel values of [-1, 1]. (more than 0; default: 0.2)" in text
    assert "--lr FLOAT Peak learning rate. (more than 0; default: 0.005)" in text
    assert "--sigma" not in call("train", "--help").stdout


def test_an_option_named_like_a_setting_is_spelled_apart(monkeypatch, call):
    @model_options
    class ClashingOptions:
        """Options of the model clashing."""

        seed: Count = 4
        """A number."""

    def clashing(side: int, channels: int, options: ClashingOptions) -> Autoencoder:
        raise NotImplementedError

    monkeypatch.setitem(MODELS, "clashing", clashing)
    arguments = parse_training("", ["--preset", "course_cnn", "--model", "clashing", "--model.seed", "7"])
    assert (arguments.run.seed, arguments.run.model.options) == (0, {"seed": 7})
    assert parse_training("", ["--preset", "course_cnn", "--model", "clashing", "--seed", "7"]).run.seed == 7
