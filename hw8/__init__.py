"""hw8: one-class image anomaly detection learned from scratch, from normal images only."""

TYPE_CHECKING = False  # as typing has it, without the time to import typing
if TYPE_CHECKING:
    from hw8.detector import AnomalyDetector

__all__ = ["AnomalyDetector"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import the estimator, and PyTorch with it, only when somebody asks for it."""
    if name == "AnomalyDetector":
        from hw8.detector import AnomalyDetector

        return AnomalyDetector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
