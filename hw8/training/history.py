"""What training measured: one row an epoch, kept in metrics.csv and TensorBoard, and told to a tracker."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw8.base.files import write_text
from hw8.training.tracker import Tracker

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

COLUMNS = ("epoch", "step", "lr", "train_loss", "held_out_loss", "gradient_norm", "images_per_second", "seconds")
PICTURES = "held_out/images_and_reconstructions"
Row = dict[str, float]


def write_metrics(path: Path, rows: list[Row]) -> None:
    """Write all rows as CSV, whole or not at all, so that a resumed run repeats none."""
    lines = [",".join(COLUMNS), *(",".join(f"{row[name]:.8g}" for name in COLUMNS) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")


class Board:
    """A run's curves: TensorBoard events in its folder, and a tracker's. Without a folder nothing is written.

    A resumed run hides what it repeats.
    """

    def __init__(self, folder: Path | None, step: int, tracker: Tracker | None = None) -> None:
        self._writer: Any = None
        self._tracker = tracker or Tracker()
        if folder is not None:
            # Not Accelerate's tracker: it cannot hide the steps that a resumed run repeats.
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder), purge_step=step + 1)

    def log_step(self, step: int, loss: float, lr: float) -> None:
        """A mean training loss, and the learning rate, at a step."""
        if self._writer is None:
            return
        values = {"step/train_loss": loss, "step/lr": lr}
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._tracker.log(values, step)

    def log_epoch(self, row: Row, pictures_NCHW: "Tensor") -> None:
        """A row of the history, and held-out images (in [-1, 1]) above their reconstructions."""
        if self._writer is None:
            return
        step = int(row["step"])
        values = {f"epoch/{name}": value for name, value in row.items() if name not in ("epoch", "step")}
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.add_images(PICTURES, (pictures_NCHW + 1) / 2, step)
        self._tracker.log_epoch(values, PICTURES, _picture(pictures_NCHW), step)

    def close(self) -> None:
        """Write out what is pending in the folder."""
        if self._writer is not None:
            self._writer.close()


def _picture(pictures_NCHW: "Tensor") -> "Image.Image":
    """Images in [-1, 1] side by side."""
    from PIL import Image

    row_HWC = ((pictures_NCHW.float() + 1) * 127.5).round().clamp(0, 255).byte().permute(2, 0, 3, 1).flatten(1, 2)
    return Image.fromarray(row_HWC.squeeze(-1).numpy())
