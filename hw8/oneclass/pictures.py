"""Labelled sets of pictures: a folder for each class."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from hw8.base.errors import printable
from hw8.data.arrays import MIN_SIDE
from hw8.data.picture_folder import SUFFIXES, PictureFolder, find_pictures
from hw8.data.pictures import FORMATS, read_pictures
from hw8.oneclass.labelled_set import LabelledSet, check_memory

# Pixels: larger pictures are read at this side unless another is asked for. The presets are tuned on 64x64 images, and
# memory and time grow with the square of the side.
PICTURE_SIDE = 64


def read_class_folders(root: Path, side: int | None = None) -> LabelledSet:
    """Read pictures in `root`/CLASS/, or in `root`/train/CLASS/ and `root`/test/CLASS/; others are skipped.

    They become squares, cropped to their centre, of the first picture's shorter side, but at most `side` (default: 64
    pixels); of one channel if none has colours. Raises InputError if there are none, or they take over two gigabytes.
    """
    folder = find_pictures(root)
    tops = {name.split("/")[0].lower() for name in folder.names if "/" in name}
    has_parts = {"train", "test"} <= tops
    if not has_parts and (parts := tops & {"train", "test", "ground_truth"}):
        raise folder.refusal(f"{', '.join(sorted(parts))} is no class; give both train/ and test/, or neither")
    by_part: dict[str, list[tuple[str, str]]] = {"train": [], "test": []}  # names and classes
    for name in folder.names:
        *subfolders, _ = name.split("/")
        part = subfolders.pop(0).lower() if has_parts and subfolders else "train"
        if part not in by_part:
            folder.skipped[name] = "neither in train/ nor in test/"
        elif not subfolders:
            folder.skipped[name] = "in no class folder"
        else:
            by_part[part].append((name, subfolders[0]))
    if not by_part["train"] or (has_parts and not by_part["test"]):
        layouts = "CLASS/ with pictures, or train/CLASS/ and test/CLASS/"
        raise folder.refusal(f"holds no IDX or CIFAR-10 files and no {layouts} ({' '.join(sorted(SUFFIXES))})")
    side = min(_first_side(root, [name for name, _ in by_part["train"]]), side or PICTURE_SIDE)
    train_NHWC, train_class_N = _decoded(folder, by_part["train"], side)
    test_NHWC, test_class_N = _decoded(folder, by_part["test"], side)
    if not len(train_NHWC) or (has_parts and not len(test_NHWC)):
        raise folder.refusal("no picture of a part can be read")
    if all((image_NHWC == image_NHWC[..., :1]).all() for image_NHWC in (train_NHWC, test_NHWC)):
        train_NHWC, test_NHWC = (np.ascontiguousarray(image_NHWC[..., :1]) for image_NHWC in (train_NHWC, test_NHWC))
    notes = (folder.skipped_example(),) if folder.skipped else ()
    return LabelledSet(train_NHWC, train_class_N, test_NHWC, test_class_N, notes=notes)


def _decoded(folder: PictureFolder, pictures: Sequence[tuple[str, str]], side: int) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, side, side, 3) and their classes (N,) of those pictures that can be read."""
    check_memory(str(folder.root), len(pictures), side, 3)
    image_NHWC = np.empty((len(pictures), side, side, 3), np.uint8)
    classes: list[str] = []
    names = [name for name, _ in pictures]
    with contextlib.closing(read_pictures(folder.root, names, side, 3, "centre")) as images:
        for (name, class_name), image in zip(pictures, images, strict=True):
            if isinstance(image, str):
                folder.skipped[name] = image
            else:
                image_NHWC[len(classes)] = image
                classes.append(printable(class_name))
    return image_NHWC[: len(classes)], np.array(classes, dtype=str)


def _first_side(root: Path, names: Sequence[str]) -> int:
    """The shorter side in pixels of the first picture that can be opened, by its header; PICTURE_SIDE if none can."""
    for name in names:
        # read_pictures reports what is wrong with the others
        with contextlib.suppress(Exception), Image.open(root / name, formats=FORMATS) as picture:
            if min(picture.size) >= MIN_SIDE:
                return min(picture.size)
    return PICTURE_SIDE
