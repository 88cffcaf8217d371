"""Image arrays: memory-mapped uint8 NHWC on disk, checked when they are opened, scaled in one place."""

import hashlib
import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from hw8.base.errors import InputError, error_reason
from hw8.data.shards import Shards, shard_paths

if TYPE_CHECKING:
    import torch

Pixels = TypeVar("Pixels", np.ndarray, "torch.Tensor")
CHANNELS = (1, 3)
MIN_SIDE = 4  # pixels; a convolutional model halves them at least twice
DARK = 64  # of 255 levels, chosen by hand: photographs reach higher, pictures of 12 bits in files of 16 end at 16
SIDE_STEP = 16  # most convolutional models halve an image four times, and take sides that are multiples of this
# Images that a fingerprint reads: enough to tell two data sets apart without reading the homework's 1.2 GB. Every run
# folder holds one: with another number no earlier run could be resumed.
FINGERPRINT_IMAGES = 1024
# Share of a range by which float pixels may lie beyond it, chosen by hand: resized pictures overshoot at edges.
OVERSHOOT = 0.1


class Readable(Protocol):
    """What gives images by their rows: `Images`, or `Corrupted` copies of some."""

    def read(self, rows_B: np.ndarray) -> np.ndarray:
        """Return the images of these rows: uint8 (B, side, side, C)."""


class Images:
    """A memory-mapped array of images, read a batch at a time.

    `crop` keeps the centre square of that side in pixels. Raises InputError if it does not fit.
    """

    def __init__(
        self, array_NHWC: "np.ndarray | Shards | Selection", crop: int | None = None, name: str = "images"
    ) -> None:
        full = array_NHWC.shape[1]
        if crop is not None and crop > full:
            sides = f"{MIN_SIDE} to {full}"
            raise InputError(f"`crop` {crop}: larger than the {full}-pixel images of {name}; choose {sides}")
        self.array_NHWC = array_NHWC
        self.name = name
        self.side = crop or full
        self.channels = array_NHWC.shape[3]
        start = (full - self.side) // 2
        self._window = slice(start, start + self.side)

    def __len__(self) -> int:
        return len(self.array_NHWC)

    def read(self, rows_B: np.ndarray) -> np.ndarray:
        """Copy the images of these rows, cropped: uint8 (B, side, side, C), contiguous."""
        if not isinstance(self.array_NHWC, np.ndarray):
            return self.cropped(self.read_whole(rows_B))
        # Cropped before the rows are taken, so that only the pixels of the window are copied.
        return np.ascontiguousarray(self.array_NHWC[:, self._window, self._window][rows_B])

    def read_whole(self, rows_B: np.ndarray) -> np.ndarray:
        """Copy the images of these rows, uncropped: uint8 (B, H, W, C)."""
        return np.asarray(self.array_NHWC[rows_B])

    def cropped(self, batch_BHWC: np.ndarray) -> np.ndarray:
        """Return the centre of whole images, as `read` gives it: uint8 (B, side, side, C), contiguous."""
        return np.ascontiguousarray(batch_BHWC[:, self._window, self._window])

    def fingerprint(self) -> str:
        """Return the SHA-256 of the shape and of up to 1,024 evenly spaced whole images, which identifies the data."""
        digest = hashlib.sha256(repr(self.array_NHWC.shape).encode())
        # Rounded down, unlike `evenly_spaced`: the fingerprints of existing runs were made so.
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
    """Scale uint8 images to float32 in [-1, 1], as `to_pixels` does: x / 127.5 - 1."""
    return batch_BHWC.astype(np.float32) / 127.5 - 1


def unscaled(pixels: np.ndarray) -> np.ndarray:
    """Turn pixels in [-1, 1], of any shape, into uint8: (x + 1) * 127.5, rounded; what is outside is clipped."""
    return np.rint(to_levels(pixels.clip(-1, 1))).astype(np.uint8)


def to_levels(pixels: Pixels) -> Pixels:
    """Turn pixels in [-1, 1], of any shape, into levels in [0, 255], not rounded: (x + 1) * 127.5."""
    return (pixels + 1) * 127.5


def to_pixels(
    batch_BHWC: "torch.Tensor", device: "torch.device | str" = "cpu", channels_last: bool = True
) -> "torch.Tensor":
    """Scale uint8 (B, H, W, C) to float32 (B, C, H, W) in [-1, 1] on `device`, channels_last in memory or first.

    This and `scaled` are the only places where uint8 images become floats in [-1, 1]: x / 127.5 - 1, the homework's
    2x/255 - 1.
    """
    x_BCHW = batch_BHWC.to(device, non_blocking=True).permute(0, 3, 1, 2)
    # Reordered as bytes, if at all, at a quarter of the cost of floats.
    return (x_BCHW if channels_last else x_BCHW.contiguous()).float().div_(127.5).sub_(1.0)


def open_images(path: Path, crop: int | None = None) -> Images:
    """Memory-map a .npy file of uint8 images (N, side, side, C) with C 1 or 3, or the numbered files that replace it.

    Only the header is read here, and no object is ever unpickled. Raises InputError, one line, for a
    file that is missing, truncated or not .npy, and for a wrong dtype, rank, side or channel order.
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
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(file)
            offset = file.tell()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; see data/README.md for what goes there") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error_reason(error)}); check its name and rights") from None
    except Exception as error:  # a damaged header fails in numpy's parser in many ways
        reason = error_reason(error)
        raise InputError(f"{path}: not a readable .npy file ({reason}); save it again with numpy.save") from None
    if dtype.hasobject:
        raise InputError(f"{path}: holds pickled Python objects, which are never loaded; save a plain uint8 array")
    # Before it is mapped: a missing end would only show when it is read, as a signal that ends the process.
    expected, actual = offset + math.prod(shape) * dtype.itemsize, path.stat().st_size
    if actual != expected:
        problem = "truncated" if actual < expected else "too long"
        raise InputError(f"{path}: {problem}: {actual:,} bytes of {expected:,}; download or copy the file again")
    if dtype != np.uint8:
        raise InputError(_dtype_problem(path, shape, dtype, offset))
    if shape_problem := _shape_problem(path, shape, fortran):
        raise InputError(f"{path}: {shape_problem}")
    try:
        return np.memmap(path, dtype=np.uint8, mode="r", offset=offset, shape=shape)
    except OSError as error:  # each numbered file takes a file handle
        raise InputError(f"{path}: cannot be mapped ({error_reason(error)}); join files, or raise ulimit -n") from None


def _shape_problem(path: Path, shape: tuple[int, ...], fortran: bool) -> str | None:
    """What is wrong with the shape or memory order, and what to do; None for images."""
    expected = "expected (images, side, side, 1 or 3)"
    if len(shape) == 3 and shape[1] == shape[2]:
        return f"has no channel axis {shape}; {expected}; convert with {_rewrite(path, 'a[..., None]')}"
    if len(shape) != 4:
        return f"has {len(shape)} dimensions {shape}; {expected}; reshape it and save it again"
    count, height, width, channels = shape
    if count == 0:
        return "holds no images; save some with numpy.save"
    if channels not in CHANNELS and height in CHANNELS and width == channels:
        return f"channels come first {shape}; {expected}; convert with {_rewrite(path, 'a.transpose(0, 2, 3, 1)')}"
    if channels not in CHANNELS:
        return f"has shape {shape}; {expected}; drop other channels and save it again"
    if min(height, width) < MIN_SIDE:
        return f"images of {height}x{width} pixels; at least {MIN_SIDE} per side are needed"
    if height != width:
        return f"images are {height}x{width}, not square; crop or pad them first"
    if fortran:
        return f"is in Fortran order; convert with {_rewrite(path, 'np.ascontiguousarray(a)')}"
    return None


def _dtype_problem(path: Path, shape: tuple[int, ...], dtype: np.dtype, offset: int) -> str:
    """What the array seems to hold, and the command that converts it to uint8."""
    if dtype.kind not in "bfiu":
        return f"{path}: dtype is {dtype}, expected uint8; save an array of pixels from 0 to 255"
    count = math.prod(shape)
    if count == 0:
        return f"{path}: dtype is {dtype}, expected uint8, and it holds no images"
    # All pixels, which may take a minute: a part may be black, or hide that the others would be clipped.
    values = np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=(count,))
    low, high = float(values.min()), float(values.max())
    if dtype.kind in "biu" and low >= 0 and high <= 255:
        # Whole numbers that are only 0 and 1 are masks, which would become black images.
        expression = "a.astype(np.uint8)" if high > 1 else "a.astype(np.uint8) * 255"
        return f"{path}: dtype is {dtype}, expected uint8; convert with {_rewrite(path, expression)}"
    if dtype.kind == "u" and dtype.itemsize == 2:
        hint = _rewrite(path, "np.rint(a / 257).astype(np.uint8)")
        return f"{path}: uint16 up to {high:g}, expected uint8; if its full range is 0 to 65,535, convert with {hint}"
    if not math.isfinite(high - low):
        return f"{path}: {dtype} that holds NaN or infinity; replace those, then convert it to uint8 0 to 255"
    problem = f"{path}: {dtype} from {low:g} to {high:g}, expected uint8 0 to 255"
    for low_end, high_end, formula in ((0, 1, "a * 255"), (-1, 1, "(a + 1) * 127.5"), (0, 255, "a")):
        beyond = OVERSHOOT * (high_end - low_end)
        is_wide = high - low > (high_end - low_end) / 4  # pixels from 0 to 3 are no pixels from 0 to 255
        is_signed = low_end == 0 or low < low_end / 2  # from -0.2 to 1.2 is no range from -1 to 1
        if is_wide and is_signed and low_end - beyond <= low and high <= high_end + beyond:
            hint = _rewrite(path, f"np.rint({formula}).clip(0, 255).astype(np.uint8)")
            return f"{problem}; if its pixels go from {low_end} to {high_end}, convert with {hint}"
    return f"{problem}; rescale it to that range first"


def _rewrite(path: Path, expression: str) -> str:
    """A shell command that puts `expression` of an array `a` in its file's place, which is kept as NAME.original.

    If there is a NAME.original, of another conversion, it is kept too, and the file becomes NAME.original.original.
    """
    return (
        "python -c \"import os, sys, numpy as np; p = sys.argv[1]; q = p + '.new.npy'; a = np.load(p); "
        f"np.save(q, {expression}); "
        "k = next(k for i in range(1, 9) if not os.path.exists(k := p + '.original' * i)); "
        f'os.rename(p, k); os.rename(q, p)" {shlex.quote(str(path))}'
    )
