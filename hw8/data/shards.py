"""A folder of numbered .npy files as one array: `trainingset-00000.npy`, `trainingset-00001.npy` and so on."""

import re
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
        found_BHWC = np.empty((len(rows_B), *self.shape[1:]), np.uint8)
        owner_B = np.searchsorted(self._ends, rows_B, side="right")
        for owner in np.unique(owner_B):
            here = owner_B == owner
            start = self._ends[owner] - len(self._arrays[owner])
            found_BHWC[here] = self._arrays[owner][rows_B[here] - start]
        return found_BHWC


def shard_paths(path: Path) -> list[Path]:
    """The numbered files that stand for `path`, in order; none if there are none.

    Raises InputError if a number is missing.
    """
    pattern = re.compile(re.escape(path.stem) + r"-([0-9]{5})" + re.escape(path.suffix))
    numbered = {int(match[1]): file for file in path.parent.glob(f"{path.stem}-*{path.suffix}")
                if (match := pattern.fullmatch(file.name))}  # fmt: skip
    missing = set(range(len(numbered))) - numbered.keys()
    if missing:
        name = f"{path.stem}-{min(missing):05d}{path.suffix}"
        raise InputError(
            f"{path.parent / name}: is missing among {len(numbered)} numbered files; number them from 00000"
        )
    return [numbered[number] for number in sorted(numbered)]
