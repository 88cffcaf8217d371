"""What a run is worth without labels, and how sure that is."""

import numpy as np
import pytest

from hw8.data.arrays import Images
from hw8.data.corruptions import CORRUPTIONS
from hw8.data.labels import Labels
from hw8.data.synthetic import corrupt
from hw8.data.unseen import UNSEEN
from hw8.evaluation.held_out import PER_KIND, SEED, Development, HeldOut, _evaluate, evaluate_held_out
from hw8.evaluation.metrics import evaluate, roc_auc


class Spread:
    """Scores an image by its standard deviation, and notes which rows it was asked for."""

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []

    def score(self, images, rows):
        self.rows.append(rows)
        batch = images.read(rows)
        return {"spread": batch.reshape(len(rows), -1).std(axis=1).astype(float)}


def test_common_and_unseen_kinds_are_measured_each_on_its_own(faces):
    rows = np.arange(0, 40)
    held_out = evaluate_held_out(Spread().score, faces, rows)["spread"]
    assert set(held_out.common.kinds) == set(CORRUPTIONS)
    assert set(held_out.unseen.kinds) == set(UNSEEN)
    normal = Spread().score(faces, rows)["spread"]
    for table, kinds in ((held_out.common, CORRUPTIONS), (held_out.unseen, UNSEEN)):
        for kind in kinds:
            changed = corrupt(kind, faces, rows, rows, SEED).reshape(len(rows), -1).std(axis=1).astype(float)
            assert table.kinds[kind].auc == pytest.approx(roc_auc(normal, changed)), kind
        assert table.macro.auc == pytest.approx(np.mean([item.auc for item in table.kinds.values()]))


def test_copies_are_made_of_images_spread_over_all_of_them():
    """Of 501 to 999 images the first 500 would say nothing of the last."""
    images = Images(np.random.default_rng(0).integers(0, 255, (760, 8, 8, 3), np.uint8))
    scorer = Spread()
    Development.measure(scorer.score, images, np.arange(10, 760))
    assert len(scorer.rows[0]) == 750
    for chosen in scorer.rows[1:]:
        assert len(np.unique(chosen)) == PER_KIND
        assert (chosen[0], chosen[-1]) == (10, 759)
        assert np.diff(chosen).max() == 2


@pytest.mark.parametrize("spread", [0.3, 1.0])
def test_intervals_allow_for_copies_of_one_image_varying_together(spread):
    """The expected standard error is within 15% of the real one (300 draws); without clusters it is far larger."""
    rng = np.random.default_rng(0)
    intervals = []
    for _ in range(300):
        normal = rng.normal(size=60)
        copies = [normal + 0.1 * kind + spread * rng.normal(size=60) for kind in range(4)]
        intervals.append(_evaluate(normal, np.concatenate(copies), list("abcd")).macro)
    real = np.std([item.auc for item in intervals])
    expected = np.mean([item.high - item.low for item in intervals]) / 2 / 1.96
    assert expected == pytest.approx(real, rel=0.15)
    truth = np.mean([item.auc for item in intervals])
    assert 0.92 <= np.mean([item.low <= truth <= item.high for item in intervals]) <= 0.98


def test_a_little_better_than_chance_is_not_called_chance():
    """A true .53 that varies by .003 is above chance beyond doubt; if copies counted as images, it would not be."""
    rng = np.random.default_rng(1)
    normal = rng.normal(size=200)
    copies = np.concatenate([normal + 0.1 + 0.05 * rng.normal(size=200) for _ in range(9)])
    held_out = HeldOut.of(Development({"s": normal}, {"s": copies}, {"s": copies[: 200 * len(UNSEEN)]}), "s")
    assert 0.5 < held_out.common.macro.low < held_out.common.macro.auc < 0.54


def test_rows_of_images_of_their_own_have_delongs_interval():
    rng = np.random.default_rng(2)
    kind_N = np.repeat(["normal", "a", "b"], [30, 20, 10])
    labels = Labels((kind_N != "normal").astype(int), kind_N)
    score_N = rng.normal(labels.label_N)
    plain, of_images = evaluate(score_N, labels), evaluate(score_N, labels, np.arange(60)[::-1])
    assert (of_images.macro.low, of_images.overall.high) == pytest.approx((plain.macro.low, plain.overall.high))
