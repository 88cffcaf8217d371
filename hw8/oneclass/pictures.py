"""Labelled sets of pictures: a folder for each class."""

import contextlib
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from hw8.base.errors import InputError, printable
from hw8.base.files import open_regular
from hw8.data.arrays import SMALLEST_SIDE
from hw8.data.layout import SUFFIXES, Walk, escaped, refusal, walk
from hw8.data.pictures import FORMATS, read_pictures
from hw8.oneclass.files import LARGEST, Raw

PICTURE_SIDE = 64  # pixels: larger pictures are decoded to this side, unless another is asked for


def read_class_folders(root: Path, side: int | None = None) -> Raw:
    """Read pictures in `root`/CLASS/, or in `root`/train/CLASS/ and `root`/test/CLASS/, as far as they can be read.

    They are decoded to squares, the centre kept, of the first picture's shorter side, but at most `side` (default: 64
    pixels); to one channel if none has colours. Raises InputError where there are none, or for over two gigabytes.
    """
    found = walk(root)
    tops = {name.split("/")[0].lower() for name in found.names if "/" in name}
    parts = tops == {"train", "test"}
    by_part: dict[str, list[tuple[str, str]]] = {"train": [], "test": []}
    for name in found.names:
        *folders, _ = name.split("/")
        part = folders.pop(0).lower() if parts and folders else "train"
        if folders:
            by_part[part].append((name, folders[0]))
        else:
            found.skipped.append((name, "in no class folder"))
    if not by_part["train"] or (parts and not by_part["test"]):
        layouts = "CLASS/ with pictures, or train/CLASS/ and test/CLASS/"
        raise refusal(root, f"holds no IDX or CIFAR-10 files and no {layouts} ({' '.join(sorted(SUFFIXES))})", found)
    native = min(_first_side(root, [name for name, _ in by_part["train"]]), side or PICTURE_SIDE)
    train, test = (_decoded(root, by_part[part], native, found) for part in ("train", "test"))
    images = [train[0], test[0]]
    if all(bool((part == part[..., :1]).all()) for part in images):
        images = [np.ascontiguousarray(part[..., :1]) for part in images]
    notes: tuple[str, ...] = ()
    if found.skipped:
        name, reason = found.skipped[-1]
        notes = (f"{len(found.skipped):,} pictures skipped, for instance {escaped(name)}: {reason}",)
    if not len(train[0]) or (parts and not len(test[0])):
        raise refusal(root, "no picture of a part can be read", found)
    return Raw(images[0], train[1], images[1], test[1], notes) if parts else Raw(images[0], train[1], notes=notes)


def _decoded(root: Path, named: Sequence[tuple[str, str]], side: int, found: Walk) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 (N, side, side, 3) and their classes (N,); those that cannot be read join the skipped."""
    if len(named) * side * side * 3 > LARGEST:
        raise InputError(f"{root}: {len(named):,} pictures of {side}x{side} are over {LARGEST:,} bytes; lower `side`")
    image_NHWC = np.empty((len(named), side, side, 3), np.uint8)
    classes: list[str] = []
    with contextlib.closing(read_pictures(root, [name for name, _ in named], side, 3, "centre")) as pictures:
        for (name, kind), image in zip(named, pictures, strict=True):
            if isinstance(image, str):
                found.skipped.append((name, image))
            else:
                image_NHWC[len(classes)] = image
                classes.append(printable(kind))
    return image_NHWC[: len(classes)], np.array(classes, dtype=str)


def _first_side(root: Path, names: Sequence[str]) -> int:
    """The shorter side in pixels of the first picture that can be opened; the largest if none can."""
    for name in names[:100]:
        quiet = warnings.catch_warnings(action="ignore")
        with contextlib.suppress(Exception), quiet, open_regular(root / name) as file:
            side = min(Image.open(file, formats=FORMATS).size)  # its header alone is read
            if side >= SMALLEST_SIDE:
                return side
    return PICTURE_SIDE
