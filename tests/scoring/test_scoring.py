import numpy as np
import pytest
import torch

from hw8.data.arrays import Images, to_pixels
from hw8.errors import InputError
from hw8.models.output import Model, Output
from hw8.scoring.calibration import Calibration
from hw8.scoring.evidence import chosen, evidence
from hw8.scoring.fusion import fuse
from hw8.scoring.inference import Scorer, check_scores

CPU = torch.device("cpu")


class Grey(Model):
    """Reconstructs every image as middle grey."""

    def forward(self, x_NCHW):
        return Output(torch.zeros_like(x_NCHW), torch.zeros(len(x_NCHW), 1), {})


def test_evidence_by_hand():
    x = torch.tensor([[[[0.5, -0.5], [0.0, 1.0]]], [[[0.0, 0.0], [0.0, 0.0]]]])
    found = evidence(Grey(), x, Grey()(x))
    torch.testing.assert_close(found["rse"], torch.tensor([1.5**0.5, 0.0]))
    torch.testing.assert_close(found["mse"], torch.tensor([1.5 / 4, 0.0]))
    torch.testing.assert_close(found["l1"], torch.tensor([0.5, 0.0]))


def test_rse_is_the_courses_score(faces):
    """Square root of the summed squared error of 2x/255 - 1, as the sample notebook has it."""
    batch = faces.array_NHWC.astype(np.float32)
    expected = np.sqrt(np.square(2 * batch / 255 - 1).sum(axis=(1, 2, 3)))
    scores = Scorer(Grey(), CPU, "fp32", 16).table(faces, np.arange(60))
    np.testing.assert_allclose(scores["rse"], expected, rtol=1e-5)


def test_scores_stand_in_the_order_asked_for_whatever_the_batch(trained, faces):
    crop = Images(faces.array_NHWC, trained.config.data.crop)
    rows = np.array([9, 2, 40, 2])
    together = trained.scorer.score(crop, np.arange(60))["l1"]
    np.testing.assert_allclose(trained.scorer.score(crop, rows)["l1"], together[rows], rtol=2e-3)
    model = trained.scorer.scorer.model
    small = Scorer(model, CPU, "fp32", 7).table(crop, np.arange(60))["l1"]
    large = Scorer(model, CPU, "fp32", 60).table(crop, np.arange(60))["l1"]
    np.testing.assert_allclose(small, large, rtol=1e-5)


def test_scoring_reads_one_batch_at_a_time(faces):
    class Counting(Images):
        largest = 0

        def read(self, rows_B):
            self.largest = max(self.largest, len(rows_B))
            return super().read(rows_B)

    counting = Counting(faces.array_NHWC)
    Scorer(Grey(), CPU, "fp32", 16).table(counting, np.arange(60))
    assert counting.largest == 16


def test_reconstruct_gives_pixels_back(faces):
    class Copy(Model):
        def forward(self, x_NCHW):
            return Output(x_NCHW, torch.zeros(len(x_NCHW), 1), {})

    recon, found = Scorer(Copy(), CPU, "fp32", 16).reconstruct(faces.array_NHWC[:3])
    np.testing.assert_allclose(recon, to_pixels(torch.from_numpy(faces.array_NHWC[:3])).permute(0, 2, 3, 1).numpy())
    assert found["rse"].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ([1.0, np.nan, 2.0], "1 of 3 scores are not finite, the first at ID 1"),
        ([np.inf, 1.0, 2.0], "the first at ID 0"),
        ([3.5, 3.5, 3.5], r"every score is 3\.5"),
    ],
)
def test_useless_scores_are_refused(scores, words):
    with pytest.raises(InputError, match=words):
        check_scores(np.array(scores), "runs/x")


def test_p_values_by_hand():
    calibration = Calibration.fit({"l1": np.array([3.0, 1.0, 2.0, 2.0])})
    scores = np.array([0.0, 1.0, 2.0, 2.5, 3.0, 9.0])
    np.testing.assert_allclose(calibration.p_value("l1", scores), np.array([5, 5, 4, 2, 2, 1]) / 5)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_no_more_false_alarms_than_promised(alpha):
    """Averaged over calibrations, at most alpha of fresh normals are flagged, within four standard errors."""
    rng = np.random.default_rng(0)
    rates = []
    for _ in range(400):
        calibration = Calibration.fit({"l1": rng.gamma(3, size=199)})
        rates.append((calibration.p_value("l1", rng.gamma(3, size=500)) <= alpha).mean())
    assert np.mean(rates) <= alpha + 4 * np.std(rates) / 20
    assert np.mean(rates) >= alpha * 0.8


def test_calibration_survives_saving():
    calibration = Calibration.fit({"l1": np.random.default_rng(0).normal(size=50)})
    loaded = Calibration.from_tensors(calibration.tensors(), "l1", (), "runs/x")
    np.testing.assert_array_equal(loaded.sorted_C["l1"], calibration.sorted_C["l1"])
    with pytest.raises(InputError, match="training is not finished"):
        Calibration.from_tensors({}, "l1", (), "runs/x")
    with pytest.raises(InputError, match="score 'rse' was not calibrated; it has l1"):
        Calibration.from_tensors(calibration.tensors(), "rse", (), "runs/x")


def test_the_saved_calibration_is_that_of_the_held_out_normals(trained):
    _, tensors = trained.folder.load(trained.config)
    calibration = Calibration.from_tensors(tensors, "l1", (), "run")
    found = trained.scorer.score(trained.images, trained.splits.calibration)
    assert set(calibration.sorted_C) == set(found) >= {"l1", "mse", "rse", "structural", "texture", "latent"}
    for name, score_C in found.items():
        if name in calibration.fits:  # a distance fitted to an image is too small for it
            assert calibration.sorted_C[name].mean() > score_C.mean()
            continue
        np.testing.assert_array_equal(calibration.sorted_C[name], np.sort(score_C))


def test_standardised_scores_are_in_units_of_the_normals_spread():
    rng = np.random.default_rng(0)
    calibration = Calibration.fit({"l1": rng.normal(100, 7, 20_000)})
    np.testing.assert_allclose(calibration.standardise("l1", np.array([100.0, 107.0, 79.0])), [0, 1, -3], atol=0.05)


def test_fusion_gives_unlike_units_the_same_say():
    rng = np.random.default_rng(0)
    small, large = (Calibration.fit({"l1": rng.normal(*shape, 5000)}) for shape in ((0, 1), (500, 100)))
    parts = [small.standardise("l1", np.array([0.0, 3.0])), large.standardise("l1", np.array([500.0, 500.0]))]
    np.testing.assert_allclose(fuse(parts), [0, 1.5], atol=0.1)


def test_an_unknown_score_names_those_there_are():
    with pytest.raises(InputError, match="--score nelbo: this model does not give it; it gives l1, mse"):
        chosen({"l1": 1, "mse": 2}, "nelbo")
