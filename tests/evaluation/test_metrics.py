import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from hw8.base.errors import InputError
from hw8.data.labels import Labels
from hw8.evaluation.metrics import evaluate, fpr_at_tpr, roc_auc


def labelled(normals: int, **kinds: int) -> Labels:
    names = np.repeat(["normal", *kinds], [normals, *kinds.values()])
    return Labels((names != "normal").astype(int), names)


def test_hand_table():
    """Normals 1 2 3, kind a: 2 4, kind b: 0. Pairs won: a 1.5/3 and 3/3, b 0/3."""
    labels = labelled(3, a=2, b=1)
    evaluation = evaluate(np.array([1.0, 2.0, 3.0, 2.0, 4.0, 0.0]), labels)
    assert evaluation.kinds["a"].auc == pytest.approx(4.5 / 6)
    assert evaluation.kinds["b"].auc == 0
    assert evaluation.macro.auc == pytest.approx((4.5 / 6 + 0) / 2)
    assert evaluation.overall.auc == pytest.approx(4.5 / 9)
    assert evaluation.fpr95 == 1
    assert evaluation.precision_by_chance == 0.5
    assert (evaluation.normals, evaluation.kinds["a"].n, evaluation.kinds["b"].n, evaluation.overall.n) == (3, 2, 1, 3)


scores = st.lists(st.integers(0, 6), min_size=2, max_size=40)


@given(scores, scores)
def test_agrees_with_scikit_learn_including_ties(normal, anomalous):
    score_N = np.array([*normal, *anomalous], float)
    labels = labelled(len(normal), odd=len(anomalous))
    evaluation = evaluate(score_N, labels)
    assert evaluation.overall.auc == pytest.approx(roc_auc_score(labels.label_N, score_N))
    assert evaluation.macro.auc == pytest.approx(evaluation.overall.auc)
    assert evaluation.average_precision == pytest.approx(average_precision_score(labels.label_N, score_N))
    fpr, tpr, _ = roc_curve(labels.label_N, score_N, drop_intermediate=False)
    assert evaluation.fpr95 == pytest.approx(fpr[np.argmax(tpr >= 0.95 - 1e-12)])
    assert 0 <= evaluation.overall.low <= evaluation.overall.auc <= evaluation.overall.high <= 1


def test_macro_is_the_mean_of_the_kinds():
    rng = np.random.default_rng(0)
    labels = labelled(50, a=10, b=70)
    evaluation = evaluate(rng.normal(size=130) + (labels.kind_N == "b"), labels)
    assert evaluation.macro.auc == pytest.approx(np.mean([item.auc for item in evaluation.kinds.values()]))


@pytest.mark.parametrize("kinds", [{"a": 60}, {"a": 60, "b": 20}])
def test_intervals_cover_the_truth(kinds):
    """Nominal 95%: over 600 draws with a known AUC, between 92.5% and 97.5% of the intervals hold it."""
    rng = np.random.default_rng(1)
    labels = labelled(80, **kinds)
    truth = 0.7602499  # chance that N(1, 1) exceeds N(0, 1)
    inside = 0
    for _ in range(600):
        interval = evaluate(rng.normal(size=len(labels)) + labels.label_N, labels).macro
        inside += interval.low <= truth <= interval.high
    assert 0.925 <= inside / 600 <= 0.975


def test_variance_is_delongs_by_the_pairwise_definition():
    rng = np.random.default_rng(2)
    normal, anomalous = rng.integers(0, 9, 30).astype(float), rng.integers(3, 12, 20).astype(float)
    wins = (anomalous > normal[:, None]) + 0.5 * (anomalous == normal[:, None])
    variance = wins.mean(1).var(ddof=1) / 30 + wins.mean(0).var(ddof=1) / 20
    auc = wins.mean()
    half = 1.959964 * np.sqrt(variance) / (auc * (1 - auc))
    interval = evaluate(np.concatenate([normal, anomalous]), labelled(30, a=20)).overall
    logit = np.log(auc / (1 - auc))
    assert interval.auc == pytest.approx(auc)
    assert interval.low == pytest.approx(1 / (1 + np.exp(-(logit - half))), rel=1e-6)
    assert interval.high == pytest.approx(1 / (1 + np.exp(-(logit + half))), rel=1e-6)


def test_perfect_separation_is_not_certainty():
    interval = evaluate(np.arange(60.0), labelled(30, a=30)).overall
    assert interval.auc == 1
    assert interval.high == 1
    assert interval.low == pytest.approx(0.9)


def test_a_perfectly_separated_small_kind_leaves_the_mean_of_kinds_uncertain():
    evaluation = evaluate(np.arange(2002.0), labelled(1000, a=1000, b=2))
    assert evaluation.kinds["b"].low == 0
    assert evaluation.macro.low == pytest.approx(1 - 3 / (4 / (1 / 1000 + 1 / 2)))
    equal = evaluate(np.arange(120.0), labelled(60, a=30, b=30))
    assert equal.macro.low == pytest.approx(equal.overall.low) == pytest.approx(0.95)


@settings(max_examples=30)
@given(scores, scores)
def test_turning_the_scores_around_turns_the_auc_around(normal, anomalous):
    first = roc_auc(np.array(normal, float), np.array(anomalous, float))
    assert roc_auc(-np.array(normal, float), -np.array(anomalous, float)) == pytest.approx(1 - first)


def test_fpr_at_tpr_by_hand():
    normal, anomalous = np.array([1.0, 2, 3, 4]), np.array([0.0, 3, 5, 6])
    assert fpr_at_tpr(normal, anomalous, 0.75) == 0.5
    assert fpr_at_tpr(normal, anomalous, 0.5) == 0
    assert fpr_at_tpr(normal, anomalous, 1.0) == 1


def test_other_numbers_of_scores_and_labels():
    with pytest.raises(InputError, match="5 scores for 3 labels"):
        evaluate(np.zeros(5), labelled(2, a=1))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_refused(bad):
    labels = Labels(np.array([0, 0, 1]), np.array(["normal", "normal", "odd"]))
    with pytest.raises(InputError, match="not finite"):
        evaluate(np.array([0.0, 1.0, bad]), labels)
