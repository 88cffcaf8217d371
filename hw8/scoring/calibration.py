"""What evidence normal images give, learned from the held-out calibration split and saved with the run.

No label, and no guess at the share of anomalies, is needed: a score says how unlike the held-out normal images an image
is, and its p-value what share of them is at least as unlike.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from hw8.base.errors import InputError, command
from hw8.config import FUSED, JOINT, TWO_SIDED, Distance, ScoreConfig
from hw8.scoring.tails import Tail, conformal, leave_one_out_neg_log_p, outlier_threshold

FIT = "fit."  # before the names of a fit's arrays in model.safetensors
FOLDS = 5  # each image's distance is from a fit to four fifths; of two halves the fits would have half the images
SEED = 8  # of the folds, which must be the same for every run
CLIPPED_AT = 8.0  # in scales, chosen by hand: normal values lie within; so one value of 1e6 stretches no covariance
# Of the choice of typical images: the share that is surely normal, and the steps, after which it hardly changes. Chosen
# by hand, on calibration images with synthetic anomalies planted among them (docs/experiments.md).
CORE, CONCENTRATIONS, REWEIGHTINGS = 0.75, 3, 2
NEIGHBOURS = 5  # chosen by hand: one is as noisy as that image, and fifty see no hole among the normals
# Columns of a vector up to which its distance is computed unasked, chosen by hand: the time of each fit grows
# with their cube, and a few hundred calibration images know nothing of a longer vector's covariance.
MAX_COLUMNS = 512
MIN_VARIANCE = 1e-6  # of the largest variance, at least of 1: smaller ones are rounding errors of what never varies
MIN_SQUARE = 1e-12  # of a distance, so that nothing is divided by zero
MIN_SCALE = 1e-9  # a smaller interquartile range is that of counts that are mostly equal
Table = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class FittedDistance:
    """Location, scale and correlation of evidence over normal images: (D,), (D,) and the inverse, (D, D).

    `reference_RD`, if it has rows, are the normals themselves, whitened: then distances are to the nearest of them.
    """

    location_D: np.ndarray
    scale_D: np.ndarray
    precision_DD: np.ndarray
    reference_RD: np.ndarray

    @classmethod
    def fit(cls, value_CD: np.ndarray, distance: Distance = "mahalanobis") -> "FittedDistance":
        """Median, interquartile range / 1.349, and a covariance shrunk towards a multiple of the identity.

        The shrinkage is Ledoit and Wolf's (2004). Values are clipped at 8 scales first, so that no single odd normal
        image stretches it. For the distance `euclidean` values stay as they are.
        """
        from sklearn.covariance import LedoitWolf

        if distance == "euclidean":
            column_count = value_CD.shape[1]
            return cls(np.zeros(column_count), np.ones(column_count), np.eye(column_count), value_CD)
        low_D, location_D, high_D = np.percentile(value_CD, (25, 50, 75), axis=0)
        scale_D, spread_D = (high_D - low_D) / 1.349, value_CD.std(axis=0)
        # Counts that are mostly zero have no interquartile range; what never varies keeps its own unit.
        scale_D = np.where(scale_D > MIN_SCALE, scale_D, np.where(spread_D > MIN_SCALE, spread_D, 1.0))
        standard_CD = ((value_CD - location_D) / scale_D).clip(-CLIPPED_AT, CLIPPED_AT)
        covariance_DD = LedoitWolf(assume_centered=True).fit(standard_CD).covariance_
        # Evidence that never varies, such as a collapsed latent's, has no variance to divide by.
        variance_D, axes_DD = np.linalg.eigh(covariance_DD)
        precision_DD = (axes_DD / np.maximum(variance_D, MIN_VARIANCE * max(1.0, variance_D[-1]))) @ axes_DD.T
        fit = cls(location_D, scale_D, precision_DD, np.empty((0, len(location_D))))
        return dataclasses.replace(fit, reference_RD=fit.whitened(value_CD)) if distance == "neighbours" else fit

    def standardise(self, value_ND: np.ndarray) -> np.ndarray:
        """In units of the normals' spread, from their median: (N, D). Raises ValueError for another number of columns.

        A run of an earlier version may have had other evidence.
        """
        columns_now, columns_then = value_ND.shape[1], len(self.location_D)
        if columns_now != columns_then:  # NumPy would spread a single column over all
            raise ValueError(f"evidence of {columns_now} columns, calibrated on {columns_then}; train again")
        return (value_ND - self.location_D) / self.scale_D

    def whitened(self, value_ND: np.ndarray) -> np.ndarray:
        """Standardised and decorrelated: (N, D), whose lengths are Mahalanobis distances."""
        return self.standardise(value_ND) @ np.linalg.cholesky(self.precision_DD)

    def contributions(self, value_ND: np.ndarray) -> np.ndarray:
        """What each column adds to the squared Mahalanobis distance z'Pz: z_i (Pz)_i, (N, D), whose sum is the square.

        A contribution is negative where the correlations with the other columns explain the value.
        """
        standard_ND = self.standardise(value_ND)
        return standard_ND * (standard_ND @ self.precision_DD)

    def shares(self, value_ND: np.ndarray) -> np.ndarray:
        """The contributions as shares of their sum: (N, D). An image at the normals' median has none."""
        contribution_ND = self.contributions(value_ND)
        return contribution_ND / np.maximum(contribution_ND.sum(axis=1, keepdims=True), MIN_SQUARE)

    def distance(self, value_ND: np.ndarray, in_reference_N: np.ndarray | None = None) -> np.ndarray:
        """Mahalanobis distance (1936) from the normals' median: (N,). In one dimension, both tails are far.

        With a reference, the mean distance to the five nearest normals (Angiulli and Pizzuti 2002); where
        `in_reference_N`, an image is itself among them, and the five nearest others count.
        """
        from sklearn.neighbors import NearestNeighbors

        white_ND = self.whitened(value_ND)
        if not len(self.reference_RD):
            return np.linalg.norm(white_ND, axis=1)
        count = NEIGHBOURS if in_reference_N is None else NEIGHBOURS + 1
        nearest = NearestNeighbors(n_neighbors=min(count, len(self.reference_RD))).fit(self.reference_RD)
        distance_NK = nearest.kneighbors(white_ND)[0]
        distance_N = distance_NK[:, :NEIGHBOURS].mean(axis=1)
        if in_reference_N is None:
            return distance_N
        return np.where(in_reference_N, distance_NK[:, 1:].mean(axis=1), distance_N)


def columns(table: Table, names: Sequence[str]) -> np.ndarray:
    """Evidence of these names side by side: float64 (N, D). Raises InputError if any of it is not finite."""
    _check_finite(table, names)
    return np.concatenate([np.asarray(table[name], np.float64).reshape(len(table[name]), -1) for name in names], axis=1)


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Each score's values on the calibration normals, in their order, (C,), and the fits behind the distances.

    Evidence of one number per image is a score itself. Every vector becomes a distance from the normals, see
    `Distance`. `joint` is the distance of all `parts` together; a number among them has its own two-sided distance too,
    NAME_two_sided.
    """

    values_C: dict[str, np.ndarray]
    fits: dict[str, FittedDistance] = dataclasses.field(default_factory=dict)
    parts: tuple[str, ...] = ()
    fused: tuple[str, ...] = ()

    @classmethod
    def fit(
        cls, table: Table, scoring: ScoreConfig, reference: Table | None = None,
        in_reference_C: np.ndarray | None = None,
    ) -> "Calibration":  # fmt: skip
        """Learn from the evidence of held-out normal images, (C,) or (C, D) each.

        Without evidence for all of the settings' `parts`, or a score for all `fused`, there is no score of these; see
        `check_names`. A `distance` is to the middle of the `typical` normals or to the nearest of them all. Vectors of
        more than 512 columns get a distance of their own only if the score, or its parts, need it.

        A distance is too small for an image that it was fitted to. Therefore each saved value is an image's distance
        from a fit to the other four fifths. New images are compared with the fit to all, for which no theorem says that
        p-values keep their level (cross-conformal prediction, Vovk 2015, compares them with each fold's own fit). With
        a `reference`, evidence of other normal images, the fits are to those, the calibration images are new to them,
        and p-values are split conformal, whose level is a theorem (Papadopoulos 2002). It does not hold for calibration
        images that are among the reference, of a set too small to cut; `in_reference_C`, bool, says which these are.

        Raises InputError where the evidence of the settings' score is not finite; other such evidence is left out.
        """
        parts, fused, distance = scoring.parts, scoring.fused, scoring.distance
        for evidence in (table, reference or {}):
            _check_finite(evidence, [name for name in scoring.evidence_names if name in evidence])
        table = {name: value for name, value in table.items() if _is_finite(name, table, reference or {})}
        values_C, fits = _numbers(table), {}
        for name, names in _distances(table, parts).items():
            value_CD = columns(table, names)
            if value_CD.shape[1] > MAX_COLUMNS and name not in (JOINT, *parts, *scoring.evidence_names):
                continue
            fitted_RD = value_CD if reference is None else columns(reference, names)
            typical_R = typical(fitted_RD) if distance == "mahalanobis" else np.ones(len(fitted_RD), bool)
            fits[name] = FittedDistance.fit(fitted_RD[typical_R], distance)
            if reference is None:
                values_C[name] = _out_of_fold(value_CD, typical_R, distance)
            else:
                values_C[name] = fits[name].distance(value_CD, in_reference_C)
        if fused and all(name in values_C for name in fused):
            # An image is left out of its own tail, since new images are not in it either.
            values_C[FUSED] = np.sum([leave_one_out_neg_log_p(values_C[name]) for name in fused], axis=0)
        return cls(values_C, fits, parts, fused)

    def scores(self, table: Table, in_reference_N: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Every calibrated score that the table's evidence suffices for: float64 (N,) each, larger is less normal.

        `in_reference_N`, bool, says which images the distances were fitted to: none is its own nearest neighbour.
        """
        distances = {
            name: self.fits[name].distance(columns(table, names), in_reference_N)
            for name, names in _distances(table, self.parts).items()
            if name in self.fits
        }
        scores = {name: value for name, value in _numbers(table).items() if name in self.values_C} | distances
        if self.fused and all(name in scores for name in self.fused):
            scores[FUSED] = np.sum([self.neg_log_p(name, scores[name]) for name in self.fused], axis=0)
        return scores

    def shares(self, table: Table) -> dict[str, np.ndarray]:
        """The share of each part in the squared joint distance (N,), in sum 1; empty of other scores.

        Of an image at the normals' median all shares are 0.
        """
        if JOINT not in self.fits or len(self.fits[JOINT].reference_RD):
            return {}
        share_ND = self.fits[JOINT].shares(columns(table, self.parts))
        widths = [columns(table, [name]).shape[1] for name in self.parts]
        parts_ND = np.split(share_ND, np.cumsum(widths)[:-1], axis=1)
        return {name: part_ND.sum(axis=1) for name, part_ND in zip(self.parts, parts_ND, strict=True)}

    def p_value(self, name: str, score_N: np.ndarray) -> np.ndarray:
        """Conformal p-values of these scores (N,), see `conformal`."""
        return conformal(self.values_C[name], score_N)

    def neg_log_p(self, name: str, score_N: np.ndarray) -> np.ndarray:
        """How improbable the scores are for a normal image: -log p (N,), with an exponential tail (see `Tail`)."""
        return Tail.fit(self.values_C[name]).neg_log_p(score_N)

    def tensors(self) -> dict[str, torch.Tensor]:
        """What is saved in model.safetensors."""
        arrays = dict(self.values_C)
        for name, fit in self.fits.items():
            arrays |= {f"{FIT}{name}.{field}": value for field, value in dataclasses.asdict(fit).items()}
        return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in arrays.items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor], scoring: ScoreConfig, run_name: str) -> "Calibration":
        """Rebuild a calibration from what `tensors` returned.

        Raises InputError, naming the run, if it is empty, incomplete or not finite, or lacks the score.
        """
        if not tensors:
            hint = f"resume it with {command('train', '--resume', run_name)}"
            raise InputError(f"{run_name}: its training is not finished; {hint}")
        arrays = {name: value.double().numpy() for name, value in tensors.items()}
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise InputError(f"{run_name}: its calibration has numbers that are not finite; train again")
        values_C = {name: array for name, array in arrays.items() if not name.startswith(FIT)}
        if scoring.score not in values_C:
            raise InputError(
                f"{run_name}: score {scoring.score!r} was not calibrated; it has {', '.join(sorted(values_C))}"
            )
        fields: dict[str, dict[str, np.ndarray]] = {}
        for name, array in arrays.items():
            if name.startswith(FIT):
                fit_name, _, field = name.removeprefix(FIT).rpartition(".")
                fields.setdefault(fit_name, {})[field] = array
        try:
            fits = {fit_name: FittedDistance(**arrays) for fit_name, arrays in fields.items()}
        except TypeError as error:  # a field is missing
            raise InputError(f"{run_name}: its calibration is incomplete ({error}); train again") from None
        return cls(values_C, fits, scoring.parts, scoring.fused)


def check_names(table: Table, scoring: ScoreConfig) -> None:
    """Raise InputError, naming the setting, unless evidence like this table's suffices for the score."""
    fused = scoring.fused if scoring.score == FUSED else ()
    missing = [name for name in scoring.parts if name not in table]
    if missing and JOINT in (scoring.score, *fused):
        raise InputError(f"`parts` {' '.join(missing)}: this model does not give it; it gives {', '.join(table)}")
    scores = _numbers(table) | _distances(table, scoring.parts)
    unknown = [name for name in fused if name not in scores]
    if unknown:
        raise InputError(f"`fused` {' '.join(unknown)}: no such score; there are {', '.join(scores)}")
    if not fused and scoring.score not in scores:
        raise InputError(f"`score` {scoring.score}: this model does not give it; it gives {', '.join(scores)}")


def _check_finite(table: Table, names: Sequence[str]) -> None:
    for name in names:
        if not _is_finite(name, table):
            raise InputError(f"the evidence {name} is not finite; the model is broken: train again with a lower `lr`")


def _is_finite(name: str, *tables: Table) -> bool:
    """Whether this evidence is finite in all the tables that have it."""
    return all(bool(np.isfinite(table[name]).all()) for table in tables if name in table)


def _numbers(table: Table) -> dict[str, np.ndarray]:
    """The evidence that is a score as it stands: one number per image."""
    return {name: np.asarray(value, np.float64) for name, value in table.items() if np.ndim(value) == 1}


def _distances(table: Table, parts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The distances that a table's evidence suffices for, and the evidence that each is made of."""
    names_of: dict[str, tuple[str, ...]] = {name: (name,) for name, value in table.items() if np.ndim(value) == 2}
    names_of |= {name + TWO_SIDED: (name,) for name in parts if name in table and np.ndim(table[name]) == 1}
    if parts and all(name in table for name in parts):
        names_of[JOINT] = tuple(parts)
    return names_of


def typical(value_CD: np.ndarray) -> np.ndarray:
    """Which rows a Gaussian is fitted to, since a few of the images may not be normal: bool (C,).

    Three times the three quarters that are nearest to the fit before (concentration steps, Rousseeuw and Van Driessen
    1999), then twice all rows within the `outlier_threshold` of their distances from it.
    """
    typical_C = np.ones(len(value_CD), bool)
    for step in range(CONCENTRATIONS + REWEIGHTINGS):
        distance_C = FittedDistance.fit(value_CD[typical_C]).distance(value_CD)
        typical_C = distance_C <= (
            np.quantile(distance_C, CORE) if step < CONCENTRATIONS else outlier_threshold(distance_C)
        )
    return typical_C


def _out_of_fold(value_CD: np.ndarray, typical_C: np.ndarray, distance: Distance) -> np.ndarray:
    """Distance of each row from a fit to the typical rows of the other folds: (C,)."""
    # RandomState's stream is frozen (NEP 19): the folds, and with them the p-values, stay the same.
    fold_C = np.random.RandomState(SEED).permutation(len(value_CD)) % min(FOLDS, len(value_CD))
    distance_C = np.empty(len(value_CD))
    for fold in np.unique(fold_C):
        inside = fold_C == fold
        distance_C[inside] = FittedDistance.fit(value_CD[~inside & typical_C], distance).distance(value_CD[inside])
    return distance_C
