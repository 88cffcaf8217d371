"""Where in an image its score comes from: how far the score falls where a part gives way to what surrounds it.

Occlusion (Zeiler and Fergus 2014) needs nothing of a run but its scores, so that one map fits errors, distances and
whatever else an image is scored by.
"""

from collections.abc import Callable

import numpy as np

Score = Callable[[np.ndarray], np.ndarray]  # of uint8 images (B, side, side, C): float64 (B,)

# Shares of the image's side.
WIDTH = 1 / 4  # of a window, without its edge
STEP = 1 / 8  # between neighbouring windows: 49 of them, the time of scoring 50 images
EDGE = 1 / 16  # over which a window fades, since a sharp one looks pasted to some models
REACH = 1 / 10  # standard deviation of the surroundings that a pixel of a window is filled from


def score_map(score: Score, image_HWC: np.ndarray) -> np.ndarray:
    """How much of the score of a uint8 image comes from each pixel: float64 (side, side), in units of the score.

    The image is scored once as it is, and once for each window that is filled with the colours around it. A pixel's
    value is the mean fall of the score over the windows that cover it. It is negative where the content is more normal
    than what replaces it. The values do not sum to the score: they say where, and not how much in all.
    """
    window_WHW = windows(len(image_HWC))
    fall_W = score(image_HWC[None]) - score(occluded(image_HWC, window_WHW))
    map_HW: np.ndarray = np.tensordot(fall_W, window_WHW, axes=1) / window_WHW.sum(axis=0)
    return map_HW


def windows(side: int) -> np.ndarray:
    """Square windows, a grid of them over the image: float64 (W, side, side), 1 inside and fading to 0 outside."""
    width, edge = max(1, round(side * WIDTH)), max(1, round(side * EDGE))
    start_K1 = np.linspace(0, side - width, round((side - width) / max(1, side * STEP)) + 1)[:, None]
    pixel_S = np.arange(side) + 0.5  # the middles
    outside_KS = np.maximum(start_K1 - pixel_S, pixel_S - start_K1 - width).clip(0)
    share_KS = (1 - outside_KS / edge).clip(0)
    return (share_KS[:, None, :, None] * share_KS[None, :, None, :]).reshape(-1, side, side)


def occluded(image_HWC: np.ndarray, window_WHW: np.ndarray) -> np.ndarray:
    """The image with each window in turn filled from around it: uint8 (W, side, side, C).

    A pixel of the filling is the mean of the pixels outside the window and its edge, weighted by a Gaussian of their
    distance (normalised convolution, Knutsson and Westin 1993).
    """
    side = len(image_HWC)
    distance_SS = np.subtract.outer(np.arange(side), np.arange(side)) / (REACH * side)
    near_SS = np.exp(-(distance_SS**2) / 2)
    image_CHW = image_HWC.transpose(2, 0, 1).astype(np.float64)
    inside_W1HW = window_WHW[:, None]
    outside_W1HW = (inside_W1HW == 0).astype(np.float64)
    filling_WCHW = (near_SS @ (outside_W1HW * image_CHW) @ near_SS) / (near_SS @ outside_W1HW @ near_SS)
    mixed_WCHW = (1 - inside_W1HW) * image_CHW + inside_W1HW * filling_WCHW
    return np.rint(mixed_WCHW.transpose(0, 2, 3, 1)).astype(np.uint8)
