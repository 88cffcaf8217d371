"""One score from several runs, by a rule fixed in advance."""

import numpy as np


def fuse(standardised: list[np.ndarray]) -> np.ndarray:
    """Mean of the runs' scores (N,), each in units of its own normals' spread: `Calibration.standardise`.

    Raw errors of unlike models have unlike units and must never be averaged.
    """
    return np.mean(standardised, axis=0)
