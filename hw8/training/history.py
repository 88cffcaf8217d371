"""What training measured: one row an epoch, kept in metrics.csv and TensorBoard."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw8.files import write_text

if TYPE_CHECKING:
    from torch import Tensor

COLUMNS = ("epoch", "step", "lr", "train_loss", "held_out_loss", "gradient_norm", "images_per_second", "seconds")
Row = dict[str, float]


def write_metrics(path: Path, rows: list[Row]) -> None:
    """Write all rows as CSV, whole or not at all, so that a resumed run repeats none."""
    lines = [",".join(COLUMNS), *(",".join(f"{row[name]:.8g}" for name in COLUMNS) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")


class Board:
    """TensorBoard events of one run; a resumed run hides what it repeats. Without a folder nothing is written."""

    def __init__(self, folder: Path | None, step: int) -> None:
        self._writer: Any = None
        if folder is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder), purge_step=step + 1)

    def log_step(self, step: int, loss: float, lr: float) -> None:
        """A mean training loss, and the learning rate, at a step."""
        if self._writer is None:
            return
        self._writer.add_scalar("step/train_loss", loss, step)
        self._writer.add_scalar("step/lr", lr, step)

    def log_epoch(self, row: Row, pictures_NCHW: "Tensor") -> None:
        """A row of the history, and held-out images (in [-1, 1]) above their reconstructions."""
        if self._writer is None:
            return
        for name, value in row.items():
            if name not in ("epoch", "step"):
                self._writer.add_scalar(f"epoch/{name}", value, int(row["step"]))
        self._writer.add_images("held_out/images_and_reconstructions", (pictures_NCHW + 1) / 2, int(row["step"]))

    def close(self) -> None:
        """Write out what is pending."""
        if self._writer is not None:
            self._writer.close()
