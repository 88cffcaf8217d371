"""hw8: one-class image anomaly detection learned from scratch, from normal images only."""

__version__ = "0.1.0"
