import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from tqdm import tqdm

from hw8.base.errors import InputError
from hw8.data.arrays import Images
from hw8.data.demo import demo_images
from hw8.evaluation.metrics import roc_auc
from hw8.models import create_model
from hw8.scoring import transductive
from hw8.scoring.inference import Scorer
from hw8.scoring.tails import benjamini_hochberg, conformal, is_flagged
from hw8.scoring.transductive import Ratios, Sample, Transducer, fuse, platt

CPU = torch.device("cpu")


def simulated(rng: np.random.Generator, count: int, share: float, knowledge: float = 1.0):
    """Scores and log-odds of 200 calibration normals and `count` test images, of which a share are anomalies."""
    anomalous = rng.random(count) < share
    shift = np.where(anomalous, 2.0, 0.0)
    own_C, own_N = rng.normal(size=200), rng.normal(size=count) + shift / 2
    logit_C, logit_N = rng.normal(size=200), rng.normal(size=count) + knowledge * shift
    return anomalous, logit_C, logit_N, own_C, own_N


def transduced(rng: np.random.Generator, share: float, knowledge: float = 1.0):
    anomalous, logit_C, logit_N, own_C, own_N = simulated(rng, 2000, share, knowledge)
    ratio_C, ratio_N = np.empty_like(logit_C), np.empty_like(logit_N)
    fold_C, fold_N = np.arange(len(logit_C)) % 2, np.arange(len(logit_N)) % 2
    for fold in (0, 1):
        slope, offset = platt(logit_C[fold_C == fold], logit_N[fold_N == fold])
        ratio_C[fold_C == fold] = slope * logit_C[fold_C == fold] + offset
        ratio_N[fold_N == fold] = slope * logit_N[fold_N == fold] + offset
    return anomalous, own_N, fuse(Ratios(ratio_C, ratio_N, fold_C, fold_N), own_C, own_N)


def test_without_anomalies_the_boss_stands_alone():
    """The discriminators' noise is hardly ever taken for knowledge."""
    alone = []
    for seed in range(60):
        _, own_N, done = transduced(np.random.default_rng(seed), share=0.0)
        alone.append(done.share == 0 and spearmanr(done.score_N, own_N)[0] > 0.999)
    assert np.mean(alone) >= 0.95


def test_the_share_of_anomalies_is_estimated():
    for share in (0.0, 0.2, 0.5):
        estimate = np.mean([transduced(np.random.default_rng(seed), share)[2].share for seed in range(20)])
        assert share - 0.15 <= estimate <= share + 0.06


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_what_the_test_set_says_adds_to_the_boss(share):
    gains = []
    for seed in range(10):
        anomalous, own_N, done = transduced(np.random.default_rng(seed), share)
        gains.append(
            roc_auc(done.score_N[~anomalous], done.score_N[anomalous]) - roc_auc(own_N[~anomalous], own_N[anomalous])
        )
    assert np.mean(gains) > (0.03 if share > 0.1 else -0.01)


def test_a_discriminator_that_learned_nothing_does_no_harm():
    for seed in range(10):
        anomalous, own_N, done = transduced(np.random.default_rng(seed), 0.3, knowledge=0.0)
        aucs = [roc_auc(score_N[~anomalous], score_N[anomalous]) for score_N in (done.score_N, own_N)]
        assert aucs[0] > aucs[1] - 0.02


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_the_promises_of_its_p_values_hold(share):
    """Of exchangeable normals 5% are flagged at p <= .05, and of what --fdr 0.1 flags a tenth is normal."""
    levels, rates = [], []
    for seed in range(50):
        anomalous, _, result = transduced(np.random.default_rng(seed), share)
        levels.append(is_flagged(result.p_value_N[~anomalous]).mean())
        flagged = benjamini_hochberg(result.p_value_N, 0.1)
        rates.append((flagged & ~anomalous).sum() / max(flagged.sum(), 1))
    assert np.mean(levels) < 0.05 + 3 * np.std(levels) / 50**0.5
    assert np.mean(rates) < 0.1 + 3 * np.std(rates) / 50**0.5


def test_log_odds_become_density_ratios():
    rng = np.random.default_rng(0)
    # Two normals a distance of 1 apart: the log ratio is x - 1/2, whatever unit the log-odds came in.
    slope, offset = platt(5 * rng.normal(0, 1, 20_000), 5 * rng.normal(1, 1, 40_000))
    assert slope * 5 == pytest.approx(1, abs=0.05)
    assert offset == pytest.approx(-0.5, abs=0.05)
    assert platt(rng.normal(1, 1, 500), rng.normal(0, 1, 500)) == (0.0, 0.0)


@pytest.fixture(scope="module")
def sets():
    normal = Images(demo_images("normal", 160, seed=1)[:, ::4, ::4].copy())
    mixed = np.concatenate([demo_images("normal", 40, seed=2), demo_images("cartoon", 40, seed=3)])[:, ::4, ::4]
    return Sample(normal, np.arange(120)), Sample(normal, np.arange(120, 160)), Images(mixed.copy())


def scorer() -> Scorer:
    """A small recogniser's."""
    torch.manual_seed(0)
    return Scorer(create_model("recogniser", 16, 3, {"widths": [8, 16, 16, 32]}), CPU, "fp32", 64)


def test_it_finds_what_is_not_in_the_training_set_without_a_label(sets):
    normal, calibration, test = sets
    transducer = Transducer(scorer(), seed=0, steps=40, lr=1e-3)
    nothing = np.random.default_rng(0).normal(size=120)
    first, second = (transducer(normal, calibration, test, nothing[:40], nothing[40:]) for _ in range(2))
    np.testing.assert_array_equal(first.score_N, second.score_N)
    assert roc_auc(first.score_N[:40], first.score_N[40:]) > 0.8
    assert first.share > 0.1


def test_an_image_is_scored_only_by_a_discriminator_that_did_not_see_it(sets, monkeypatch):
    normal, calibration, test = sets
    seen: list[set[int]] = []
    scored: list[set[int]] = []
    fit, score = Transducer._fit, Transducer._score

    def names(*samples):
        """A name of each image: calibration images are below 0."""
        return {int(row) if sample.images is test else -1 - int(row) for sample in samples for row in sample.rows}

    def spy_fit(self, first, others, fold, bar):
        seen.append(names(*first, *others))
        scored.append(set())
        return fit(self, first, others, fold, bar)

    def spy_score(self, net, sample):
        scored[-1] |= names(sample)
        return score(self, net, sample)

    monkeypatch.setattr(Transducer, "_fit", spy_fit)
    monkeypatch.setattr(Transducer, "_score", spy_score)
    Transducer(scorer(), 0, steps=1)(normal, calibration, test, np.arange(40.0), np.arange(80.0))
    assert [rows & others for rows, others in zip(seen, scored, strict=True)] == [set(), set()]
    assert set.union(*scored) == set(range(80)) | names(calibration)
    assert set.union(*seen) == set.union(*scored) | names(normal)


def test_what_scores_is_the_average_over_the_steps(sets, monkeypatch):
    normal, _, test = sets
    weights: list[torch.Tensor] = []
    follow = transductive.update_average

    def spy(average, net, decay):
        follow(average, net, decay)
        weights.append((net.head.weight.detach().clone(), average.head.weight.detach().clone(), decay))

    monkeypatch.setattr(transductive, "update_average", spy)
    transducer = Transducer(scorer(), 0, steps=4)
    net = transducer._fit([normal], [Sample(test, np.arange(80))], 0, tqdm(disable=True))
    expected = torch.zeros_like(weights[0][0])
    assert [decay for *_, decay in weights] == pytest.approx([1 / 10, 2 / 11, 3 / 12, 4 / 13])
    for raw, average, decay in weights:
        expected = decay * expected + (1 - decay) * raw
        torch.testing.assert_close(average, expected)
    torch.testing.assert_close(net.head.weight, expected)
    assert (net.head.weight != weights[-1][0]).any()


def test_a_single_test_image_gets_the_boss_score(sets):
    normal, calibration, test = sets
    transducer = Transducer(scorer(), 0, steps=1)
    done = transducer(normal, calibration, Images(test.array_NHWC[:1]), np.arange(40.0), np.array([38.5]))
    assert done.share == 0
    assert np.isfinite(done.score_N).all()
    np.testing.assert_array_equal(done.p_value_N, conformal(np.arange(40.0), np.array([38.5])))


@pytest.mark.parametrize("name", ["conv", "views"])
def test_other_models_are_refused(name):
    with pytest.raises(InputError, match="starts from a recogniser's encoder"):
        Transducer(Scorer(create_model(name, 64), CPU, "fp32", 64), 0)
