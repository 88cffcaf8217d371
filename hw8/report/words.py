"""What makes an image unlike normal ones, in words: the evidence with the largest shares of its score."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hw8.config import JOINT
from hw8.scoring.calibration import Calibration, Table, columns
from hw8.scoring.tails import ALPHA
from hw8.scoring.texture import BANDS, DIFFERENT, FLAT

MAX_PHRASES = 3  # phrases: a sentence to be read at a glance
MIN_SHARE = 0.05  # of the squared distance, chosen by hand: smaller contributions hardly move the score
# Spreads from the normals' median, chosen by hand: nearer to it the direction says nothing, only the combination does.
MIN_DEVIATION = 1.0
# Of evidence by name, or of one of its columns: the words below the normals' median, and above it. The directions of
# the graded changes are those of hw8/models/transformations.py.
WORDS: dict[str, tuple[str, str]] = {
    "zoom": ("smaller in the picture", "larger in the picture"),
    "shift_x": ("further to the right", "further to the left"),
    "shift_y": ("lower", "higher"),
    "tilt": ("tilted to the right", "tilted to the left"),
    "aspect": ("wider", "narrower"),
    "sharpness": ("more blurred", "sharper"),
    "noise": ("less noisy", "noisier"),
    "smoothness": ("more faint detail", "less faint detail"),
    "brightness": ("darker", "brighter"),
    "contrast": ("less contrast", "more contrast"),
    "gamma": ("brighter mid-tones", "darker mid-tones"),
    "saturation": ("paler colours", "stronger colours"),
    "warmth": ("colder", "warmer"),
    "turned 0": ("looks less upright", "looks more upright"),
    "turned 90": ("", "looks turned to the left"),
    "turned 180": ("", "looks upside down"),
    "turned 270": ("", "looks turned to the right"),
    "none": ("looks altered", "looks unaltered"),
    "pasted": ("", "a part looks pasted in"),
    "blended": ("", "looks like two images blended"),
    "shuffled": ("", "a part looks copied from elsewhere"),
    "covered": ("", "a part looks covered"),
    "moved": ("", "a part looks pulled aside"),
    "texture": ("finer texture", "smoother texture"),
    "colour texture": ("more colour detail", "less colour detail"),
    "colour bands": ("less colour detail", "more colour detail"),
    "bands": ("less fine detail", "more fine detail"),
    **dict.fromkeys(
        ("l1", "mse", "rse", "structural", "top_l1", "centre_l1", "error_bands", "error_regions", "level_errors",
         "denoising_l1", "denoising_mse", "auxiliary_l1", "auxiliary_mse", "both_l1"),
        ("easier to reconstruct", "harder to reconstruct"),
    ),
    **dict.fromkeys(("nelbo", "iwae"), ("more probable to the model", "less probable to the model")),
    "kl": ("nearer to the prior", "further from the prior"),
    "classifier_logit": ("looks real to the classifier", "looks false to the classifier"),
    "turns": ("its turn is easier to see", "its turn is harder to see"),
    "shifts": ("its shift is easier to see", "its shift is harder to see"),
    "views": ("its turns and shifts are easier to see", "its turns and shifts are harder to see"),
    "distance": ("features nearer to those of normal images", "features further from those of normal images"),
}  # fmt: skip
# Of an image that its own evidence would not flag; in a transductive run the other test images may.
USUAL, USUAL_ALONE = "not unusual as a whole", "not unusual by itself"
LESS_UPRIGHT, TURNED = WORDS["turned 0"][0], {WORDS[f"turned {angle}"][1] for angle in (90, 180, 270)}
# Columns whose own name would say nothing beside others.
SHOWN = {"turned 0": "upright", "none": "undamaged"}
# Where the direction says nothing, and "unusual NAME" would not either.
UNUSUAL = {
    "early": "unusual colours or edges", "latent": "unusual features", "texture": "unusual grain",
    **dict.fromkeys(("colour texture", "colour bands"), "unusual colour detail"),
    "bands": "an unusual mix of coarse and fine detail",
}  # fmt: skip
# Columns of the texture of a channel: two orders of differences.
CHANNEL_COLUMNS = 2 * len(DIFFERENT)
# Of images of three channels, which columns are of the two colour differences and not of the luma: these alone tell a
# black-and-white picture from a coloured one. The texture has a channel after the other, each band has all three.
COLOUR_COLUMNS = {
    "texture": np.arange(3 * CHANNEL_COLUMNS) >= CHANNEL_COLUMNS,
    "bands": np.arange(2 * BANDS * 3) % 3 > 0,
}
# The columns that give the direction of a vector whose columns have no names; of others it is the mean of all.
DIRECTION = {
    "texture": [FLAT], "colour texture": [FLAT, CHANNEL_COLUMNS + FLAT], "bands": [0], "colour bands": [0, 1],
}  # fmt: skip


class Deviation(NamedTuple):
    """How much a piece of evidence, or one of its columns, adds to each image's score, and how far it lies from normal.

    `share_N` and `deviation_N`, in the normals' spreads; `neutral_words` are those where the direction says nothing.
    """

    name: str
    neutral_words: str
    share_N: np.ndarray
    deviation_N: np.ndarray

    def words(self, row: int) -> str:
        """The words for an image; "" if there are none."""
        below, above = WORDS.get(self.name, (self.neutral_words, self.neutral_words))
        deviation = self.deviation_N[row]
        return self.neutral_words if abs(deviation) < MIN_DEVIATION else above if deviation > 0 else below


def in_words(deviations: Sequence[Deviation], p_value_N: np.ndarray) -> list[str]:
    """What sets each image apart from normal ones, the largest shares of its score first: "finer texture, warmer"."""
    texts = []
    for row, p_value in enumerate(p_value_N):
        ranked = sorted(deviations, key=lambda item: -item.share_N[row])
        phrases = dict.fromkeys(item.words(row) for item in ranked if item.share_N[row] >= MIN_SHARE)
        omitted = {"", LESS_UPRIGHT} if TURNED & phrases.keys() else {""}
        text = (
            ", ".join([words for words in phrases if words not in omitted][:MAX_PHRASES])
            or "an unusual combination of small deviations"
        )
        texts.append(USUAL if p_value > ALPHA else text)
    return texts


def single_deviations(calibration: Calibration, table: Table, parts: Mapping[str, np.ndarray]) -> list[Deviation]:
    """Without a joint score: evidence with p <= .05 among the `parts` gets equal shares, other evidence none."""
    return [item for name, p_N in parts.items() for item in _alone(calibration, name, table[name], p_N)]


def joint_deviations(
    calibration: Calibration, table: Table, components: Mapping[str, Sequence[str]]
) -> list[Deviation]:
    """Of the joint distance the shares of its square; of evidence whose columns `components` name, one by one."""
    fit, value_ND = calibration.fits[JOINT], columns(table, calibration.parts)
    share_ND, standard_ND = fit.shares(value_ND), fit.standardise(value_ND)
    deviations: list[Deviation] = []
    start = 0
    for part in calibration.parts:
        part_columns = slice(start, start + columns(table, [part]).shape[1])
        start = part_columns.stop
        if part in components:
            both = zip(components[part], share_ND[:, part_columns].T, standard_ND[:, part_columns].T, strict=True)
            deviations += [Deviation(name, "", share_N, standard_N) for name, share_N, standard_N in both]
        else:
            deviations += _of_vector(part, share_ND[:, part_columns], standard_ND[:, part_columns])
    return deviations


def _alone(calibration: Calibration, name: str, value: np.ndarray, p_value_N: np.ndarray) -> list[Deviation]:
    """Evidence that is a score itself: it counts where it is unusual."""
    counts_N = (p_value_N <= ALPHA).astype(float)
    if value.ndim == 1:
        deviation_N = np.copysign(np.inf, value - np.median(calibration.values_C[name]))
        return [Deviation(name, _unusual(name), counts_N, deviation_N)]
    fit, value_ND = calibration.fits[name], value.astype(np.float64)
    return _of_vector(name, fit.shares(value_ND) * counts_N[:, None], fit.standardise(value_ND))


def _of_vector(name: str, share_ND: np.ndarray, standard_ND: np.ndarray) -> list[Deviation]:
    """The share and the direction of a vector; of texture and bands, those of the luma and of the colours."""
    column_count = share_ND.shape[1]
    colour_D = COLOUR_COLUMNS.get(name, np.zeros(0, bool))
    pieces = {name: np.ones(column_count, bool)}
    if len(colour_D) == column_count:  # else of one channel
        pieces = {name: ~colour_D, f"colour {name}": colour_D}
    return [
        Deviation(piece, _unusual(piece), share_ND[:, part_D].sum(axis=1), _direction(piece, standard_ND[:, part_D]))
        for piece, part_D in pieces.items()
    ]


def _unusual(name: str) -> str:
    return UNUSUAL.get(name, f"unusual {name}")


def _direction(name: str, standard_ND: np.ndarray) -> np.ndarray:
    """In which direction a vector lies from the normals' median: (N,), in their spreads."""
    return standard_ND[:, DIRECTION.get(name, slice(None))].mean(axis=1)


def rarity(p_value: float, count: int) -> str:
    """A conformal p-value from `count` normal images, in words."""
    beyond = round(p_value * (count + 1)) - 1
    if beyond < 1:
        return f"none of {count:,} normal images is as unlike"
    verb = "is" if beyond == 1 else "are"
    return f"{beyond:,} of {count:,} normal images {verb} at least as unlike"


def p_in_words(p_value: float, count: int) -> str:
    """A conformal p-value from `count` normal images in few words: at its floor it is a statement on those images."""
    return f"rarer than all {count:,} normals" if round(p_value * (count + 1)) <= 1 else f"p = {p_value:.2g}"
