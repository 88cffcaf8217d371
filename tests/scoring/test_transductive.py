import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from hw8.base.errors import InputError
from hw8.config import ScoreConfig
from hw8.data.arrays import Images
from hw8.data.demo import demo_images
from hw8.evaluation.metrics import roc_auc
from hw8.models import create_model
from hw8.models.output import Output
from hw8.scoring import transductive
from hw8.scoring.calibration import Calibration
from hw8.scoring.inference import Scorer
from hw8.scoring.tails import Tail, benjamini_hochberg, conformal, is_flagged, leave_one_out_neg_log_p
from hw8.scoring.transductive import (
    Sample,
    Stages,
    Transducer,
    Transduction,
    check_can_transduce,
    choose_scores,
    log_odds,
    mann_whitney_z,
)

CPU = torch.device("cpu")
COLUMNS = 6


def simulated(rng: np.random.Generator, share: float, knowledge: float = 1.0):
    """Whether each of 1,000 test images is an anomaly, their own scores, and what the transduction makes of them.

    Of six columns the first tells anomalies from normal images, the last is -log p of the run's own score.
    """
    anomalous = rng.random(1000) < share
    inductive_C, inductive_R = rng.normal(size=200), rng.normal(size=600)
    inductive_N = rng.normal(size=1000) + anomalous
    normal, calibration, test = (
        rng.normal(size=(len(own), COLUMNS)) for own in (inductive_R, inductive_C, inductive_N)
    )
    test[:, 0] += 2 * knowledge * anomalous
    normal[:, -1], test[:, -1] = (Tail.fit(inductive_C).neg_log_p(own) for own in (inductive_R, inductive_N))
    calibration[:, -1] = leave_one_out_neg_log_p(inductive_C)
    done = choose_scores(*log_odds(normal, calibration, test, seed=0), inductive_C, inductive_N)
    return anomalous, inductive_N, done


def gain(anomalous: np.ndarray, inductive_N: np.ndarray, done: Transduction) -> float:
    """ROC-AUC of the transduction less that of the run's own score."""
    ours, theirs = (roc_auc(score_N[~anomalous], score_N[anomalous]) for score_N in (done.score_N, inductive_N))
    return ours - theirs


def test_without_anomalies_the_boss_stands_alone():
    """What the classifiers learn of noise is seldom taken for knowledge: beyond two standard errors, once in 44."""
    alone = []
    for seed in range(60):
        _, inductive_N, done = simulated(np.random.default_rng(seed), share=0.0)
        alone.append(done.share == 0 and spearmanr(done.score_N, inductive_N)[0] > 0.999)
    assert np.mean(alone) >= 0.9


def test_the_share_of_anomalies_is_estimated():
    for share in (0.0, 0.2, 0.5):
        estimate = np.mean([simulated(np.random.default_rng(seed), share)[2].share for seed in range(20)])
        assert share - 0.15 <= estimate <= share + 0.06


@pytest.mark.parametrize(("share", "least"), [(0.05, -0.01), (0.2, 0.03), (0.5, 0.05)])
def test_many_anomalies_are_found_better_than_by_the_boss_and_few_as_well(share, least):
    assert np.mean([gain(*simulated(np.random.default_rng(seed), share)) for seed in range(10)]) > least


def test_classifiers_that_learn_nothing_new_do_no_harm():
    """Then only the run's own -log p, which is hardly penalised, tells anomalies from normal images."""
    gains = [gain(*simulated(np.random.default_rng(seed), share=0.3, knowledge=0.0)) for seed in range(10)]
    assert min(gains) > -0.03
    assert np.mean(gains) > -0.01


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_the_promises_of_its_p_values_hold(share):
    """Of exchangeable normals 5% are flagged at p <= .05, and of what --fdr 0.1 flags a tenth is normal."""
    levels, rates = [], []
    for seed in range(50):
        anomalous, _, done = simulated(np.random.default_rng(seed), share)
        levels.append(is_flagged(done.p_value_N[~anomalous]).mean())
        flagged = benjamini_hochberg(done.p_value_N, 0.1)
        rates.append((flagged & ~anomalous).sum() / max(flagged.sum(), 1))
    assert np.mean(levels) < 0.05 + 3 * np.std(levels) / 50**0.5
    assert np.mean(rates) < 0.1 + 3 * np.std(rates) / 50**0.5


def test_a_limit_of_standard_errors_decides(monkeypatch):
    logit_C, logit_N, inductive_C, inductive_N = (
        np.arange(9.0),
        np.arange(20.0) % 11,
        np.arange(9.0)[::-1],
        np.arange(20.0) % 7,
    )
    p_N = conformal(logit_C, logit_N)
    z = (0.5 - p_N.mean()) / np.sqrt((1 / 9 + 1 / 20) / 12)
    assert mann_whitney_z(logit_C, logit_N) == pytest.approx(z)
    monkeypatch.setattr(transductive, "MIN_Z", z - 1e-6)
    found = choose_scores(logit_C, logit_N, inductive_C, inductive_N)
    monkeypatch.setattr(transductive, "MIN_Z", z + 1e-6)
    none = choose_scores(logit_C, logit_N, inductive_C, inductive_N)
    # Both scores are -log p, so that they can be added to those of other runs.
    np.testing.assert_array_equal(found.score_N, Tail.fit(logit_C).neg_log_p(logit_N))
    np.testing.assert_array_equal(none.score_N, Tail.fit(inductive_C).neg_log_p(inductive_N))
    np.testing.assert_array_equal(found.p_value_N, p_N)
    np.testing.assert_array_equal(none.p_value_N, conformal(inductive_C, inductive_N))
    assert found.share == pytest.approx(max(1 / 20, 1 - 2 * np.mean(p_N > 0.5)))
    assert none.share == 0


def test_an_image_is_scored_only_by_a_classifier_that_did_not_see_it(monkeypatch):
    from sklearn.linear_model import LogisticRegression

    seen: list[set[float]] = []
    scored: list[set[float]] = []
    fit, odds = LogisticRegression.fit, LogisticRegression.decision_function

    def spy_fit(self, x, y):
        seen.append(set(x[:, 0]))
        return fit(self, x, y)

    def spy_odds(self, x):
        scored.append(set(x[:, 0]))
        return odds(self, x)

    monkeypatch.setattr(LogisticRegression, "fit", spy_fit)
    monkeypatch.setattr(LogisticRegression, "decision_function", spy_odds)
    # The first column is a name of each image; the second, which never varies, must not be divided by 0.
    names = np.linspace(-1, 1, 100)
    every = np.column_stack([names, np.ones(100), np.random.default_rng(0).normal(size=100)])
    logit_C, logit_N = log_odds(every[:40], every[40:60], every[60:], 0)
    assert np.isfinite(np.concatenate([logit_C, logit_N])).all()
    assert (len(logit_C), len(logit_N)) == (20, 40)
    assert [rows & others for rows, others in zip(seen, scored, strict=True)] == [set()] * transductive.FOLDS
    assert sum(map(len, scored)) == 60
    normals = set.intersection(*seen)
    assert len(normals) == 40
    assert set.union(*scored) | normals == set.union(*seen)


@pytest.fixture(scope="module")
def sets():
    normal = Images(demo_images("normal", 160, seed=1)[:, ::4, ::4].copy())
    mixed = np.concatenate([demo_images("normal", 40, seed=2), demo_images("cartoon", 40, seed=3)])[:, ::4, ::4]
    return Sample(normal, np.arange(120)), Sample(normal, np.arange(120, 160)), Images(mixed.copy())


@pytest.fixture(scope="module")
def transducer(sets) -> Transducer:
    """Of a small untrained recogniser, whose own score is the distance of its amounts."""
    torch.manual_seed(0)
    scorer = Scorer(create_model("recogniser", 16, 3, {"widths": [8, 16, 16, 32]}), CPU, "fp32", 64, ["amounts"])
    calibration = sets[1]
    return Transducer(
        scorer, Calibration.fit(scorer.table(calibration.images, calibration.rows), ScoreConfig()), "amounts", seed=0
    )


def inductive_scores(transducer: Transducer, images: Images) -> np.ndarray:
    table = transducer.scorer.table(images, np.arange(len(images)))
    return transducer.calibration.scores(table)["amounts"]


def test_it_finds_what_is_not_in_the_training_set_without_a_label(sets, transducer):
    first, second = (transducer(*sets, inductive_scores(transducer, sets[2])) for _ in range(2))
    np.testing.assert_array_equal(first.score_N, second.score_N)
    assert roc_auc(first.score_N[:40], first.score_N[40:]) > 0.95
    assert first.share > 0.2


def test_calibration_normals_are_left_out_of_their_own_tail(sets, transducer, monkeypatch):
    """Of the last column, which is hardly penalised: a tail is too kind to what it was fitted to."""
    given: list[np.ndarray] = []

    def spy(*parts_and_seed):
        given.extend(parts_and_seed[:3])
        return np.zeros(40), np.zeros(80)

    monkeypatch.setattr(transductive, "log_odds", spy)
    inductive_C, inductive_N = transducer.calibration.values_C["amounts"], inductive_scores(transducer, sets[2])
    transducer(*sets, inductive_N)
    assert [len(column_ND) for column_ND in given] == [120, 40, 80]
    np.testing.assert_allclose(given[1][:, -1], leave_one_out_neg_log_p(inductive_C), rtol=1e-5)
    np.testing.assert_allclose(given[2][:, -1], Tail.fit(inductive_C).neg_log_p(inductive_N), rtol=1e-4)


def test_images_that_distances_were_fitted_to_are_not_their_own_neighbours(sets, transducer):
    normal = sets[0]
    scorer = transducer.scorer
    reference = scorer.table(normal.images, normal.rows)
    calibration = Calibration.fit(
        scorer.table(sets[1].images, sets[1].rows), ScoreConfig(distance="neighbours"), reference
    )
    fitted = Transducer(scorer, calibration, "amounts", seed=0)
    in_reference_N = np.ones(120, bool)
    neg_log_p_N = fitted.describe(Sample(normal.images, normal.rows, in_reference_N))[:, -1]
    expected_N = calibration.neg_log_p("amounts", calibration.scores(reference, in_reference_N)["amounts"])
    np.testing.assert_allclose(neg_log_p_N, expected_N, rtol=1e-4)
    assert (neg_log_p_N > fitted.describe(normal)[:, -1]).mean() > 0.9


def population_std(x: torch.Tensor, dim: tuple[int, int]) -> torch.Tensor:
    return x.std(dim, correction=0)


def test_stages_are_means_and_deviations_of_every_map(sets, transducer):
    model = transducer.scorer.model
    x_NCHW = torch.rand(3, 3, 16, 16) * 2 - 1
    stages = Stages(model)
    output = Output(None, torch.empty(0), {})
    value_ND = stages.evidence(x_NCHW, output)["stages"]
    assert value_ND.shape == (3, 2 * (8 + 8 + 16 + 16 + 32))
    torch.testing.assert_close(value_ND, stages.evidence(x_NCHW.flip(3), output)["stages"])
    both = [model.features(x) for x in (x_NCHW, x_NCHW.flip(3))]
    std_ND, mean_ND = (torch.stack([how(x, (2, 3)) for x in both]).mean(0) for how in (population_std, torch.mean))
    torch.testing.assert_close(value_ND[:, -64:-32], std_ND)
    torch.testing.assert_close(value_ND[:, -32:], mean_ND)


def test_a_few_test_images_get_the_boss_score(sets, transducer, monkeypatch):
    normal, calibration, test = sets
    few = Images(test.array_NHWC[:4])
    inductive_N = inductive_scores(transducer, few)
    monkeypatch.setattr(Transducer, "describe", None)  # nothing is computed in vain
    done = transducer(normal, calibration, few, inductive_N)
    assert done.share == 0
    np.testing.assert_array_equal(done.score_N, transducer.calibration.neg_log_p("amounts", inductive_N))
    np.testing.assert_array_equal(done.p_value_N, conformal(transducer.calibration.values_C["amounts"], inductive_N))


@pytest.mark.parametrize("name", ["conv", "views"])
def test_other_models_are_refused(name):
    with pytest.raises(InputError, match="starts from a recogniser's encoder"):
        check_can_transduce(create_model(name, 64))


def test_few_calibration_images_leave_the_boss_score(sets, transducer, monkeypatch):
    normal, calibration, test = sets
    few = Sample(calibration.images, calibration.rows[:4])
    calibrated = Calibration.fit(transducer.scorer.table(few.images, few.rows), ScoreConfig())
    inductive_N = inductive_scores(transducer, test)
    monkeypatch.setattr(Transducer, "describe", None)
    assert Transducer(transducer.scorer, calibrated, "amounts", seed=0)(normal, few, test, inductive_N).share == 0
