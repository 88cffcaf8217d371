"""Images, error maps and maps of scores as arrays of colours."""

import numpy as np

from hw8.base.text import percent, short

# The colour scale of error maps ends at this quantile: the few largest errors would leave the rest dark.
BRIGHTEST = 0.995
MIN_PEAK = 1e-9  # a map that is positive nowhere is divided by it, and stays dark
# Where more of the image than this lies above half the map's peak, there is no place to point at. Chosen by hand: of 48
# maps of two trained runs none has between 40% and 74%; the upper ones are of pictures that are odd throughout.
WHOLE = 0.6


def three_channels(image_HWC: np.ndarray) -> np.ndarray:
    """An image, or batch of images, of one or three channels as one of three."""
    return image_HWC.repeat(3 // image_HWC.shape[-1], axis=-1)


def error_scale(error: np.ndarray) -> float:
    """The error at which the colours of error maps end: all but one in two hundred pixels stay below."""
    return max(1e-6, float(np.quantile(error, BRIGHTEST)))


def heat(share: np.ndarray) -> np.ndarray:
    """Errors, 0 to 1 of their scale, as colours: uint8 with an axis of three channels added."""
    from matplotlib import colormaps

    colours = np.rint(colormaps["magma"](np.arange(256))[:, :3] * 255).astype(np.uint8)
    return colours[(share.clip(0, 1) * 255).astype(np.uint8)]


def overlay(image_HWC: np.ndarray, map_HW: np.ndarray) -> np.ndarray:
    """A uint8 image in grey under a map, whose largest value is brightest and what is not positive clear: (H, W, 3)."""
    share_HW = map_HW.clip(0) / max(float(map_HW.max()), MIN_PEAK)
    grey_HW1 = image_HWC.mean(axis=2, keepdims=True)
    shown_HW1 = (share_HW**2)[..., None]  # squared, so that the face remains visible but at the peak
    mixed_HWC: np.ndarray = np.rint(grey_HW1 * (1 - shown_HW1) + heat(share_HW) * shown_HW1).astype(np.uint8)
    return mixed_HWC


def place_in_words(map_HW: np.ndarray, score: float) -> str:
    """How much of an image's score its map shows: the peak as a share of the score, unless no place stands out.

    A score that is not positive, or smaller than the peak, has no such share, and the peak stands in its units.
    """
    peak = float(map_HW.max())
    if peak <= 0:
        return "no place raises the score"
    if (map_HW > peak / 2).mean() > WHOLE:
        return "the whole image"
    return f"up to {percent(peak / score)} of the score" if peak < score else f"up to {short(peak)}"
