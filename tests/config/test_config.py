import dataclasses
import math
import pickle

import pytest

from hw8.base.errors import InputError
from hw8.config import DataConfig, RunConfig, ScoreConfig, TrainConfig, read_config, to_yaml
from hw8.config.presets import PRESETS, changed, load_preset, preset


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_survives_its_yaml(tmp_path, name):
    config = load_preset(name)
    assert config.preset == name
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config))
    assert read_config(path) == config


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        (TrainConfig, "epochs", 0),
        (TrainConfig, "epochs", 1.5),
        (TrainConfig, "epochs", "3"),
        (TrainConfig, "epochs", True),
        (TrainConfig, "lr", -1.0),
        (TrainConfig, "lr", float("nan")),
        (TrainConfig, "lr", float("inf")),
        (TrainConfig, "ema_decay", 1.0),
        (TrainConfig, "loss", "huber"),
        (TrainConfig, "patience", 0),
        (TrainConfig, "weight_decay", -0.1),
        (DataConfig, "crop", 0),
        (DataConfig, "flip", "yes"),
        (DataConfig, "calibration_share", 0.0),
        (DataConfig, "development_share", 0.5),
        (DataConfig, "split_seed", -1),
        (DataConfig, "source", 3),
        (ScoreConfig, "score", "l1\nl2"),
        (ScoreConfig, "parts", ("amounts", "amounts")),
        (RunConfig, "train", {"epochs": 3}),
        (ScoreConfig, "score", "joint"),
        (ScoreConfig, "score", "l1_two_sided"),
        (ScoreConfig, "fused", ("fused",)),
        (ScoreConfig, "fused", ("latent", "latent")),
        (ScoreConfig, "parts", "amounts"),
        (ScoreConfig, "distance", "far"),
        (ScoreConfig, "fit_on", "test"),
        (ScoreConfig, "transductive", 1),
        (DataConfig, "crop", True),
        (DataConfig, "crop", 3),
        (TrainConfig, "patience", True),
        (TrainConfig, "batch_size", 1),
        (ScoreConfig, "score_batch_size", 0),
        (RunConfig, "seed", -1),
        (RunConfig, "device", "tpu"),
        (RunConfig, "precision", "fp8"),
    ],
)
def test_nonsense_is_refused_where_it_is_declared(section, field, value):
    with pytest.raises(InputError, match=field) as caught:
        section(**{field: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("section", "values", "line"),
    [
        (TrainConfig, {"lr": math.nan}, "train.lr = nan: must be a finite number"),
        (TrainConfig, {"epochs": True}, "train.epochs = True: must be a valid integer"),
        (TrainConfig, {"loss": "huber"}, "train.loss = 'huber': must be 'mse', 'l1' or 'bce'"),
        (DataConfig, {"crop": 3}, "data.crop = 3: must be at least 4"),
        (DataConfig, {"source": "a\nb"}, r"data.source = 'a\nb': must be printable text on one line"),
        (DataConfig, {"held_out_maximum": 5}, "data.held_out_maximum = 5: must be at least held_out_minimum"),
        (ScoreConfig, {"parts": ["l1", 2]}, "scoring.parts[1] = 2: must be a valid string"),
        (
            ScoreConfig,
            {"score": "joint"},
            "scoring.parts = (): the score joint combines pieces of evidence; name them, for instance l1 texture",
        ),
        (RunConfig, {"seed": 2**32}, "seed = 4294967296: must be less than 4294967296"),
    ],
)
def test_the_error_names_the_setting_and_the_rule(section, values, line):
    with pytest.raises(InputError) as caught:
        section(**values)
    assert str(caught.value) == line


def test_a_copy_is_checked_too():
    with pytest.raises(InputError, match=r"train\.lr = -1: must be more than 0"):
        changed(RunConfig(), train={"lr": -1})
    assert changed(RunConfig(), train={"lr": 1}).train.lr == 1.0
    assert pickle.loads(pickle.dumps(load_preset("boss"))) == load_preset("boss")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train: {epoch: 3}\n", r"train\.epoch = 3: unknown; did you mean epochs\? known: loss, epochs"),
        ("colour: red\n", "colour = 'red': unknown; known: preset, seed"),
        ("train: 5\n", "train = 5: must map"),
        ("format: 2\n", "format = 2: written by a later hw8, while this one reads 1; update hw8"),
        ("train: {5: 1}\n", "train = {5: 1}: must map"),
        ("- 1\n", "must map field names"),
        ("train: {epochs: -1}\n", r"train\.epochs = -1: must be at least 1"),
        ("seed: [1\n", "not YAML"),
        ("seed: 2024-13-45\n", "not YAML"),
        ("seed: !!int abc\n", "not YAML"),
        ("train: {lr: 1e-3}\n", r"lr = '1e-3': must be a valid number, in YAML for instance 1\.0e-3"),
        ("seed: !!python/object/apply:os.system ['true']\n", "not YAML"),
    ],
)
def test_a_bad_file_gets_one_line(tmp_path, text, words):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        read_config(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_may_name_the_first_format(tmp_path):
    (tmp_path / "config.yaml").write_text("format: 1\nseed: 3\n")
    assert read_config(tmp_path / "config.yaml").seed == 3


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_config(tmp_path / "config.yaml")


def test_changed_leaves_the_rest_alone():
    base = load_preset("resnet")
    other = changed(base, train={"epochs": 99})
    assert other.train.epochs == 99
    assert dataclasses.replace(other, train=base.train) == base


def test_preset_names_are_unique_and_known():
    with pytest.raises(ValueError, match="registered twice"):
        preset(_named("fcn"))
    with pytest.raises(InputError, match="`preset` nothing: unknown; there are .*boss_quick.* and 35 more"):
        load_preset("nothing")


def _named(name):
    def function():
        return RunConfig()

    function.__name__ = name
    return function


def test_what_is_needed_for_a_score():
    assert ScoreConfig("joint", parts=("a", "b")).evidence_names == ("a", "b")
    assert ScoreConfig("l1").evidence_names == ("l1",)
    assert ScoreConfig("l1_two_sided", parts=("l1",)).evidence_names == ("l1",)
    fused = ScoreConfig("fused", parts=("a", "b"), fused=("joint", "l1", "a"))
    assert fused.evidence_names == ("a", "b", "l1")
    assert fused.evidence_of("joint") == ("a", "b")
