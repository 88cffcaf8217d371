"""Where in an image its score comes from: how far the score falls where a part gives way to something more normal.

Occlusion (Zeiler and Fergus 2014) needs nothing of a run but its scores, so that one map fits errors, distances and
whatever else an image is scored by.
"""

from collections.abc import Callable

import numpy as np

Score = Callable[[np.ndarray], np.ndarray]  # of uint8 images (B, side, side, C): float64 (B,)

# Shares of the image's side, chosen on development images (docs/experiments.md): windows of a quarter with steps of an
# eighth take half the time, and a recogniser's map peaks less often in a planted patch.
WIDTH = 3 / 32  # of a window, without its edge
STEP = 3 / 32  # between neighbouring windows: 121 of them, the time of scoring as many images
EDGE = 1 / 16  # over which a window fades, since a sharp one looks pasted to some models
REACH = 1 / 10  # standard deviation of the surroundings that a pixel of a window is filled from


def score_map(score: Score, image_HWC: np.ndarray, recon_HWC: np.ndarray | None = None) -> np.ndarray:
    """How much of the score of a uint8 image comes from each pixel: float64 (side, side), in units of the score.

    The image is scored once as it is, and once for each window that is replaced by the reconstruction, float with the
    pixel range 0 to 255, or without one by the colours around it. A pixel's value is the mean fall of the score over
    the windows that cover it: positive where the content raises the score, negative where it is more normal than what
    replaces it. The values do not sum to the score: they say where it comes from, not how much there is in all.
    """
    window_WHW = windows(len(image_HWC))
    filling_WHWC = surroundings(image_HWC, window_WHW) if recon_HWC is None else recon_HWC[None]
    fall_W = score(image_HWC[None]) - score(occluded(image_HWC, window_WHW, filling_WHWC))
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


def occluded(image_HWC: np.ndarray, window_WHW: np.ndarray, filling_WHWC: np.ndarray) -> np.ndarray:
    """The image with each window in turn replaced by its filling: uint8 (W, side, side, C)."""
    share_WHW1 = window_WHW[..., None]
    return np.rint((1 - share_WHW1) * image_HWC + share_WHW1 * filling_WHWC).astype(np.uint8)


def surroundings(image_HWC: np.ndarray, window_WHW: np.ndarray) -> np.ndarray:
    """The colours around each window, within it: float64 (W, side, side, C), 0 to 255.

    The mean of the pixels outside the window and its edge, weighted by a Gaussian of their distance (normalised
    convolution, Knutsson and Westin 1993).
    """
    side = len(image_HWC)
    distance_SS = np.subtract.outer(np.arange(side), np.arange(side)) / (REACH * side)
    near_SS = np.exp(-(distance_SS**2) / 2)
    outside_W1HW = (window_WHW[:, None] == 0).astype(np.float64)
    sum_WCHW = near_SS @ (outside_W1HW * image_HWC.transpose(2, 0, 1)) @ near_SS
    mean_WCHW: np.ndarray = sum_WCHW / (near_SS @ outside_W1HW @ near_SS)
    return mean_WCHW.transpose(0, 2, 3, 1)
