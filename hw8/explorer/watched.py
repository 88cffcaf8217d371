"""Images whose reading is watched: to show how far a pass over them is, and to stop it."""

from collections.abc import Callable

import numpy as np

from hw8.data.arrays import Images

Watch = Callable[[int], None]


class Watched(Images):
    """The same images; threads call `watch` before each batch, with its size, and it may raise Interrupted."""

    def __init__(self, images: Images, watch: Watch) -> None:
        super().__init__(images.array_NHWC, images.side, images.name)
        self._watch = watch

    def read(self, rows_B: np.ndarray) -> np.ndarray:
        """Copy the images of these rows, as `Images.read` does."""
        self._watch(len(rows_B))
        return super().read(rows_B)
