"""Whether images show their objects in one place, as aligned faces do, or anywhere."""

import numpy as np

from hw8.data.arrays import Images
from hw8.data.splits import evenly_spaced

# Images looked at, and shifted copies made of them. Chosen by hand: with more images the regression learns to read
# some shifts off automobiles and horses too; with under 200 it learns none off images that are aligned.
LOOKED_AT, COPIES = 500, 4000
MIN_TO_ALIGN = 200
SIDE = 16  # least pixels, under twice as many, to which images are shrunk; a face is still one there
SHIFT = 1 / 16  # of the side, at most: as small as the shifts that a recogniser learns to tell
PENALTY = 30.0  # of the ridge; between 3 and 300 the sets of docs/experiments.md keep their order
FOLDS = 5  # of the images, one of which the regression has not seen
# Least R^2 of aligned images. Chosen by hand in the gap between aligned kinds (faces, garments, digits) and objects in
# photographs; docs/experiments.md has the figures.
ALIGNED = 0.2


def is_aligned(images: Images, rows: np.ndarray) -> bool:
    """Whether objects lie in the same place in the images of these rows; too few images are taken for aligned."""
    return len(rows) < MIN_TO_ALIGN or alignment(images, rows) >= ALIGNED


def alignment(images: Images, rows: np.ndarray) -> float:
    """R^2 of a ridge regression that reads a small random shift off the pixels of an image that it has not seen.

    1 if the shift is plain, since objects are always in the same place; about 0, or below, if they may be anywhere.
    """
    grey_NHW = images.read(evenly_spaced(rows, LOOKED_AT)).mean(-1, dtype=np.float32)
    count, side = grey_NHW.shape[:2]
    most = max(1, round(side * SHIFT))
    padded_NHW = np.pad(grey_NHW, ((0, 0), (most, most), (most, most)), mode="reflect")
    random = np.random.RandomState(0)
    pixels, shifts, numbers = [], [], []
    for _ in range(-(-COPIES // count)):
        shift_N2 = random.randint(-most, most + 1, (count, 2))
        places = most + shift_N2
        moved = [image[y : y + side, x : x + side] for image, (y, x) in zip(padded_NHW, places, strict=True)]
        pixels.append(_small(np.stack(moved)))
        shifts.append(shift_N2 / most)
        numbers.append(np.arange(count))
    pixel_MP, shift_M2, image_M = np.concatenate(pixels), np.concatenate(shifts), np.concatenate(numbers)
    unseen_M = image_M % FOLDS == 0
    # Ridge regression in two lines: loading scikit-learn for it would delay a training's first step.
    centre_P, centre_2 = pixel_MP[~unseen_M].mean(0), shift_M2[~unseen_M].mean(0)
    seen_KP, learned_K2 = pixel_MP[~unseen_M] - centre_P, shift_M2[~unseen_M] - centre_2
    slope_P2 = np.linalg.solve(seen_KP.T @ seen_KP + PENALTY * np.eye(seen_KP.shape[1]), seen_KP.T @ learned_K2)
    read_U2, true_U2 = (pixel_MP[unseen_M] - centre_P) @ slope_P2 + centre_2, shift_M2[unseen_M]
    return float(1 - (np.square(read_U2 - true_U2).sum(0) / np.square(true_U2 - true_U2.mean(0)).sum(0)).mean())


def _small(grey_NHW: np.ndarray) -> np.ndarray:
    """Images shrunk by means of whole blocks, each with mean 0 and deviation 1: (N, pixels)."""
    block = max(1, grey_NHW.shape[1] // SIDE)
    side = grey_NHW.shape[1] // block
    cut_NHW = grey_NHW[:, : side * block, : side * block]
    row_NhW = cut_NHW.reshape(len(cut_NHW), side, block, side * block).mean(2)
    pixel_NP = row_NhW.reshape(len(cut_NHW), side, side, block).mean(3).reshape(len(cut_NHW), -1)
    pixel_NP = pixel_NP - pixel_NP.mean(1, keepdims=True)
    return pixel_NP / (pixel_NP.std(1, keepdims=True) + 1e-6)
