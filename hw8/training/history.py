"""What training measured: one row per epoch, in metrics.csv, in TensorBoard and at a tracker."""

import functools
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw8.base.files import write_text
from hw8.data.arrays import unscaled
from hw8.training.tracker import Tracker

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image
    from torch import Tensor

COLUMNS = (
    "epoch", "step", "lr", "train_loss", "held_out_loss", "gradient_norm", "images_per_second", "seconds", "threads",
)  # fmt: skip
PICTURES = "held_out/images_and_reconstructions"
Row = dict[str, float]


def write_metrics(path: Path, rows: list[Row]) -> None:
    """Write all rows as CSV, whole or not at all, so that a resumed run repeats none.

    What an earlier version did not measure is nan.
    """
    lines = [",".join(COLUMNS), *(",".join(f"{row.get(name, nan):.8g}" for name in COLUMNS) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")


class MetricsWriter:
    """A run's curves: TensorBoard events in its folder, and a tracker. Without a folder nothing is written.

    What was logged after `step` by an earlier part of the run is hidden, since the resumed run repeats it.
    """

    def __init__(self, folder: Path | None, step: int, tracker: Tracker | None = None) -> None:
        self._folder, self._step, self._tracker = folder, step, tracker or Tracker()

    @functools.cached_property
    def _writer(self) -> Any:
        from torch.utils.tensorboard import SummaryWriter  # here, so that the first step need not wait for it

        return SummaryWriter(str(self._folder), purge_step=self._step + 1)

    def log_step(self, step: int, loss: float, lr: float) -> None:
        """Log a mean training loss, and the learning rate, at a step."""
        if self._folder is not None:
            values = {"step/train_loss": loss, "step/lr": lr}
            self._log(values, step)
            self._tracker.log(values, step)

    def log_epoch(self, row: Row, draw: "Callable[[], Tensor]") -> None:
        """Log a row of the history, and what `draw` returns: held-out images in [-1, 1], reconstructions below."""
        if self._folder is not None:
            pictures_NCHW = draw()
            step = int(row["step"])
            values = {f"epoch/{name}": value for name, value in row.items() if name not in ("epoch", "step")}
            self._log(values, step)
            self._writer.add_images(PICTURES, (pictures_NCHW + 1) / 2, step)
            self._tracker.log_epoch(values, PICTURES, _side_by_side(pictures_NCHW), step)

    def _log(self, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write out what is pending in the folder."""
        if "_writer" in vars(self):
            self._writer.close()


def _side_by_side(pictures_NCHW: "Tensor") -> "Image.Image":
    from PIL import Image

    row_HWC = unscaled(pictures_NCHW.float().permute(2, 0, 3, 1).flatten(1, 2).numpy())
    return Image.fromarray(row_HWC.squeeze(-1) if row_HWC.shape[2] == 1 else row_HWC)
