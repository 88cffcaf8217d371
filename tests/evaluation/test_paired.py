import numpy as np
import pytest

from hw8.data.labels import Labels
from hw8.evaluation.memory import STATUS, PeakMemory
from hw8.evaluation.metrics import evaluate
from hw8.evaluation.paired import paired_difference

KIND = np.repeat(["normal", "a", "b"], [200, 100, 100])
LABELS = Labels((KIND != "normal").astype(int), KIND)
SHIFT = np.where(KIND == "normal", 0, 1.0)


def test_the_difference_is_that_of_the_macro_figures():
    rng = np.random.default_rng(0)
    ours = [rng.normal(SHIFT) for _ in range(3)]
    theirs = [rng.normal(SHIFT) for _ in range(2)]
    found = paired_difference(ours, theirs, LABELS)
    means = [np.mean([evaluate(score, LABELS).macro.auc for score in scores]) for scores in (ours, theirs)]
    assert found.value == pytest.approx(means[0] - means[1])
    assert found.low < found.value < found.high
    other = paired_difference(theirs, ours, LABELS)
    assert (other.value, other.low, other.high) == pytest.approx((-found.value, -found.high, -found.low))


def test_images_that_are_hard_for_both_cancel_out():
    rng = np.random.default_rng(1)
    common = rng.normal(SHIFT)
    near = paired_difference([common + 0.05 * rng.normal(size=400)], [common + 0.05 * rng.normal(size=400)], LABELS)
    apart = paired_difference([rng.normal(SHIFT)], [rng.normal(SHIFT)], LABELS)
    assert near.high - near.low < 0.3 * (apart.high - apart.low)


def test_a_tie_is_called_a_tie_as_often_as_promised():
    rng = np.random.default_rng(2)
    ties = []
    for _ in range(300):
        common = rng.normal(SHIFT)
        scores = [common + rng.normal(size=400) for _ in range(2)]
        ties.append(paired_difference([scores[0]], [scores[1]], LABELS).tie)
    assert 0.91 < np.mean(ties) < 0.985


def test_seeds_that_differ_widen_the_interval():
    rng = np.random.default_rng(3)
    common = rng.normal(SHIFT)
    steady = [common + 0.1 * rng.normal(size=400) for _ in range(2)]
    wild = [common, common + 3 * rng.normal(size=400)]
    still = paired_difference(steady, steady, LABELS)
    loose = paired_difference(wild, steady, LABELS)
    assert loose.high - loose.low > 3 * (still.high - still.low)


def test_equal_scores_are_a_tie_without_width():
    score = np.random.default_rng(4).normal(SHIFT)
    found = paired_difference([score], [score], LABELS)
    assert (found.value, found.low, found.high) == (0, 0, 0)
    assert found.tie


@pytest.mark.skipif(not STATUS.exists(), reason="the system does not tell")
def test_peak_memory_sees_what_is_held_and_let_go():
    with PeakMemory() as before:
        pass
    with PeakMemory() as peak:
        held = np.ones(25_000_000)
        held += 1
        del held
    assert 190 < peak.private_mb - before.private_mb < 260
    assert peak.resident_mb >= peak.private_mb
