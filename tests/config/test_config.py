import dataclasses

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
        (ScoreConfig, "score", "l1 or l2"),
        (ScoreConfig, "score", "joint"),
        (ScoreConfig, "score", "l1_two_sided"),
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
    with pytest.raises(InputError, match=field if field != "source" else "data"):
        section(**{field: value})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train: {epoch: 3}\n", r"train\.epoch = 3: unknown field; known: loss, epochs"),
        ("colour: red\n", "colour = 'red': unknown field"),
        ("train: 5\n", "train = 5: must map"),
        ("- 1\n", "must map field names"),
        ("train: {epochs: -1}\n", "epochs = -1: must be positive"),
        ("seed: [1\n", "not YAML"),
        ("seed: 2024-13-45\n", "not YAML"),
        ("seed: !!int abc\n", "not YAML"),
        ("train: {lr: 1e-3}\n", r"lr = '1e-3': must be a finite number, in YAML for instance 1\.0e-3"),
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
    with pytest.raises(InputError, match="`preset` nothing: unknown; there are .*boss_quick.* and 34 more"):
        load_preset("nothing")


def _named(name):
    def function():
        return RunConfig()

    function.__name__ = name
    return function
