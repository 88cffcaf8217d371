"""What evidence normal images give, learned from the held-out calibration split and saved with the run."""

import dataclasses

import numpy as np
import torch

from hw8.errors import InputError


@dataclasses.dataclass(frozen=True)
class Calibration:
    """The calibration normals' evidence by name, sorted, float64 (C,) each."""

    sorted_C: dict[str, np.ndarray]

    @classmethod
    def fit(cls, evidence: dict[str, np.ndarray]) -> "Calibration":
        """Learn from the evidence of held-out normal images, (C,) each."""
        return cls({name: np.sort(score_C.astype(np.float64)) for name, score_C in evidence.items()})

    def p_value(self, name: str, score_N: np.ndarray) -> np.ndarray:
        """Conformal p-value (N,): share of normals at least as unlike, the image itself counted as one.

        (1 + #{calibration scores >= score}) / (C + 1), Vovk 2005: flagging at p <= alpha flags at
        most a share alpha of normal images on average.
        """
        sorted_C = self.sorted_C[name]
        larger = len(sorted_C) - np.searchsorted(sorted_C, score_N, side="left")
        return (1 + larger) / (len(sorted_C) + 1)

    def standardise(self, name: str, score_N: np.ndarray) -> np.ndarray:
        """Scores in units of the normals' spread (interquartile range / 1.349) above their median: (N,)."""
        low, middle, high = np.percentile(self.sorted_C[name], (25, 50, 75))
        return (score_N - middle) / max((high - low) / 1.349, 1e-12)

    def tensors(self) -> dict[str, torch.Tensor]:
        """What is saved in model.safetensors."""
        return {name: torch.from_numpy(sorted_C) for name, sorted_C in self.sorted_C.items()}

    @classmethod
    def from_tensors(cls, tensors: dict[str, torch.Tensor], needed: str, where: str) -> "Calibration":
        """The saved calibration. Raises InputError if it has nothing for the evidence `needed` of the run `where`."""
        if not tensors:
            hint = f"go on with python scripts/train.py --resume {where}"
            raise InputError(f"{where}: its training is not finished; {hint}")
        if needed not in tensors:
            raise InputError(f"{where}: score {needed!r} was not calibrated; it has {', '.join(sorted(tensors))}")
        return cls({name: sorted_C.double().numpy() for name, sorted_C in tensors.items()})
