"""Maps of where a score comes from: signs, sizes, and whether they peak where something was planted."""

import numpy as np
import pytest

from benchmarks.occlusion import peaks_inside, planted
from hw8.config.presets import changed
from hw8.data.demo import demo_images
from hw8.runs.train import train_run
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.occlusion import occluded, score_map, surroundings, windows


def brightness(images_BHWC: np.ndarray) -> np.ndarray:
    return images_BHWC.mean(axis=(1, 2, 3))


@pytest.mark.parametrize("side", [4, 16, 33, 64])
def test_windows_cover_every_pixel(side):
    window_WHW = windows(side)
    assert len(window_WHW) <= 121
    assert window_WHW.max(axis=0).min() == 1
    assert window_WHW.min() == 0
    assert np.allclose(window_WHW.sum(axis=0), window_WHW.sum(axis=0).T)


def test_windows_at_the_homeworks_size():
    window_WHW = windows(64)
    assert window_WHW.shape == (121, 64, 64)
    assert (window_WHW[0] == 1).sum() == 6 * 6


def test_outside_a_window_nothing_changes_and_inside_come_the_surroundings():
    image_HWC = np.full((32, 32, 3), 50, np.uint8)
    window_WHW = windows(32)
    inside = window_WHW[24] > 0
    image_HWC[inside] = 250
    filled_HWC = occluded(image_HWC, window_WHW, surroundings(image_HWC, window_WHW))[24]
    assert (filled_HWC[~inside] == 50).all()
    assert (filled_HWC[window_WHW[24] == 1] == 50).all()


@pytest.mark.parametrize(("grey", "sign"), [(250, 1), (10, -1)])
def test_a_part_that_raises_the_score_is_positive(grey, sign):
    image_HWC = np.full((32, 32, 1), 100, np.uint8)
    image_HWC[4:12, 18:28] = grey
    map_HW = sign * score_map(brightness, image_HWC)
    top, left = np.unravel_index(map_HW.argmax(), map_HW.shape)
    assert 4 <= top < 12
    assert 18 <= left < 28
    assert map_HW.max() > 0
    assert abs(map_HW[24:].max()) < map_HW.max() / 50, "far away nothing changes"


def test_it_is_in_units_of_the_score():
    image_HWC = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    map_HW = score_map(brightness, image_HWC)
    np.testing.assert_allclose(score_map(lambda images: 3 * brightness(images) + 5, image_HWC), 3 * map_HW)
    assert (score_map(brightness, np.full_like(image_HWC, 9)) == 0).all()


def test_a_reconstruction_is_what_replaces_the_content():
    image_HWC = np.full((32, 32, 1), 100, np.uint8)
    recon_HWC = np.full((32, 32, 1), 100.0)
    recon_HWC[20:28, 4:12] = 20
    map_HW = score_map(brightness, image_HWC, recon_HWC)
    top, left = np.unravel_index(map_HW.argmax(), map_HW.shape)
    assert 20 <= top < 28
    assert 4 <= left < 12
    assert (score_map(brightness, image_HWC, image_HWC.astype(float)) == 0).all()


def share_of_peaks_inside(run, count: int, kinds: tuple[str, ...]) -> float:
    trained = TrainedRun.load(run.folder.path)
    faces_NHWC = demo_images("normal", count + 20, seed=3)
    crop = trained.config.data.crop
    batch_NHWC, inside_NHW = planted(faces_NHWC[:count], faces_NHWC[count:], crop, kinds)
    map_NHW = trained.score_maps(batch_NHWC)
    assert map_NHW.shape == inside_NHW.shape
    return float(peaks_inside(map_NHW, inside_NHW).mean())


def test_the_peak_lies_in_a_planted_patch(trained):
    assert share_of_peaks_inside(trained, 12, ("noise", "colour")) >= 10 / 12


@pytest.mark.slow
def test_of_200_peaks_four_fifths_lie_in_the_patch(trained, tmp_path):
    longer = train_run(changed(trained.config, train={"epochs": 40}), tmp_path / "run")
    assert share_of_peaks_inside(longer, 200, ("piece", "noise", "colour")) >= 0.8
