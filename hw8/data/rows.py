"""Rows of numbers as images: flattened pixels, or any features, become the uint8 images that hw8 works on."""

import dataclasses
import math
import warnings
from collections.abc import Sequence

import numpy as np

from hw8.data.arrays import CHANNELS, MIN_SIDE

# All chosen by hand. A pickled estimator keeps the ranges it was fitted with, not these constants.
PIXEL_RANGES = (0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)  # narrow ones first, since the wide ones contain them
TOLERANCE = 1e-3  # share of a range by which rounding errors may exceed it
MIDDLE = 0.98  # share of a feature's values that its range is taken from: rarer outliers on either side do not widen it
SLACK = 0.5  # share of that range added on either side, so that values beyond those of training are still told apart
GREY = 128  # of pixels that no number fills
MIN_GUESSED = 8  # pixels per side: rows of 16 numbers are hardly images
CONVERTED = 2**22  # numbers converted to pixels at once, or one row: 32 MB as float64


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a row of D numbers becomes an image of `side` pixels, and which number is black (0) and which white (255).

    Images have one black and one white, (1,) each; each feature of a vector has its own, (D,). Pickled estimators hold
    objects of this class: its name and its fields' stay.
    """

    side: int
    channels: int
    black_D: np.ndarray
    white_D: np.ndarray
    vector: bool = False
    whole: bool = True  # whether the fitted images had whole numbers only
    dark: float = 0.0  # share of the fitted images that had a pixel below zero

    @classmethod
    def of(cls, X_ND: np.ndarray, shape: tuple[int, ...] | str | None, multiple: int = 1) -> "Layout":
        """Return the layout for these rows: images of this `shape`, or without one images if they look like some.

        Only images whose side is a multiple of `multiple` pixels are recognised. Raises ValueError for a shape that is
        not a square image's, or that does not hold D numbers.
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
            side = max(MIN_SIDE, math.isqrt(features - 1) + 1)
            return cls(side, 1, *_robust_range(X_ND), vector=True)
        side, channels = checked_shape(shape, features)
        black_D, white_D = _robust_range(X_ND.reshape(-1, 1)) if pixels is None else np.array(pixels)[:, None]
        whole = not (X_ND % 1).any()
        return cls(side, channels, black_D, white_D, whole=whole, dark=float((X_ND.min(axis=1) < 0).mean()))

    def images(self, X_ND: np.ndarray) -> np.ndarray:
        """Return the rows as images: uint8 (N, side, side, channels). Raises ValueError for pixels of another range."""
        shape = (len(X_ND), self.side, self.side, self.channels)
        if not self.vector:
            if X_ND.dtype == np.uint8 and self.white_D[0] == 255:
                return X_ND.reshape(shape)
            self._check_pixels(X_ND)
        pixel_NP = np.full((len(X_ND), self.side**2 * self.channels), GREY, np.uint8)
        rows = max(1, CONVERTED // X_ND.shape[1])
        for start in range(0, len(X_ND), rows):
            batch_BD = X_ND[start : start + rows].astype(np.float64)
            level_BD = np.rint((batch_BD - self.black_D) * (255 / (self.white_D - self.black_D)))
            pixel_NP[start : start + rows, : X_ND.shape[1]] = level_BD.clip(0, 255)
        return pixel_NP.reshape(shape)

    def _check_pixels(self, X_ND: np.ndarray) -> None:
        """Raise ValueError for pixels in another range than the training images had; warn if that is only likely."""
        black, white = float(self.black_D[0]), float(self.white_D[0])
        common = (black, white) in PIXEL_RANGES
        low, high, whole = float(X_ND.min()), float(X_ND.max()), not (X_ND % 1).any()
        fitted = f"[{black:g}, {white:g}]" if common else f"{black:g} to {white:g}"
        problem = (
            f"X: pixels from {low:g} to {high:g}, but the detector was fitted on pixels in {fitted}; scale them alike"
        )
        if not common:
            # The range is the training images' own: values somewhat beyond it are anomalies, whole grey levels are not.
            if not self.whole and high > 1 and whole:
                raise ValueError(problem)
            return
        if not _within(low, high, black, white) or (white == 255 and high <= 1 and not whole):
            raise ValueError(problem)
        if black == -1 and low >= 0 and self.dark > MIDDLE:
            if len(X_ND) > 1:
                raise ValueError(problem)
            # A single image may be that bright, and be an anomaly for that reason.
            warnings.warn(f"{problem}, if they are not in [-1, 1] already", stacklevel=5)


def _pixel_range(X_ND: np.ndarray) -> tuple[float, float] | None:
    """The first of the common pixel ranges that contains all values, or None."""
    if X_ND.dtype == np.uint8:
        return PIXEL_RANGES[-1]
    low, high = float(X_ND.min()), float(X_ND.max())
    return next((pixels for pixels in PIXEL_RANGES if _within(low, high, *pixels)), None)


def _within(low: float, high: float, black: float, white: float) -> bool:
    """Whether numbers from `low` to `high` lie in the range, but for rounding errors."""
    tolerance = TOLERANCE * (white - black)
    return black - tolerance <= low and high <= white + tolerance


def _robust_range(X_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Black and white, (D,) each: the middle 98% of each column's values, widened on either side."""
    X_ND = X_ND.astype(np.float64)
    low_D, high_D = np.percentile(X_ND, (50 * (1 - MIDDLE), 50 * (1 + MIDDLE)), axis=0)
    spread_D = np.where(high_D > low_D, high_D - low_D, np.ptp(X_ND, axis=0))
    spread_D = np.where(spread_D > 0, spread_D, 1.0)  # a constant feature keeps its own unit
    return low_D - SLACK * spread_D, high_D + SLACK * spread_D


def _square(features: int, multiple: int) -> tuple[int, int, int] | None:
    """The square shape (side, side, channels) with `features` numbers and a side that is such a multiple, or None."""
    for channels in CHANNELS:
        side = math.isqrt(features // channels)
        if side % multiple == 0 and side * side * channels == features and side >= MIN_GUESSED:
            return side, side, channels
    return None


def _shape_hint(shape: tuple[int, ...]) -> str:
    """What to do about a wrong shape of images, if that is clear."""
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
    """Return side and channels of a square image's shape with `features` numbers. Raises ValueError for another."""
    full = (*shape, 1) if len(shape) == 2 else tuple(shape)
    if len(full) != 3 or full[0] != full[1] or full[2] not in CHANNELS or full[0] < MIN_SIDE:
        hint = _shape_hint(full)
        raise ValueError(
            f"images of shape {tuple(shape)}: expected (side, side), (side, side, 1) or (side, side, 3), and a side of "
            f"at least {MIN_SIDE} pixels{hint}"
        )
    if math.prod(full) != features:
        raise ValueError(f"image_shape={tuple(shape)} has {math.prod(full)} numbers, but the rows of X have {features}")
    return int(full[0]), int(full[2])
