"""Rows of numbers as images: flat pixels, or any features, become the uint8 images that the rest of hw8 works on."""

import dataclasses
import math
import warnings
from collections.abc import Sequence

import numpy as np

from hw8.data.arrays import CHANNELS, SMALLEST_SIDE

PIXEL_RANGES = (0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)  # narrow ones first
NEARLY = 1e-3  # of a range: how far beyond it rounding errors take a pixel
MIDDLE = 0.98  # share of the values that the range of a feature is taken from
SLACK = 0.5  # of that range, on either side: room for values that training did not have
GREY = 128
LEAST_GUESSED = 8  # pixels a side: rows of 16 numbers are hardly images
CONVERTED = 2**22  # numbers turned into pixels at once, or one row


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a row of D numbers becomes an image of `side` pixels, and which number is black (0) and which white (255).

    Images have one black and one white, (1,) each; the features of a vector have their own, (D,).
    """

    side: int
    channels: int
    black_D: np.ndarray
    white_D: np.ndarray
    vector: bool = False
    whole: bool = True  # whether all numbers that it was made for were whole ones
    dark: float = 0.0  # share of the images that it was made for with a pixel below zero

    @classmethod
    def of(cls, X_ND: np.ndarray, shape: tuple[int, ...] | str | None, multiple: int = 1) -> "Layout":
        """What suits these rows, which are images of this `shape` or, without one, images if they look like it.

        Images are looked for whose side is a multiple of `multiple` pixels.

        Raises ValueError for a shape that is no square image's, or that does not hold D numbers.
        """
        features, pixels = X_ND.shape[1], _pixel_range(X_ND)
        if shape is None and pixels is not None:
            shape = _square(features, multiple)
            if shape is None and pixels == PIXEL_RANGES[-1] and (likely := _square(features, 1)):
                warnings.warn(
                    f"rows of {features} numbers from 0 to 255 are not taken for images, as {likely[0]} is no multiple "
                    f"of {multiple}; give image_shape={likely} if they are, image_shape='vector' if not",
                    stacklevel=3,
                )
        if shape is None or isinstance(shape, str):
            return cls._of_vectors(X_ND)
        side, channels = checked_shape(shape, features)
        black_D, white_D = _robust_range(X_ND.reshape(-1, 1)) if pixels is None else np.array(pixels)[:, None]
        whole = not (X_ND % 1).any()
        return cls(side, channels, black_D, white_D, whole=whole, dark=float((X_ND.min(axis=1) < 0).mean()))

    @classmethod
    def _of_vectors(cls, X_ND: np.ndarray) -> "Layout":
        side = max(SMALLEST_SIDE, math.isqrt(X_ND.shape[1] - 1) + 1)
        return cls(side, 1, *_robust_range(X_ND), vector=True)

    def images(self, X_ND: np.ndarray) -> np.ndarray:
        """The rows as images: uint8 (N, side, side, channels), uint8 images as they are. Raises ValueError."""
        count, shape = len(X_ND), (len(X_ND), self.side, self.side, self.channels)
        if not self.vector:
            self._check_pixels(X_ND)
            if X_ND.dtype == np.uint8 and self.white_D[0] == 255:
                return X_ND.reshape(shape)
        out_NP = np.full((count, self.side**2 * self.channels), GREY, np.uint8)
        rows = max(1, CONVERTED // X_ND.shape[1])
        for start in range(0, count, rows):
            part = X_ND[start : start + rows].astype(np.float64)
            level = np.rint((part - self.black_D) * (255 / (self.white_D - self.black_D)))
            out_NP[start : start + rows, : X_ND.shape[1]] = level.clip(0, 255)
        return out_NP.reshape(shape)

    def _check_pixels(self, X_ND: np.ndarray) -> None:
        """Raise ValueError for pixels in another range than the training images had; warn if one image looks so."""
        black, white = float(self.black_D[0]), float(self.white_D[0])
        common = (black, white) in PIXEL_RANGES
        if common and X_ND.dtype == np.uint8 and white == 255:
            return
        low, high = float(X_ND.min()), float(X_ND.max())
        fitted = f"[{black:g}, {white:g}]" if common else f"{black:g} to {white:g}"
        other = (
            f"X: pixels from {low:g} to {high:g}, but the detector was fitted on pixels in {fitted}; scale them alike"
        )
        if not common:
            # The range is the training images' own: values somewhat beyond it are anomalies, whole grey levels are not.
            if not self.whole and high > 1 and not (X_ND % 1).any():
                raise ValueError(other)
            return
        slack = NEARLY * (white - black)
        beyond = low < black - slack or high > white + slack
        if beyond or (white == 255 and high <= 1 and (X_ND % 1).any()):
            raise ValueError(other)
        if black == -1 and low >= 0 and self.dark > MIDDLE:
            if len(X_ND) > 1:
                raise ValueError(other)
            # One image may be that bright, and be an anomaly by it.
            warnings.warn(f"{other}, if they are not in [-1, 1] already", stacklevel=5)


def _pixel_range(X_ND: np.ndarray) -> tuple[float, float] | None:
    """The first of the common pixel ranges that holds all values, if one does."""
    if X_ND.dtype == np.uint8:
        return PIXEL_RANGES[-1]
    low, high = float(X_ND.min()), float(X_ND.max())
    for black, white in PIXEL_RANGES:
        slack = NEARLY * (white - black)
        if black - slack <= low and high <= white + slack:
            return black, white
    return None


def _robust_range(X_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Black and white (D,) each: the middle of each column's values, and slack on either side."""
    X_ND = X_ND.astype(np.float64)
    low_D, high_D = np.percentile(X_ND, (50 * (1 - MIDDLE), 50 * (1 + MIDDLE)), axis=0)
    spread_D = np.where(high_D > low_D, high_D - low_D, np.ptp(X_ND, axis=0))
    spread_D = np.where(spread_D > 0, spread_D, 1.0)  # what never varies is left in its own unit
    return low_D - SLACK * spread_D, high_D + SLACK * spread_D


def _square(features: int, multiple: int) -> tuple[int, int, int] | None:
    """The square image that has so many pixels and channels, and a side of at least 8 that is such a multiple."""
    for channels in CHANNELS:
        side = math.isqrt(features // channels)
        if side % multiple == 0 and side * side * channels == features and side >= LEAST_GUESSED:
            return side, side, channels
    return None


def _shape_hint(shape: tuple[int, ...]) -> str:
    """What to do with images of a shape that is none, if it can be told."""
    if len(shape) != 3:
        return ""
    if shape[2] in (2, 4):
        return "; drop the alpha channel: X[..., :-1]"
    if shape[0] in CHANNELS and shape[1] == shape[2]:
        return "; channels come last: X.transpose(0, 2, 3, 1)"
    if shape[0] != shape[1] and shape[2] in CHANNELS:
        side = min(shape[:2])
        return f"; crop them to squares, for instance X[:, :{side}, :{side}], or pad them"
    return ""


def checked_shape(shape: Sequence[int], features: int) -> tuple[int, int]:
    """Side and channels of a square image's shape. Raises ValueError if it is none, or has not so many numbers."""
    whole = (*shape, 1) if len(shape) == 2 else tuple(shape)
    if len(whole) != 3 or whole[0] != whole[1] or whole[2] not in CHANNELS or whole[0] < SMALLEST_SIDE:
        hint = _shape_hint(whole)
        raise ValueError(
            f"images of shape {tuple(shape)}: expected (side, side), (side, side, 1) or (side, side, 3), and a side of "
            f"at least {SMALLEST_SIDE} pixels{hint}"
        )
    if math.prod(whole) != features:
        raise ValueError(
            f"image_shape={tuple(shape)} has {math.prod(whole)} numbers, but the rows of X have {features}"
        )
    return int(whole[0]), int(whole[2])
