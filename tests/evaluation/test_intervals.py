"""Intervals and rates, by hand."""

import numpy as np
import pytest

from hw8.data.labels import Labels
from hw8.evaluation.metrics import evaluate, fpr_at_tpr


def labelled(normals: int, **kinds: int) -> Labels:
    names = np.repeat(["normal", *kinds], [normals, *kinds.values()])
    return Labels((names != "normal").astype(int), names)


def test_a_single_anomaly_has_the_largest_variance_there_is():
    """Of shares 0 0 1 1 the variance is 1/3, of their mean 1/12; one anomaly adds .25, one each of two kinds half."""
    scores = np.array([0.0, 1, 2, 3, 1.5, 1.5])
    for labels, extra in ((labelled(4, a=1), 0.25), (labelled(4, a=1, b=1), 0.25 / 2)):
        interval = evaluate(scores[: len(labels)], labels).macro
        half = 1.959964 * np.sqrt(1 / 12 + extra) / 0.25
        assert (interval.low, interval.high) == pytest.approx((1 / (1 + np.exp(half)), 1 / (1 + np.exp(-half))))


def test_the_rule_of_three_counts_the_fewer_images():
    assert evaluate(np.arange(40.0), labelled(10, a=30)).overall.low == pytest.approx(1 - 3 / 10)


def test_json_has_both_intervals():
    rng = np.random.default_rng(0)
    values = evaluate(rng.normal(size=130), labelled(50, a=10, b=70))
    assert values.as_json()["auc_interval"] == [values.overall.low, values.overall.high]
    assert (
        values.as_json()["macro_auc_interval"]
        == [values.macro.low, values.macro.high]
        != [values.overall.low, values.overall.high]
    )


def test_fpr_needs_no_more_anomalies_than_asked_for():
    """.07 of 100 is 7, though .07 * 100 is 7.000000000000001."""
    assert fpr_at_tpr(np.array([92.5, 93.5]), np.arange(100.0), 0.07) == 0.5
