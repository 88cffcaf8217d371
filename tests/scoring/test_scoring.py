import dataclasses

import numpy as np
import pytest
import torch

from hw8.base.errors import InputError
from hw8.config import ScoreConfig
from hw8.config.presets import changed, load_preset
from hw8.data.arrays import Images, to_pixels
from hw8.models import create_model
from hw8.models.output import Model, Output
from hw8.scoring import texture
from hw8.scoring.calibration import Calibration
from hw8.scoring.evidence import centre_l1, error_regions, evidence, structural, top_l1
from hw8.scoring.inference import Scorer
from hw8.scoring.tails import check_scores

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


def test_statistics_of_the_image_alone_run_no_network():
    class Needed(Grey):
        def forward(self, x_NCHW):
            raise AssertionError("no reconstruction is needed")

    assert Needed.needs_output
    assert [*evidence(Needed(), torch.zeros(2, 3, 16, 16), evidence_names=("texture", "bands"))] == ["bands", "texture"]


def test_rse_is_the_courses_score(faces):
    """Square root of the summed squared error of 2x/255 - 1, as the sample notebook has it."""
    batch = faces.array_NHWC.astype(np.float32)
    expected = np.sqrt(np.square(2 * batch / 255 - 1).sum(axis=(1, 2, 3)))
    scores = Scorer(Grey(), CPU, "fp32", 16).table(faces, np.arange(60))
    np.testing.assert_allclose(scores["rse"], expected, rtol=1e-5)


def test_scores_stand_in_the_order_asked_for_whatever_the_batch(trained, faces):
    crop = Images(faces.array_NHWC, trained.config.data.crop)
    rows = np.array([9, 2, 40, 2])
    together = trained.score(crop, np.arange(60))["l1"]
    np.testing.assert_allclose(trained.score(crop, rows)["l1"], together[rows], rtol=2e-3)
    model = trained.scorer.model
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
        ([1.0, np.nan, 2.0], "1 of 3 scores of test images are not finite, the first in row 1"),
        ([np.inf, 1.0, 2.0], "the first in row 0"),
        ([3.5, 3.5, 3.5], r"every score is 3\.5"),
    ],
)
def test_useless_scores_are_refused(scores, words):
    with pytest.raises(InputError, match=words):
        check_scores(np.array(scores), "runs/x")


def test_p_values_by_hand():
    calibration = Calibration.fit({"l1": np.array([3.0, 1.0, 2.0, 2.0])}, ScoreConfig())
    scores = np.array([0.0, 1.0, 2.0, 2.5, 3.0, 9.0])
    np.testing.assert_allclose(calibration.p_value("l1", scores), np.array([5, 5, 4, 2, 2, 1]) / 5)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_no_more_false_alarms_than_promised(alpha):
    """Averaged over calibrations, at most alpha of fresh normals are flagged, within four standard errors."""
    rng = np.random.default_rng(0)
    rates = []
    for _ in range(400):
        calibration = Calibration.fit({"l1": rng.gamma(3, size=199)}, ScoreConfig())
        rates.append((calibration.p_value("l1", rng.gamma(3, size=500)) <= alpha).mean())
    assert np.mean(rates) <= alpha + 4 * np.std(rates) / 20
    assert np.mean(rates) >= alpha * 0.8


def test_calibration_survives_saving():
    calibration = Calibration.fit({"l1": np.random.default_rng(0).normal(size=50)}, ScoreConfig())
    loaded = Calibration.from_tensors(calibration.tensors(), ScoreConfig("l1"), "runs/x")
    np.testing.assert_array_equal(loaded.values_C["l1"], calibration.values_C["l1"])
    with pytest.raises(InputError, match="training is not finished"):
        Calibration.from_tensors({}, ScoreConfig("l1"), "runs/x")
    with pytest.raises(InputError, match="score 'rse' was not calibrated; it has l1"):
        Calibration.from_tensors(calibration.tensors(), ScoreConfig("rse"), "runs/x")


def test_the_saved_calibration_is_that_of_the_held_out_normals(trained):
    tensors = trained.folder.load_model(trained.config).calibration
    calibration = Calibration.from_tensors(tensors, ScoreConfig("l1"), "run")
    found = trained.with_all_evidence().score(trained.images, trained.splits.calibration)
    assert set(calibration.values_C) == set(found) >= {"l1", "mse", "rse", "structural", "texture", "latent"}
    for name, score_C in found.items():
        if name in calibration.fits:  # a distance fitted to an image is too small for it
            assert calibration.values_C[name].mean() > score_C.mean()
            continue
        np.testing.assert_array_equal(calibration.values_C[name], score_C)


def test_an_unknown_score_names_those_there_are(trained):
    unknown = dataclasses.replace(trained, config=changed(trained.config, scoring={"score": "nelbo"}))
    with pytest.raises(InputError, match="cannot score .*: `score` nelbo: this model does not give it; it gives l1"):
        unknown.check()


def test_structural_is_one_minus_ssim_by_hand():
    """One window as large as the image: Wang 2004, equation 13."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-1, 1, (2, 1, 1, 7, 7))
    a, b = (x.ravel() + 1) / 2, (y.ravel() + 1) / 2
    light = (2 * a.mean() * b.mean() + 1e-4) / (a.mean() ** 2 + b.mean() ** 2 + 1e-4)
    shape = (2 * ((a * b).mean() - a.mean() * b.mean()) + 9e-4) / (a.var() + b.var() + 9e-4)
    found = structural(torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32))
    assert found.item() == pytest.approx(1 - light * shape, rel=1e-3)
    same = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(structural(same, same), torch.zeros(2), atol=1e-5, rtol=0)


def test_top_and_centre_errors_look_where_they_say():
    x = torch.zeros(1, 1, 20, 20)
    recon = x.clone()
    recon[0, 0, 0, :20] = 0.5
    assert top_l1(recon, x).item() == pytest.approx(0.5)
    assert centre_l1(recon, x).item() == 0
    assert centre_l1(x + 0.25, x).item() == pytest.approx(0.25)


def test_regions_name_the_place_of_an_error():
    x = torch.zeros(1, 3, 16, 16)
    recon = x.clone()
    recon[:, :, 12:, :4] = 0.5
    assert error_regions(recon, x).argmax().item() == 12


def test_bands_see_the_size_of_detail():
    checks = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    fine, coarse = checks.repeat(8, 8), checks.repeat_interleave(4, 0).repeat_interleave(4, 1).repeat(2, 2)
    found = [texture.band_energies(image[None, None] * 0.5)[0, ::2] for image in (fine, coarse)]
    assert found[0].argmax().item() == 0
    assert found[1][2] > found[0][2]


def test_cooccurrence_is_a_share_and_knows_noise_from_smoothness():
    rng = np.random.default_rng(0)
    smooth = torch.linspace(-0.5, 0.5, 32).expand(1, 1, 32, 32)
    noisy = smooth + torch.tensor(rng.normal(0, 0.2, (1, 1, 32, 32)), dtype=torch.float32)
    flat, rough = (texture.cooccurrence(image)[0, :9] for image in (smooth, noisy))
    assert flat[8].item() == pytest.approx(1)  # nothing but zeros beside zeros
    assert rough[8] < 0.5
    pairs = {(i, j) for i in range(5) for j in range(5)}
    orbits = [{(i, j), (j, i), (4 - i, 4 - j), (4 - j, 4 - i)} for i, j in (divmod(n, 5) for n in texture.DIFFERENT)]
    assert set.union(*orbits) == pairs
    assert sum(map(len, orbits)) == 25
    sizes = torch.tensor([len(orbit) for orbit in orbits])
    assert (sizes * rough.square()).sum().item() == pytest.approx(1, abs=0.01)  # a mean of roots of two directions


def test_texture_does_not_change_when_the_image_is_mirrored_or_turned(faces):
    x = to_pixels(torch.from_numpy(faces.array_NHWC[:5]))
    for turned in (x.flip(3), x.rot90(2, (2, 3))):
        torch.testing.assert_close(texture.cooccurrence(turned), texture.cooccurrence(x), atol=2e-3, rtol=0)


def test_only_the_selected_evidence_is_computed(trained):
    rows = np.arange(4)
    scorer = trained.scorer
    selected = Scorer(scorer.model, CPU, scorer.precision, 4, ["texture", "l1"])
    assert set(selected.table(trained.images, rows)) == {"texture", "l1"}
    everything = selected.with_evidence(None).table(trained.images, rows)
    assert set(everything) > {"texture", "l1", "latent", "error_bands"}


@pytest.mark.parametrize("name", ["boss", "boss_views", "vae", "denoise_levels", "classifier", "memae"])
def test_evidence_is_the_same_where_no_reconstruction_is_made(name, faces):
    torch.manual_seed(0)
    preset = load_preset(name)
    model = create_model(preset.model.name, faces.side, 3, preset.model.options).eval()
    x_NCHW = to_pixels(torch.from_numpy(faces.array_NHWC[:3]))
    with torch.no_grad():
        own = model.evidence(x_NCHW, model(x_NCHW))
        found = evidence(model, x_NCHW, evidence_names=[*own])
    assert found.keys() == own.keys()
    for key, value in own.items():
        torch.testing.assert_close(found[key], value, rtol=0, atol=0)


def test_what_needs_no_reconstruction_makes_none(monkeypatch):
    model = create_model("recogniser", 32, 3, {"widths": [4, 4, 4, 4], "latent": 4}).eval()
    monkeypatch.setattr(model, "decode", lambda latent: pytest.fail("reconstructed for nothing"))
    scorer = Scorer(model, CPU, "fp32", 4, ["amounts", "texture"])
    monkeypatch.setattr(scorer._quick, "decode", model.decode)
    assert set(scorer.evidence(np.zeros((3, 32, 32, 3), np.uint8))) == {"amounts", "texture"}


def test_grey_images_have_no_opponent_colour():
    """The luma of BT.601 is the grey value itself, as its weights sum to 1; of colours it is .299, .587 and .114."""
    grey_NCHW = torch.linspace(-1, 1, 9).view(1, 1, 3, 3).expand(1, 3, 3, 3)
    expected = torch.cat([grey_NCHW[:, :1], torch.zeros(1, 2, 3, 3)], dim=1)
    torch.testing.assert_close(texture.opponent(grey_NCHW), expected, atol=1e-6, rtol=0)
    luma_N = texture.opponent(torch.eye(3).view(3, 3, 1, 1))[:, 0, 0, 0]
    torch.testing.assert_close(luma_N, torch.tensor([0.299, 0.587, 0.114]))


@pytest.mark.parametrize("preset", ["resnet", "boss"])
def test_scores_do_not_depend_on_the_number_of_threads_or_of_other_images(preset):
    before, config = torch.get_num_threads(), load_preset(preset)
    array = np.random.default_rng(0).integers(0, 256, (700, 32, 32, 3), dtype=np.uint8)
    scorer = Scorer(create_model(config.model.name, 32, 3, config.model.options), torch.device("cpu"), "fp32", 256)
    tables = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            tables.append(scorer.table(Images(array), np.arange(len(array))))
        few = scorer.table(Images(array), np.arange(128))
    finally:
        torch.set_num_threads(before)
    for name, value in tables[0].items():
        for other in tables[1:]:
            np.testing.assert_array_equal(other[name], value, err_msg=name)
        np.testing.assert_array_equal(few[name], value[:128], err_msg=name)
