"""The command sample: images of a prior, and walks between images in the latent space."""

import json
import shlex

import numpy as np
import pytest
from PIL import Image

from hw8.config import RunConfig
from hw8.config.presets import changed
from hw8.report.samples import PAIRS, STEPS, sample
from hw8.runs.train import train_run
from hw8.runs.trained_run import TrainedRun
from tests.helpers import settings_of_a_second


@pytest.fixture(scope="module")
def generative(small, tmp_path_factory):
    """The folder of a small variational autoencoder."""
    config: RunConfig = changed(
        settings_of_a_second(small),
        model={"name": "vae", "options": {"latent": 8, "backbone": "fcn", "draws": 1}},
        scoring={"score": "nelbo"},
        train={"epochs": 1},
    )
    return train_run(config, tmp_path_factory.mktemp("runs") / "vae").folder.path


def test_a_picture_and_a_next_command(generative, call):
    lines = call("sample", "--run", generative, "--count", 12).stdout.splitlines()
    assert lines[0] == f"Picture:  {generative / 'samples.png'}"
    assert Image.open(generative / "samples.png").width > 1000
    assert lines[1] == f"Next:     python scripts/report.py {shlex.quote(str(generative))}"


def test_walks_begin_and_end_at_the_reconstructions_of_their_images(generative):
    run = TrainedRun.load(generative)
    images = run.open_test(run.open_source(None))
    samples = sample(run, images, 12, seed=3)
    assert samples.prior_NHWC.shape == (12, 16, 16, 3)
    assert samples.walks_PKHWC.shape == (PAIRS, STEPS + 2, 16, 16, 3)
    np.testing.assert_array_equal(
        samples.walks_PKHWC[:, [0, -1]], images.read(samples.rows_P2.ravel()).reshape(PAIRS, 2, 16, 16, 3)
    )
    recon, _ = run.scorer.reconstruct(images.read(samples.rows_P2[:, 1]))
    assert np.abs(samples.walks_PKHWC[:, -2] / 127.5 - 1 - recon).max() < 0.01
    again, other = sample(run, images, 12, seed=3), sample(run, images, 12, seed=4)
    np.testing.assert_array_equal(samples.prior_NHWC, again.prior_NHWC)
    assert (samples.prior_NHWC != other.prior_NHWC).any()
    assert (samples.rows_P2 != other.rows_P2).any()


def test_json_is_one_object(generative, call, tmp_path):
    given = json.loads(call("sample", "--run", generative, "--json", "--seed", 5, "--out", tmp_path / "a.png").stdout)
    assert given["out"] == str(tmp_path / "a.png")
    assert (given["count"], given["seed"]) == (40, 5)
    assert np.shape(given["pairs"]) == (PAIRS, 2)


def test_a_run_without_a_prior_and_bad_numbers_are_one_line(trained, generative, call):
    line = call("sample", "--run", trained.folder.path, code=2).line
    assert "its model fcn has no prior to draw images from" in line
    assert line.endswith("python scripts/train.py --preset vae")
    assert "--count 0: must be at least 1" in call("sample", "--run", generative, "--count", 0, code=2).line
    for seed in (-1, 2**32):
        line = call("sample", "--run", generative, "--seed", seed, code=2).line
        assert f"--seed {seed}: must be at least 0 and below 4,294,967,296" in line
