"""Synthetic anomalies that no model is trained on, to measure models that are trained to recognise the common ones.

Functions as in `hw8.data.corruptions`. They only measure: what is used in training must leave this file.
"""

import functools

import numpy as np
import scipy  # its modules are loaded where they are first used

from hw8.base.registry import register
from hw8.data.corruptions import Corruption, resampled, to_uint8

UNSEEN: dict[str, Corruption] = {}


unseen_corruption = functools.partial(register, functions=UNSEEN, kind="corruption")


@unseen_corruption
def swirl(image: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The surroundings of a point near the middle, rotated by 23 to 52 degrees there and less further outwards."""
    side = len(image)
    y, x = np.mgrid[:side, :side].astype(np.float64)
    centre = rng.uniform(0.4, 0.6, 2) * side
    down, across = y - centre[0], x - centre[1]
    near = np.exp(-((np.hypot(down, across) / (side * 0.25)) ** 2))
    angle = rng.choice([-1, 1]) * rng.uniform(0.4, 0.9) * near
    source_y = centre[0] + down * np.cos(angle) + across * np.sin(angle)
    source_x = centre[1] - down * np.sin(angle) + across * np.cos(angle)
    return resampled(image, source_y, source_x)


@unseen_corruption
def mirror_half(image: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One half replaced by the mirror image of the other."""
    out, half = image.copy(), len(image) // 2
    if rng.random() < 0.5:
        out[:, -half:] = out[:, :half][:, ::-1]
    else:
        out[:, :half] = out[:, -half:][:, ::-1]
    return out


@unseen_corruption
def posterise(image: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Grey levels rounded to the middles of steps of 20 to 48 levels."""
    step = rng.uniform(20, 48)
    return to_uint8((np.floor(image / step) + 0.5) * step)


@unseen_corruption
def median(image: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each pixel replaced by the median of its 3x3 neighbourhood: smooth, with sharp edges."""
    filtered: np.ndarray = scipy.ndimage.median_filter(image, size=(3, 3, 1))
    return filtered


@unseen_corruption
def jpeg(image: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cosine coefficients of 8x8 blocks, as in JPEG, rounded to multiples of 14 to 40, coarser for finer detail."""
    side, step = len(image), rng.uniform(14, 40)
    pad = -side % 8
    padded = np.pad(image.astype(np.float64) - 128, ((0, pad), (0, pad), (0, 0)), "edge")
    blocks = padded.reshape(len(padded) // 8, 8, len(padded) // 8, 8, -1)
    frequency = np.arange(8)
    # Like JPEG's tables, which are about four times as coarse for the finest detail.
    steps = (step * (1 + 0.25 * (frequency[:, None] + frequency)))[None, :, None, :, None]
    rounded = np.rint(scipy.fft.dctn(blocks, axes=(1, 3), norm="ortho") / steps) * steps
    return to_uint8(scipy.fft.idctn(rounded, axes=(1, 3), norm="ortho").reshape(padded.shape)[:side, :side] + 128)


@unseen_corruption
def relight(image: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Light from one side: a gamma that changes smoothly across the image."""
    y, x = np.mgrid[: len(image), : len(image)] / (len(image) - 1) - 0.5
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.7, 1.4)
    gamma = np.exp(strength * (np.cos(angle) * x + np.sin(angle) * y))[..., None]
    return to_uint8(255 * (image / 255) ** gamma)


@unseen_corruption
def part_swap(image: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An ellipse of another image at the same place, blended in softly: another person's eye, nose or mouth."""
    y, x = np.mgrid[: len(image), : len(image)] / len(image)
    centre, radii = (rng.uniform(0.4, 0.75), rng.uniform(0.35, 0.65)), rng.uniform(0.1, 0.18, 2)
    beyond = ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 - 1
    share = (1 / (1 + np.exp(4 * beyond)))[..., None]
    return to_uint8(image * (1 - share) + other * share)
