"""What the estimator says of why images have their scores."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Why images have their scores, by image: (N,) each.

    Attributes
    ----------
    score_N, p_value_N : array (N,)
        The scores, larger is more anomalous, and their p-values.
    evidence : dict of arrays (N,)
        p-value of each piece of evidence behind the score alone, by its name.
    shares : dict of arrays (N,)
        Share of each piece in the squared joint distance; they sum to 1. Empty where the score is another one.
    words : list of str
        What sets each image apart from normal ones, for instance "finer texture, warmer".
    map_NHW : array (N, side, side) or None
        How much of the score comes from each pixel of the images as the preset crops them, in units of the score; None
        for rows that are not images. See `hw8.scoring.occlusion.score_map`.
    """

    score_N: np.ndarray
    p_value_N: np.ndarray
    evidence: dict[str, np.ndarray]
    shares: dict[str, np.ndarray]
    words: list[str]
    map_NHW: np.ndarray | None
