"""What scores normal images get, learned from the held-out calibration split and saved with the run."""

import dataclasses

import numpy as np
import torch


@dataclasses.dataclass(frozen=True)
class Calibration:
    """The calibration normals' scores, sorted, float64 (C,)."""

    sorted_C: np.ndarray

    @classmethod
    def fit(cls, score_C: np.ndarray) -> "Calibration":
        """Learn from the scores of held-out normal images."""
        return cls(np.sort(score_C.astype(np.float64)))

    def p_value(self, score_N: np.ndarray) -> np.ndarray:
        """Conformal p-value (N,): share of normals at least as unlike, the image itself counted as one.

        (1 + #{calibration scores >= score}) / (C + 1), Vovk 2005: flagging at p <= alpha flags at
        most a share alpha of normal images on average.
        """
        count = len(self.sorted_C)
        larger = count - np.searchsorted(self.sorted_C, score_N, side="left")
        return np.asarray((1 + larger) / (count + 1))

    def standardise(self, score_N: np.ndarray) -> np.ndarray:
        """Scores in units of the normals' spread (interquartile range / 1.349) above their median: (N,)."""
        low, middle, high = np.percentile(self.sorted_C, (25, 50, 75))
        return np.asarray((score_N - middle) / max((high - low) / 1.349, 1e-12))

    def tensors(self) -> dict[str, torch.Tensor]:
        """What is saved in model.safetensors."""
        return {"sorted_scores": torch.from_numpy(self.sorted_C)}

    @classmethod
    def from_tensors(cls, tensors: dict[str, torch.Tensor]) -> "Calibration | None":
        """The saved calibration, or None where a run has not been calibrated."""
        saved = tensors.get("sorted_scores")
        return None if saved is None else cls(saved.double().numpy())
