"""What people pass to an estimator, told apart: arrays, lists of images, and the names of pictures."""

import os
from collections.abc import Iterator, Set
from typing import Any

import numpy as np


def listed(X: Any) -> Any:
    """X, as a list if it is an array or a Series of names. Raises ValueError for a set or an iterator."""
    if isinstance(X, Iterator | Set):
        raise ValueError(f"X: a {type(X).__name__}, which has no length or order; give a list: sorted(X) or list(X)")
    names = getattr(X, "ndim", 0) == 1 and len(X) and all(isinstance(name, str | os.PathLike) for name in X)
    return list(X) if names else X


def names_pictures(X: Any) -> bool:
    """Whether X is a folder of pictures, or a list of files."""
    files = X if isinstance(X, list | tuple) and len(X) else [X]
    return all(isinstance(file, str | os.PathLike) for file in files)


def stacked(X: list[Any] | tuple[Any, ...]) -> np.ndarray:
    """A list of images as one array. Raises ValueError if their shapes differ."""
    try:
        return np.asarray(X)
    except ValueError:
        shapes = sorted({item.shape for item in X if isinstance(item, np.ndarray)})[:3]
        examples = f", of the shapes {', '.join(map(str, shapes))}" if shapes else ""
        raise ValueError(f"X: its {len(X)} images differ in size{examples}; resize them to one side first") from None


def check_finite(X: Any) -> None:
    """Raise ValueError, with the number of images, for numbers that are not finite."""
    array = np.asarray(X)
    if array.dtype.kind != "f" or array.ndim < 1:
        return
    bad_N = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    if bad_N.any():
        raise ValueError(
            f"X: {bad_N.sum():,} of {len(array):,} images hold {'NaN' if np.isnan(array).any() else 'infinity'}, the "
            f"first is {int(bad_N.argmax())}; leave them out or fill them: np.nan_to_num(X)"
        )
