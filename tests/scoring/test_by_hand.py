"""Formulas of scoring, by hand."""

import numpy as np
import pytest
import torch

from hw8.base.errors import InputError
from hw8.config import ScoreConfig
from hw8.models import create_model
from hw8.scoring import calibration as calibration_module
from hw8.scoring import texture
from hw8.scoring.calibration import Calibration, FittedDistance, columns
from hw8.scoring.evidence import centre_l1, error_bands, error_regions, evidence
from hw8.scoring.fusion import agreeing_groups, fuse
from hw8.scoring.tails import Tail, check_scores
from hw8.scoring.transductive import log_odds


# calibration
def test_evidence_is_standardised_by_its_median_and_robust_deviation():
    value_CD = np.random.default_rng(0).normal([3, -1], [5, 0.1], (20_000, 2))
    at = FittedDistance.fit(value_CD).standardise(np.array([[3, -1], [8, -0.8]]))
    np.testing.assert_allclose(at, [[0, 0], [1, 2]], atol=0.05)


@pytest.mark.parametrize("distance", ["neighbours", "euclidean"])
def test_distances_to_neighbours_keep_every_normal_image(distance):
    value_CD = np.concatenate([np.random.default_rng(0).normal(size=(95, 2)), np.full((5, 2), 50.0)])
    assert (
        len(Calibration.fit({"amounts": value_CD}, ScoreConfig(distance=distance)).fits["amounts"].reference_RD) == 100
    )
    assert not Calibration.fit({"amounts": value_CD}, ScoreConfig()).fits["amounts"].reference_RD.size


@pytest.mark.parametrize("distance", ["mahalanobis", "neighbours"])
def test_with_a_reference_calibration_images_are_new_to_the_fit(distance):
    rng = np.random.default_rng(0)
    value_CD, reference = rng.normal(size=(40, 3)), {"amounts": rng.normal(size=(200, 3))}
    fitted = Calibration.fit({"amounts": value_CD}, ScoreConfig(distance=distance), reference)
    np.testing.assert_array_equal(fitted.values_C["amounts"], fitted.fits["amounts"].distance(value_CD))


def test_a_long_vector_has_a_distance_if_the_score_needs_it(monkeypatch):
    monkeypatch.setattr(calibration_module, "MAX_COLUMNS", 3)
    table = {"l1": np.arange(30.0), "latent": np.random.default_rng(0).normal(size=(30, 4))}
    assert "latent" not in Calibration.fit(table, ScoreConfig(parts=("l1",))).scores(table)
    assert "latent" in Calibration.fit(table, ScoreConfig(parts=("l1", "latent"))).scores(table)
    assert "latent" in Calibration.fit(table, ScoreConfig(score="latent", parts=("l1",))).scores(table)


def test_evidence_that_does_not_fit_or_is_not_finite_is_refused():
    fit = FittedDistance.fit(np.random.default_rng(0).normal(size=(50, 3)))
    with pytest.raises(ValueError, match="evidence of 1 columns, calibrated on 3; train again"):
        fit.distance(np.zeros((5, 1)))
    with pytest.raises(InputError, match="the evidence latent is not finite"):
        columns({"l1": np.zeros(2), "latent": np.array([[0.0, 1.0], [0.0, np.inf]])}, ["l1", "latent"])
    tensors = Calibration.fit({"l1": np.arange(9.0)}, ScoreConfig()).tensors()
    tensors["l1"][3] = np.nan
    with pytest.raises(InputError, match="runs/x: its calibration has numbers that are not finite"):
        Calibration.from_tensors(tensors, ScoreConfig("l1"), "runs/x")


# tails, fusion
def test_below_the_lowest_normal_nats_fall_by_the_excess():
    tail = Tail.fit(np.array([3.0, 1.0, 2.0, 2.0]))
    np.testing.assert_allclose(tail.neg_log_p(1.0 - np.array([1, 3]) * 0.05 / 1.349), -np.log(4.5 / 5) / [2, 4])


def test_a_single_image_has_a_score():
    check_scores(np.array([3.5]), "runs/x")


def test_runs_of_one_group_count_as_their_mean():
    a, b, c = np.random.default_rng(0).exponential(size=(3, 9))
    np.testing.assert_allclose(fuse([a, b, c], [[0, 2], [1]]), (a + c) / 2 + b)


def test_runs_join_a_group_if_they_agree_with_one_of_it():
    def correlation(first: float, second: float, third: float) -> np.ndarray:
        return np.array([[1, first, second], [first, 1, third], [second, third, 1]])

    assert agreeing_groups(correlation(0.995, 0.98, 0.995)) == [[0, 1, 2]]
    assert agreeing_groups(correlation(0.97, 0.97, 0.97)) == [[0], [1], [2]], "seeds of one preset stay apart"


# transductive
def test_folds_of_the_transduction_follow_the_seed():
    every = np.random.default_rng(0).normal(size=(100, 4))
    odds = [log_odds(every[:40], every[40:60], every[60:], seed)[1] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(odds[0], odds[1])
    assert not np.allclose(odds[0], odds[2])


def test_columns_are_clipped_for_the_classifiers(monkeypatch):
    from sklearn.linear_model import LogisticRegression

    every, seen, fit = np.random.default_rng(0).normal(size=(400, 4)), [], LogisticRegression.fit
    every[399, 0] = 1e9  # 20 deviations
    monkeypatch.setattr(
        LogisticRegression, "fit", lambda self, x, y: seen.append(np.abs(x[:, :-1]).max()) or fit(self, x, y)
    )
    log_odds(every[:200], every[200:300], every[300:], 0)
    assert max(seen) == 8


# evidence
def test_the_centre_is_the_inner_half_of_each_side():
    x = torch.zeros(1, 1, 16, 16)
    recon = x.clone()
    recon[0, 0, 4:12, 4:12] = 0.5
    assert centre_l1(recon, x).item() == pytest.approx(0.5)
    assert centre_l1(0.5 - recon, x).item() == 0


def test_regions_are_log_mean_squared_errors():
    x = torch.zeros(1, 3, 16, 16)
    recon = x.clone()
    recon[:, :, 12:, :4] = 0.5
    expected = np.full(16, np.log(1e-8))
    expected[12] = np.log(0.25)
    np.testing.assert_allclose(error_regions(recon, x)[0], expected, rtol=1e-5)


def test_error_bands_are_those_of_the_residual_whatever_the_image():
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) - 0.5
    residual = 0.4 * torch.tensor([[1.0, -1], [-1, 1]]).repeat(8, 8)
    expected = texture.band_energies(residual.expand(2, 3, -1, -1) / 2)
    torch.testing.assert_close(error_bands(x - residual, x), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["recogniser", "views"])
def test_the_latent_is_evidence_of_models_without_a_reconstruction_too(name):
    model = create_model(name, 32, 3).eval()
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(evidence(model, x, evidence_names=["latent"])["latent"], model(x).latent_ND)
