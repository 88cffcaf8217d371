"""hw8: one-class image anomaly detection learned from scratch, from normal images only."""

TYPE_CHECKING = False  # as typing has it, without the time to import typing
if TYPE_CHECKING:
    from hw8.data.picture_folder import read_images
    from hw8.detector import AnomalyDetector

__all__ = ["AnomalyDetector", "read_images"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import the estimator, and PyTorch with it, and the reader of pictures only when somebody asks for them."""
    if name == "AnomalyDetector":
        from hw8.detector import AnomalyDetector

        return AnomalyDetector
    if name == "read_images":
        from hw8.data.picture_folder import read_images

        return read_images
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
