"""A folder of numbered .npy files as one array: `trainingset-00000.npy`, `trainingset-00001.npy` and so on."""

from pathlib import Path

import numpy as np

from hw8.base.errors import InputError


class Shards:
    """Memory-mapped arrays (N_i, H, W, C) one after the other; indexed by a row, or by an array of rows."""

    def __init__(self, arrays: list[np.ndarray]) -> None:
        self._arrays = arrays
        self._ends = np.cumsum([len(array) for array in arrays])
        self.shape = (int(self._ends[-1]), *arrays[0].shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | np.ndarray) -> np.ndarray:
        if np.ndim(rows) == 0:
            return self[np.array([rows])][0]
        rows_B = np.asarray(rows)
        images_BHWC = np.empty((len(rows_B), *self.shape[1:]), np.uint8)
        shard_B = np.searchsorted(self._ends, rows_B, side="right")
        for shard in np.unique(shard_B):
            within = shard_B == shard
            start = self._ends[shard] - len(self._arrays[shard])
            images_BHWC[within] = self._arrays[shard][rows_B[within] - start]
        return images_BHWC


def shard_paths(path: Path) -> list[Path]:
    """Return the numbered files that replace `path`, in order; none if there are none.

    Raises InputError if a number is missing.
    """
    paths = sorted(path.parent.glob(f"{path.stem}-[0-9][0-9][0-9][0-9][0-9]{path.suffix}"))
    expected = [path.with_name(f"{path.stem}-{number:05d}{path.suffix}") for number in range(len(paths))]
    if missing := set(expected) - set(paths):
        raise InputError(f"{min(missing)}: is missing among {len(paths)} numbered files; number them from 00000")
    return paths
