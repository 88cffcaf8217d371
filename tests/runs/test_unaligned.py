"""A preset takes other settings where objects are not aligned, and leaves what a user changed."""

import dataclasses

import pytest

from hw8.base.errors import InputError
from hw8.config import RunConfig
from hw8.config.presets import changed, load_preset
from hw8.data.arrays import Images
from hw8.data.demo import demo_images
from hw8.data.splits import split_rows
from hw8.runs.train import train_images
from hw8.runs.unaligned import adapt_to_alignment
from tests.unaligned import scattered


def decided(config, image_NHWC):
    return adapt_to_alignment(config, Images(image_NHWC), split_rows(len(image_NHWC), config.data))


@pytest.fixture(scope="module")
def anywhere():
    return scattered(500)


def test_unaligned_images_get_the_settings_of_the_other_preset(anywhere):
    replaced = decided(load_preset("boss_quick"), anywhere)
    other = load_preset("boss_views")
    assert (replaced.model, replaced.scoring, replaced.train) == (other.model, other.scoring, other.train)
    assert (replaced.preset, replaced.unaligned) == ("boss_quick", "")


def test_aligned_images_keep_the_preset():
    config = load_preset("boss_quick")
    assert decided(config, demo_images("normal", 500, 0)) == dataclasses.replace(config, unaligned="")


def test_presets_without_another_measure_nothing(anywhere):
    for name in ("conv", "boss_transductive", "boss_digits", "boss_views"):
        assert decided(load_preset(name), anywhere) == load_preset(name)


def test_what_was_changed_stays_changed(anywhere):
    config = changed(load_preset("boss_quick"), train={"epochs": 3, "least_steps": 0}, data={"flip": False})
    config = dataclasses.replace(config, seed=5)
    replaced = decided(config, anywhere)
    assert replaced.model.name == "views"
    assert (replaced.train.epochs, replaced.train.least_steps, replaced.data.flip, replaced.seed) == (3, 0, False, 5)


def test_epochs_that_were_asked_for_stay_where_they_are_the_presets_own(anywhere, caplog):
    preset = load_preset("boss_quick")
    config = changed(preset, train={"epochs": preset.train.epochs, "least_steps": 0})
    with caplog.at_level("INFO", "hw8"):
        replaced = decided(config, anywhere)
    assert (replaced.train.epochs, replaced.train.least_steps) == (preset.train.epochs, 0)
    assert "at least" not in caplog.text


@pytest.mark.parametrize(
    "section",
    [
        {"model": {"options": {"latent": 32}}},
        {"model": {"name": "conv"}},
        {"scoring": {"score": "l1"}},
        {"scoring": {"parts": ("amounts", "texture")}},
    ],
)
def test_another_model_or_score_is_kept(section, anywhere):
    config = changed(load_preset("boss_quick"), **section)
    assert decided(config, anywhere) == dataclasses.replace(config, unaligned="")


def test_the_images_are_opened_and_cut_before_and_keep_their_crop(anywhere):
    config = dataclasses.replace(load_preset("fcn"), unaligned="fcn_crop")
    replaced = decided(config, anywhere)
    assert (replaced.model.name, replaced.data.crop) == (load_preset("fcn_crop").model.name, config.data.crop)
    assert load_preset("fcn_crop").data.crop != config.data.crop


def test_an_unknown_preset_is_named_by_its_setting(anywhere):
    with pytest.raises(InputError, match="`unaligned` bos: no preset has this name; see `hw8 presets`"):
        decided(dataclasses.replace(load_preset("fcn"), unaligned="bos"), anywhere)
    with pytest.raises(InputError, match="`unaligned` bos: no preset has this name"):
        decided(RunConfig(unaligned="bos"), anywhere)


def test_a_run_on_unaligned_images_scores_views(anywhere):
    config = changed(load_preset("boss_quick"), train={"epochs": 1, "least_steps": 0})
    images, splits = Images(anywhere), split_rows(500, config.data)
    run = train_images(dataclasses.replace(config, device="cpu"), images, splits)
    assert (run.score_name, run.config.model.name) == ("fused", "views")
    assert run.config.preset == "boss_quick"
