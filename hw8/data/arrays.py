"""Image arrays: memory-mapped uint8 NHWC on disk, checked at opening, scaled in one place."""

import hashlib
import os
import shlex
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hw8.base.errors import InputError, shown
from hw8.base.files import open_regular
from hw8.data.shards import Shards, shard_paths

if TYPE_CHECKING:
    import torch

CHANNELS = (1, 3)
SMALLEST_SIDE = 4
FINGERPRINT_IMAGES = 1024
LONGEST_HEADER = 10_000
# By version: the reader of what follows the magic, and the bytes of the header's length.
HEADERS = {
    (1, 0): (np.lib.format.read_array_header_1_0, 2),
    (2, 0): (np.lib.format.read_array_header_2_0, 4),
    (3, 0): (np.lib.format.read_array_header_2_0, 4),
}


class Images:
    """A memory-mapped array of images, read a batch at a time.

    `crop` keeps the centre square of that side in pixels. Raises InputError if it does not fit.
    """

    def __init__(
        self, array_NHWC: "np.ndarray | Shards | Selection", crop: int | None = None, name: str = "images"
    ) -> None:
        full = array_NHWC.shape[1]
        if crop is not None and crop > full:
            raise InputError(f"`crop` {crop}: larger than the {full}-pixel images of {name}; choose 1 to {full}")
        self.array_NHWC = array_NHWC
        self.name = name
        self.side = crop or full
        self.channels = array_NHWC.shape[3]
        self._start = (full - self.side) // 2

    def __len__(self) -> int:
        return len(self.array_NHWC)

    def read(self, rows_B: np.ndarray) -> np.ndarray:
        """Copy the images of these rows, cropped: uint8 (B, side, side, C), contiguous."""
        if not isinstance(self.array_NHWC, np.ndarray):
            return self.cropped(self.read_whole(rows_B))
        window = slice(self._start, self._start + self.side)
        return np.ascontiguousarray(self.array_NHWC[:, window, window][rows_B])  # copies the window alone

    def read_whole(self, rows_B: np.ndarray) -> np.ndarray:
        """Copy the images of these rows, uncropped: uint8 (B, H, W, C)."""
        return np.asarray(self.array_NHWC[rows_B])

    def cropped(self, batch_BHWC: np.ndarray) -> np.ndarray:
        """The centre of whole images, as `read` gives it: uint8 (B, side, side, C), contiguous."""
        window = slice(self._start, self._start + self.side)
        return np.ascontiguousarray(batch_BHWC[:, window, window])

    def fingerprint(self) -> str:
        """SHA-256 over the shape and up to 1,024 evenly spaced whole images: names the data in a run."""
        digest = hashlib.sha256(repr(self.array_NHWC.shape).encode())
        for row in np.linspace(0, len(self) - 1, min(len(self), FINGERPRINT_IMAGES)).astype(int):
            digest.update(self.array_NHWC[row].tobytes())
        return digest.hexdigest()


class Selection:
    """Some rows of an array of images, in the order of `rows`, as an array (R, H, W, C) that is read when indexed."""

    def __init__(self, array_NHWC: "np.ndarray | Shards | Selection", rows: np.ndarray) -> None:
        self._array, self._rows = array_NHWC, rows
        self.shape: tuple[int, ...] = (len(rows), *array_NHWC.shape[1:])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: int | np.ndarray) -> np.ndarray:
        return np.asarray(self._array[self._rows[rows]])


def scaled(batch_BHWC: np.ndarray) -> np.ndarray:
    """uint8 images to float32 in [-1, 1], as `to_pixels` scales them: x / 127.5 - 1."""
    return batch_BHWC.astype(np.float32) / 127.5 - 1


def to_pixels(
    batch_BHWC: "torch.Tensor", device: "torch.device | str" = "cpu", channels_last: bool = True
) -> "torch.Tensor":
    """uint8 (B, H, W, C) to float32 (B, C, H, W) in [-1, 1] on `device`, channels_last in memory or channels first.

    This and `scaled` are the only places where pixels are scaled: x / 127.5 - 1, the homework's 2x/255 - 1.
    """
    x_BCHW = batch_BHWC.to(device, non_blocking=True).permute(0, 3, 1, 2)
    # Reordered as bytes, if at all: a quarter of what it costs as floats.
    return (x_BCHW if channels_last else x_BCHW.contiguous()).float().div_(127.5).sub_(1.0)


def open_images(path: Path, crop: int | None = None) -> Images:
    """Memory-map a .npy file of uint8 images (N, side, side, C) with C 1 or 3, or the numbered files that stand for it.

    Only the header is read here, and no object is ever unpickled. Raises InputError, one line, for a
    file that is missing, truncated or no .npy, and for a wrong dtype, rank, side or channel order.
    """
    paths = [] if path.exists() else shard_paths(path)
    if not paths:
        return Images(_map(path), crop, str(path))
    arrays = [_map(part) for part in paths]
    for part, array in zip(paths, arrays, strict=True):
        if array.shape[1:] != arrays[0].shape[1:]:
            raise InputError(
                f"{part}: images of {array.shape[1:]}, but {paths[0].name} has {arrays[0].shape[1:]}; make them alike"
            )
    return Images(Shards(arrays), crop, str(path))


def _map(path: Path) -> np.ndarray:
    """The array in a file, checked."""
    shape, dtype, fortran, offset = _read_header(path)
    if dtype.hasobject:
        raise InputError(f"{path}: holds pickled Python objects, which are never loaded; save a plain uint8 array")
    if min(shape, default=1) < 0:
        raise InputError(f"{path}: claims a negative size {shape}; save it again with numpy.save")
    expected = offset + int(np.prod(shape, dtype=object)) * dtype.itemsize
    actual = path.stat().st_size
    if actual < expected:
        raise InputError(f"{path}: truncated: {actual:,} bytes of {expected:,}; download or copy the file again")
    if actual > expected:
        raise InputError(f"{path}: has {actual - expected:,} bytes too many; download or copy the file again")
    if dtype != np.uint8 or dtype.names or dtype.subdtype:
        raise InputError(_dtype_problem(path, shape, dtype, offset))
    _check_shape(path, shape, fortran)
    try:
        return np.memmap(path, dtype=np.uint8, mode="r", offset=offset, shape=shape)
    except (OSError, ValueError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path}: cannot be mapped ({reason}); join or split files, or raise ulimit -n") from None


def _read_header(path: Path) -> tuple[tuple[int, ...], np.dtype, bool, int]:
    """Shape, dtype, Fortran order and data offset of a .npy file."""
    try:
        with open_regular(path) as file:
            version = np.lib.format.read_magic(file)
            reader, size = HEADERS[version]
            length = int.from_bytes(file.read(size), "little")
            if length > LONGEST_HEADER:
                raise ValueError(f"its header claims {length:,} bytes")
            file.seek(-size, os.SEEK_CUR)
            with warnings.catch_warnings(action="ignore"):  # of Python 2's long numbers
                shape, fortran, dtype = reader(file)
            if not all(type(size) is int and abs(size) < 2**62 for size in shape):
                raise ValueError(f"its shape is {shown(shape)}")
            return shape, dtype, fortran, file.tell()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; see data/README.md for what goes there") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its name and rights") from None
    except KeyError as error:
        raise InputError(f"{path}: is .npy of an unknown version {error}; save it again with numpy.save") from None
    except Exception as error:  # a damaged header fails in numpy's parser in many ways
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: not a readable .npy file ({reason}); save it again with numpy.save") from None


def _check_shape(path: Path, shape: tuple[int, ...], fortran: bool) -> None:
    wanted = "expected (images, side, side, 1 or 3)"
    if len(shape) == 3 and shape[1] == shape[2]:
        hint = _rewrite(path, "a[..., None]")
        raise InputError(f"{path}: has no channel axis {shape}; {wanted}; convert with {hint}")
    if len(shape) != 4:
        raise InputError(f"{path}: has {len(shape)} dimensions {shape}; {wanted}; reshape it and save it again")
    if shape[0] == 0:
        raise InputError(f"{path}: holds no images; save some with numpy.save")
    if shape[3] not in CHANNELS and shape[1] in CHANNELS and shape[2] == shape[3]:
        raise InputError(
            f"{path}: channels come first {shape}; {wanted}; convert with {_rewrite(path, 'a.transpose(0, 2, 3, 1)')}"
        )
    if shape[3] in CHANNELS and min(shape[1:3]) < SMALLEST_SIDE:
        raise InputError(f"{path}: images of {shape[1]}x{shape[2]} pixels; at least {SMALLEST_SIDE} a side are needed")
    if shape[3] not in CHANNELS:
        raise InputError(f"{path}: has shape {shape}; {wanted}; drop other channels and save it again")
    if shape[1] != shape[2]:
        raise InputError(f"{path}: images are {shape[1]}x{shape[2]}, not square; crop or pad them first")
    if fortran:
        raise InputError(f"{path}: is in Fortran order; convert with {_rewrite(path, 'np.ascontiguousarray(a)')}")


def _dtype_problem(path: Path, shape: tuple[int, ...], dtype: np.dtype, offset: int) -> str:
    """Say what the array seems to hold, and the command that turns it into uint8."""
    if dtype.kind != "f" or 0 in shape:
        hint = _rewrite(path, "a.astype(np.uint8)")
        return f"{path}: dtype is {dtype}, expected uint8; if its pixels go from 0 to 255, convert with {hint}"
    count = min(int(np.prod(shape)), 2_000_000)
    sample = np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=(count,))
    low, high = float(sample.min()), float(sample.max())
    for name, bottom, top, formula in (
        ("[0, 1]", 0, 1, "a * 255"),
        ("[-1, 1]", -1, 1, "(a + 1) * 127.5"),
        ("[0, 255]", 0, 255, "a"),
    ):
        if bottom - 1e-3 <= low and high <= top + 1e-3:
            rounded = f"np.rint({formula}).clip(0, 255).astype(np.uint8)"
            return f"{path}: {dtype} in {name}, expected uint8 0 to 255; convert with {_rewrite(path, rounded)}"
    return f"{path}: {dtype} from {low:g} to {high:g}, expected uint8 0 to 255; rescale it to that range first"


def _rewrite(path: Path, expression: str) -> str:
    """A shell command that replaces the file by `expression` of its array `a`, aside first, then renamed."""
    return (
        "python -c \"import os, sys, numpy as np; p = sys.argv[1]; q = p + '.new.npy'; a = np.load(p); "
        f'np.save(q, {expression}); os.replace(q, p)" {shlex.quote(str(path))}'
    )
