"""What evidence normal images give, learned from the held-out calibration split and saved with the run.

No label, and no guess at the share of anomalies, is needed: a score says how unlike the held-out normal images an image
is, and its p-value what share of them is at least as unlike.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from hw8.base.errors import InputError, command
from hw8.scoring.tails import Tail, conformal

JOINT = "joint"
FOLDS = 5
SEED = 8
FAR = 8.0
ABSURD = 1e100
NEIGHBOURS = 5
LARGEST = 512
LEAST_VARIANCE = 1e-6
FIT = "fit."
TWO_SIDED = "_two_sided"
Table = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """Location, scale and correlation of evidence over normal images: (D,), (D,) and the inverse, (D, D).

    `reference_RD`, if it has rows, are the normals themselves, whitened: then distances are to the nearest of them.
    """

    location_D: np.ndarray
    scale_D: np.ndarray
    precision_DD: np.ndarray
    reference_RD: np.ndarray

    @classmethod
    def fit(cls, value_CD: np.ndarray, neighbours: bool = False) -> "Gaussian":
        """Median, interquartile range / 1.349, and a covariance shrunk towards a multiple of the identity.

        The shrinkage is Ledoit and Wolf's (2004). Values are cut at 8 scales first, so that no single odd normal
        image stretches it.
        """
        from sklearn.covariance import LedoitWolf

        low_D, location_D, high_D = np.percentile(value_CD, (25, 50, 75), axis=0)
        scale_D, spread_D = (high_D - low_D) / 1.349, value_CD.std(axis=0)
        # Counts that are mostly zero have no interquartile range; what never varies is left in its own unit.
        scale_D = np.where(scale_D > 1e-9, scale_D, np.where(spread_D > 1e-9, spread_D, 1.0))
        standard_CD = ((value_CD - location_D) / scale_D).clip(-FAR, FAR)
        covariance_DD = LedoitWolf(assume_centered=True).fit(standard_CD).covariance_
        # Evidence that never varies, such as a collapsed latent's, has no variance to divide by.
        variance_D, axes_DD = np.linalg.eigh(covariance_DD)
        precision_DD = (axes_DD / np.maximum(variance_D, LEAST_VARIANCE * max(1.0, variance_D[-1]))) @ axes_DD.T
        fit = cls(location_D, scale_D, precision_DD, np.empty((0, len(location_D))))
        return dataclasses.replace(fit, reference_RD=fit.whitened(value_CD)) if neighbours else fit

    def check(self, name: str) -> None:
        """Raise ValueError unless the arrays fit together and a distance can be had of them."""
        (size,) = self.location_D.shape if self.location_D.ndim == 1 else (0,)
        shapes = self.scale_D.shape == (size,) and self.precision_DD.shape == (size, size)
        if not size or not shapes or self.reference_RD.ndim != 2 or self.reference_RD.shape[1] != size:
            raise ValueError(f"the shapes of {name} do not fit together")
        try:
            np.linalg.cholesky(self.precision_DD)
        except np.linalg.LinAlgError:
            raise ValueError(f"the precision of {name} is not positive definite") from None
        if self.scale_D.min() <= 0:
            raise ValueError(f"a scale of {name} is not positive")

    def standardise(self, value_ND: np.ndarray) -> np.ndarray:
        """In units of the normals' spread, from their median: (N, D)."""
        if value_ND.shape[1] != len(self.location_D):  # NumPy would spread a single column over all
            raise ValueError(
                f"evidence of {value_ND.shape[1]} columns, calibrated on {len(self.location_D)}; train again"
            )
        return (value_ND - self.location_D) / self.scale_D

    def whitened(self, value_ND: np.ndarray) -> np.ndarray:
        """Standardised and decorrelated: (N, D), whose lengths are Mahalanobis distances."""
        return self.standardise(value_ND) @ np.linalg.cholesky(self.precision_DD)

    def distance(self, value_ND: np.ndarray) -> np.ndarray:
        """Mahalanobis distance (1936) from the normals' median: (N,). In one dimension, both tails are far.

        With a reference, the mean Mahalanobis distance to the five nearest normals (Ramaswamy 2000).
        """
        from sklearn.neighbors import NearestNeighbors

        white_ND = self.whitened(value_ND)
        if not len(self.reference_RD):
            return np.linalg.norm(white_ND, axis=1)
        nearest = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(self.reference_RD))).fit(self.reference_RD)
        return nearest.kneighbors(white_ND)[0].mean(axis=1)


def columns(table: Table, names: Sequence[str]) -> np.ndarray:
    """Evidence of these names side by side: float64 (N, D). Raises InputError if any of it is not finite."""
    for name in names:
        if not np.isfinite(table[name]).all():
            raise InputError(f"the evidence {name} is not finite; the model is broken: train again with a lower `lr`")
    return np.concatenate([np.asarray(table[name], np.float64).reshape(len(table[name]), -1) for name in names], axis=1)


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What is known of the normals: each score's values on them, in their order, (C,); the fits behind the distances.

    Numbers are scores as they stand. Every vector becomes its Mahalanobis distance. `joint` is the distance of all
    `parts` together; a number among them has its own two-sided distance too, NAME_two_sided.
    """

    values_C: dict[str, np.ndarray]
    fits: dict[str, Gaussian] = dataclasses.field(default_factory=dict)
    parts: tuple[str, ...] = ()

    @classmethod
    def fit(
        cls,
        table: Table,
        parts: Sequence[str] = (),
        neighbours: bool = False,
        reference: Table | None = None,
        needed: Sequence[str] = (),
    ) -> "Calibration":
        """Learn from the evidence of held-out normal images, (C,) or (C, D) each. Raises InputError for unknown parts.

        `neighbours` measures distances to the nearest normals, instead of to their middle. Vectors of more than 512
        columns get a distance only if they are `needed`.

        A distance fitted to an image is too small for it: the values kept are each image's distance from a fit
        to the other four fifths. New images are compared with the fit to all, of which no theorem says that p-values
        keep their level (cross-conformal prediction, Vovk 2015, would compare them with each fold's own fit). With a
        `reference`, evidence of other normal images, the fits are to those, the calibration images are new to them,
        and p-values are split conformal, whose level is a theorem (Papadopoulos 2002).
        """
        missing = [name for name in parts if name not in table]
        if missing:
            raise InputError(f"`parts` {' '.join(missing)}: this model does not give it; it gives {', '.join(table)}")
        groups = {
            name: names
            for name, names in _groups(table, parts).items()
            if name in (JOINT, *needed) or columns(table, names).shape[1] <= LARGEST
        }
        base = table if reference is None else reference
        fits = {name: Gaussian.fit(columns(base, names), neighbours) for name, names in groups.items()}
        found = {name: np.asarray(value, np.float64) for name, value in table.items() if np.ndim(value) == 1}
        for name, names in groups.items():
            value_CD = columns(table, names)
            found[name] = _out_of_fold(value_CD, neighbours) if reference is None else fits[name].distance(value_CD)
        return cls(found, fits, tuple(parts))

    def scores(self, table: Table) -> dict[str, np.ndarray]:
        """Every score that the table's evidence suffices for: float64 (N,) each, larger is less normal."""
        found = {name: np.asarray(value, np.float64) for name, value in table.items() if np.ndim(value) == 1}
        for name, names in _groups(table, self.parts).items():
            if name in self.fits:
                found[name] = self.fits[name].distance(columns(table, names))
        return found

    def p_value(self, name: str, score_N: np.ndarray) -> np.ndarray:
        """Conformal p-value (N,): share of normals at least as unlike, the image itself counted as one.

        (1 + #{calibration scores >= score}) / (C + 1), Vovk 2005: flagging at p <= alpha flags at
        most a share alpha of normal images on average.
        """
        return conformal(self.values_C[name], score_N)

    def nats(self, name: str, score_N: np.ndarray) -> np.ndarray:
        """How improbable the scores are for a normal image: -log p (N,), with an exponential tail (see `Tail`)."""
        return Tail.fit(self.values_C[name]).nats(score_N)

    def tensors(self) -> dict[str, torch.Tensor]:
        """What is saved in model.safetensors."""
        found = {name: torch.from_numpy(value_C) for name, value_C in self.values_C.items()}
        for name, fit in self.fits.items():
            for field, value in dataclasses.asdict(fit).items():
                found[f"{FIT}{name}.{field}"] = torch.from_numpy(np.ascontiguousarray(value))
        return found

    @classmethod
    def from_tensors(
        cls, tensors: dict[str, torch.Tensor], needed: str, parts: Sequence[str], where: str
    ) -> "Calibration":
        """The saved calibration. Raises InputError if it is none, or has nothing for the score `needed` of `where`."""
        if not tensors:
            hint = f"go on with {command('train', '--resume', where)}"
            raise InputError(f"{where}: its training is not finished; {hint}")
        try:
            arrays = {name: _as_float64(value) for name, value in tensors.items()}
        except (ValueError, RuntimeError, NotImplementedError) as error:
            raise InputError(f"{where}: its calibration cannot be used ({error}); train again") from None
        values_C = {name: value for name, value in arrays.items() if not name.startswith(FIT)}
        if needed not in values_C:
            raise InputError(f"{where}: score {needed!r} was not calibrated; it has {', '.join(sorted(values_C))}")
        fields = [field.name for field in dataclasses.fields(Gaussian)]
        names = {name.removeprefix(FIT).rsplit(".", 1)[0] for name in arrays if name.startswith(FIT)}
        try:
            fits = {name: Gaussian(*(arrays[f"{FIT}{name}.{field}"] for field in fields)) for name in names}
            for name, fit in fits.items():
                fit.check(name)
            for name, value_C in values_C.items():
                if value_C.ndim != 1 or not len(value_C):
                    raise ValueError(f"{name} has the shape {value_C.shape}")
        except KeyError as error:
            raise InputError(f"{where}: its calibration is incomplete ({error} is missing); train again") from None
        except ValueError as error:
            raise InputError(f"{where}: its calibration is damaged ({error}); train again") from None
        return cls(values_C, fits, tuple(parts))


def _as_float64(value: torch.Tensor) -> np.ndarray:
    """A saved array; raises ValueError for one of complex or absurd numbers."""
    if value.is_complex():
        raise ValueError("it has complex numbers")
    array: np.ndarray = value.double().numpy()
    if not (np.abs(array) < ABSURD).all():  # nor is nan
        raise ValueError("it has numbers that are not finite")
    return array


def needed_evidence(score: str, parts: Sequence[str]) -> tuple[str, ...]:
    """Names of the evidence behind a score."""
    return tuple(parts) if score == JOINT else (score.removesuffix(TWO_SIDED),)


def _groups(table: Table, parts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The distances that a table's evidence suffices for, and what each is made of."""
    found: dict[str, tuple[str, ...]] = {name: (name,) for name, value in table.items() if np.ndim(value) == 2}
    found |= {name + TWO_SIDED: (name,) for name in parts if name in table and np.ndim(table[name]) == 1}
    if parts and all(name in table for name in parts):
        found[JOINT] = tuple(parts)
    return found


def _out_of_fold(value_CD: np.ndarray, neighbours: bool) -> np.ndarray:
    """Distance of each row from a fit to the other folds: (C,)."""
    fold_C = np.random.RandomState(SEED).permutation(len(value_CD)) % min(FOLDS, len(value_CD))
    found_C = np.empty(len(value_CD))
    for fold in np.unique(fold_C):
        inside = fold_C == fold
        found_C[inside] = Gaussian.fit(value_CD[~inside], neighbours).distance(value_CD[inside])
    return found_C
