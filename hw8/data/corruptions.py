"""Synthetic anomalies: normal images changed in seeded, labelled ways.

Each function takes an image uint8 (S, S, C), another normal image of the same shape, and a random
generator, and returns a changed uint8 image. They measure a run on its development split, where
no labelled anomaly may be used. Their ranges were chosen by hand; held-out figures of two runs are comparable only
while the ranges, and the order of draws, stay as they are.
"""

import functools
from collections.abc import Callable

import numpy as np
import scipy  # its modules are loaded where they are first used

from hw8.base.registry import register

Corruption = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
CORRUPTIONS: dict[str, Corruption] = {}


corruption = functools.partial(register, functions=CORRUPTIONS, kind="corruption")


def _box(side: int, rng: np.random.Generator, low: float, high: float) -> tuple[slice, slice]:
    """A random rectangle whose sides are `low` to `high` of the image's."""
    height, width = (max(1, round(side * rng.uniform(low, high))) for _ in range(2))
    top, left = rng.integers(0, side - height + 1), rng.integers(0, side - width + 1)
    return slice(top, top + height), slice(left, left + width)


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Round to whole grey levels, clipped to 0 to 255."""
    return np.rint(values).clip(0, 255).astype(np.uint8)


def resampled(image: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the image sampled at these positions (S, S) in pixels, bilinearly: uint8 (S, S, C)."""
    planes = np.moveaxis(image.astype(np.float64), 2, 0)
    bands = [scipy.ndimage.map_coordinates(plane, [y, x], order=1, mode="nearest") for plane in planes]
    return to_uint8(np.stack(bands, axis=-1))


@corruption
def cut_paste(image: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A rectangle of another image, pasted elsewhere (CutPaste, Li et al. 2021, across images)."""
    side, out = len(image), image.copy()
    rows, columns = _box(side, rng, 0.2, 0.45)
    patch = other[rows, columns]
    top, left = (rng.integers(0, side - extent + 1) for extent in patch.shape[:2])
    out[top : top + patch.shape[0], left : left + patch.shape[1]] = patch
    return out


@corruption
def patch_shuffle(image: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Three to six of the four by four tiles of the inner image, exchanged among themselves."""
    tile, out = max(1, len(image) // 6), image.copy()
    start = (len(image) - 4 * tile) // 2
    cells = [(start + tile * (n // 4), start + tile * (n % 4)) for n in range(16)]
    moved = rng.choice(16, rng.integers(3, 7), replace=False)
    for target, source in zip(moved, np.roll(moved, 1), strict=True):
        (y, x), (v, u) = cells[target], cells[source]
        out[y : y + tile, x : x + tile] = image[v : v + tile, u : u + tile]
    return out


@corruption
def local_warp(image: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The surroundings of one point, shifted smoothly in one direction."""
    side = len(image)
    y, x = np.mgrid[:side, :side].astype(np.float64)
    angle, centre = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.7, 2) * side
    width = side * rng.uniform(0.1, 0.2)
    pull = side * rng.uniform(0.07, 0.14) * np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * width**2))
    return resampled(image, y + pull * np.sin(angle), x + pull * np.cos(angle))


@corruption
def blur(image: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian blur of 0.7 to 1.8 pixels at side 64."""
    sigma = rng.uniform(0.7, 1.8) * len(image) / 64
    return to_uint8(scipy.ndimage.gaussian_filter(image.astype(np.float64), (sigma, sigma, 0)))


@corruption
def noise(image: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise with a standard deviation of 8 to 25 grey levels."""
    return to_uint8(image + rng.normal(0, rng.uniform(8, 25), image.shape))


@corruption
def colour_shift(image: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each channel scaled by 0.7 to 1.3 and shifted by up to 25 grey levels, independently of the others."""
    channels = image.shape[2]
    return to_uint8(image * rng.uniform(0.7, 1.3, channels) + rng.uniform(-25, 25, channels))


@corruption
def occlusion(image: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A rectangle of one colour, taken from somewhere in another image."""
    out, side = image.copy(), len(image)
    out[_box(side, rng, 0.2, 0.4)] = other[rng.integers(side), rng.integers(side)]
    return out


@corruption
def upside_down(image: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The image rotated by 180 degrees."""
    return np.ascontiguousarray(image[::-1, ::-1])


@corruption
def blend(image: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two faces in one: a weighted mean with another image (mixup, Zhang et al. 2018)."""
    share = rng.uniform(0.35, 0.65)
    return to_uint8(image * share + other * (1.0 - share))
