"""Scores in nats, and the p-values of several runs fused by them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw8.scoring.fusion import fuse, fused_p_values
from hw8.scoring.tails import (
    OUTLIER_SHARE,
    Tail,
    benjamini_hochberg,
    conformal,
    leave_one_out_neg_log_p,
    outlier_threshold,
)


def test_nats_are_minus_log_p_and_go_on_beyond_the_last_normal():
    rng = np.random.default_rng(0)
    tail = Tail.fit(rng.exponential(size=50_000))
    at = np.array([0.5, 1.0, 5.0, 20.0])
    np.testing.assert_allclose(tail.neg_log_p(at), at, rtol=0.05)  # -log P(X > x) = x for a unit exponential
    assert 0 < tail.neg_log_p(np.array([-1.0]))[0] < 1e-4


def test_nats_by_hand():
    """Of four normals the share at or above each, half an image added; the upper tenth is here the largest."""
    tail = Tail.fit(np.array([3.0, 1.0, 2.0, 2.0]))
    at = np.array([1.0, 2.0, 3.0, 1.5])
    expected = -np.log([4.5 / 5, 3.5 / 5, 1.5 / 5])
    np.testing.assert_allclose(tail.neg_log_p(at)[:3], expected)
    assert tail.neg_log_p(at)[3] == pytest.approx(expected[:2].mean())
    # Nothing is beyond the largest: the excess is a tenth of the robust spread, (2.25 - 1.75) / 1.349.
    assert tail.neg_log_p(np.array([3.0 + 0.05 / 1.349]))[0] == pytest.approx(expected[2] + 1)


def test_the_first_score_beyond_many_equal_ones_has_its_own_p():
    """Of 400 normals 390 have score 0: 1 is reached by ten of them, and beyond it the excess is their mean, 1."""
    tail = Tail.fit(np.repeat([0.0, 1.0], [390, 10]))
    at = np.array([0.0, 1.0, 2.0])
    np.testing.assert_allclose(tail.neg_log_p(at), -np.log([400.5 / 401, 10.5 / 401, 10.5 / 401 / np.e]))


def test_ties_at_the_end_make_no_absurd_tail():
    """85 zeros and 15 ones: .0001 beyond the ones is hardly more than they, and a whole unit no trillion nats."""
    tail = Tail.fit(np.repeat([0.0, 1.0], [85, 15]))
    one, more, two = tail.neg_log_p(np.array([1.0, 1.0001, 2.0]))
    assert one < more < one + 0.01
    assert one + 5 < two < 100


normals = st.lists(st.integers(0, 5), min_size=4, max_size=60).map(lambda values: np.array(values, float))


@settings(max_examples=60)
@given(normals)
def test_nats_rise_strictly_whatever_is_tied(score_C):
    at = np.unique(np.concatenate([np.linspace(-20, 40, 400), score_C, score_C + 1e-4, score_C - 1e-4]))
    nats = Tail.fit(score_C).neg_log_p(at)
    assert (np.diff(nats) > 0).all()
    assert nats[0] > 0


@settings(max_examples=30)
@given(normals)
def test_leaving_one_out_is_what_its_name_says(score_C):
    found = leave_one_out_neg_log_p(score_C)
    for row in range(len(score_C)):
        rest = Tail.fit(np.delete(score_C, row))
        assert found[row] == pytest.approx(rest.neg_log_p(score_C[row : row + 1])[0])


def test_conformal_by_hand():
    np.testing.assert_allclose(
        conformal(np.array([3.0, 1.0, 2.0]), np.array([0, 1, 2.5, 4])), np.array([4, 4, 2, 1]) / 4
    )


@pytest.mark.parametrize(("runs", "trials"), [(2, 300), (8, 120)])
def test_fused_p_values_keep_their_level_with_few_normals(runs, trials):
    """Nominal 5% with 20 calibration images: about 3 and 4%. Normals measured by their own tails give 8 and 15%."""
    rng = np.random.default_rng(0)
    groups = [[run] for run in range(runs)]
    rates = []
    for _ in range(trials):
        known, fresh = rng.normal(size=(runs, 20)), rng.normal(size=(runs, 50))
        new_N = fuse([Tail.fit(a).neg_log_p(b) for a, b in zip(known, fresh, strict=True)], groups)
        rates.append((fused_p_values(new_N, known, groups) <= 0.05).mean())
    assert 0.02 <= np.mean(rates) <= 0.05


def test_benjamini_hochberg_by_hand():
    """At rate .2 the k-th smallest of five may be .04 k: the third passes, and takes the second with it."""
    p_value_N = np.array([0.9, 0.01, 0.12, 0.5, 0.11])
    assert benjamini_hochberg(p_value_N, 0.2).tolist() == [False, True, True, False, True]
    assert benjamini_hochberg(p_value_N, 0.1).tolist() == [False, True, False, False, False]
    assert not benjamini_hochberg(p_value_N, 0.04).any()
    assert benjamini_hochberg(np.array([]), 0.1).shape == (0,)
    # .3 times 3 / 45 is .02, and 0.019999999999999997 in floats.
    assert benjamini_hochberg(np.array([0.02] * 3 + [0.9] * 42), 0.3).sum() == 3


@pytest.mark.parametrize("anomalies", [0, 20, 100])
def test_the_false_discovery_rate_is_kept(anomalies):
    """Of 200 images, 400 trials: the mean share of normals among the flagged is at most the rate times their share."""
    rng = np.random.default_rng(anomalies)
    shares, powers = [], []
    for _ in range(400):
        score_N = rng.normal(size=200)
        score_N[:anomalies] += 4
        flagged = benjamini_hochberg(conformal(rng.normal(size=400), score_N), 0.1)
        shares.append(flagged[anomalies:].sum() / max(flagged.sum(), 1))
        powers.append(flagged[:anomalies].mean() if anomalies else 1)
    promised = 0.1 * (200 - anomalies) / 200
    assert np.mean(shares) < promised + 3 * np.std(shares) / 20
    if anomalies:  # of normals alone hardly any is flagged: no p-value is below 1/401
        assert np.mean(shares) > promised / 3
    assert np.mean(powers) > 0.8


def test_of_an_exponential_tail_the_outliers_share_is_beyond_the_limit():
    """Above its median an exponential falls by half every log 2."""
    quantiles = -np.log(1 - (np.arange(100_000) + 0.5) / 100_000)
    assert outlier_threshold(quantiles) == pytest.approx(-np.log(OUTLIER_SHARE), rel=1e-3)


@pytest.mark.parametrize(("share", "most"), [(0.01, 1.1), (0.05, 1.3), (0.1, 1.6)])
def test_anomalies_among_the_calibration_images_move_the_outlier_limit_little(share, most):
    normal = np.random.default_rng(0).exponential(size=4000)
    count = int(share * len(normal))
    mixed = np.concatenate([normal[count:], np.full(count, 1e6)])
    assert outlier_threshold(normal) < outlier_threshold(mixed) < most * outlier_threshold(normal)


def test_no_score_is_an_outlier_where_most_are_the_same():
    assert outlier_threshold(np.array([0.0] * 9 + [1.0])) == np.inf
