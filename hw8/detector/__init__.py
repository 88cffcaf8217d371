"""hw8 as a scikit-learn estimator: fit on normal images, then score, rank and flag others."""

from hw8.detector.estimator import AnomalyDetector

__all__ = ["AnomalyDetector"]
