"""Labelled sets as NPZ, IDX and CIFAR-10 files, whose contents are never unpickled."""

import contextlib
import gzip
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, cast

import numpy as np

from hw8.base.errors import InputError, error_reason, printable, shown
from hw8.data.arrays import CHANNELS, MIN_SIDE
from hw8.oneclass.labelled_set import MAX_BYTES, LabelledSet

# The names of arrays in Keras' files, in MedMNIST's, and in those of a set without a test part.
NAMINGS: tuple[tuple[str, ...], ...] = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("images", "labels"),
)
# The files of MNIST and Fashion-MNIST: images of three dimensions, labels of one (yann.lecun.com/exdb/mnist).
IDX_STEMS = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
# CIFAR-10's files (cs.toronto.edu/~kriz/cifar.html): a record is a class and three colour planes of 32x32 bytes.
CIFAR_RECORD = 1 + 3 * 32 * 32
CIFAR_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
CIFAR_TEST, CIFAR_META = "test_batch", "batches.meta"


def read_npz(path: Path) -> LabelledSet:
    """Read an .npz file with the arrays of one of NAMINGS. Raises InputError naming the array that is wrong."""
    with (
        _readable(path, "save plain numbers or text with numpy.savez") as file,
        np.load(_archive(path, file), allow_pickle=False) as archive,
    ):
        present = set(archive.files)
        names = next((names for names in NAMINGS if present.issuperset(names)), None)
        if names is None:
            expected = "; or ".join(", ".join(names) for names in NAMINGS)
            raise InputError(f"{path}: holds {shown(sorted(present), 200)}; it must hold {expected}")
        for name in names:
            size = archive.zip.getinfo(f"{name}.npy").file_size
            if size > MAX_BYTES:
                raise InputError(f"{path}: {name} takes {size:,} bytes; at most {MAX_BYTES:,} are read")
        arrays = [archive[name] for name in names]
    arrays = _checked(path, names, arrays)
    if len(arrays) == 4 and arrays[0].shape[1:] != arrays[2].shape[1:]:
        raise InputError(f"{path}: {names[0]} {arrays[0].shape} and {names[2]} {arrays[2].shape}: make images alike")
    has_validation_part = {"val_images", "train_images"} <= present
    return LabelledSet(*arrays, notes=(f"{path.name}: val_images are not used",) if has_validation_part else ())


def _archive(path: Path, file: IO[bytes]) -> IO[bytes]:
    """The same open file, from its start. Raises InputError unless it is an archive as numpy.savez writes it."""
    if file.read(2) != b"PK":  # which all ZIP archives begin with
        raise InputError(f"{path}: is no .npz file; save its arrays with numpy.savez")
    file.seek(0)
    return file


def _checked(where: Path, names: Sequence[str], arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Images, classes and so on in turn: images as they are, classes as (N,). Raises InputError for unusable ones."""
    checked: list[np.ndarray] = []
    for place in range(0, len(names), 2):
        _check_images(f"{where}: {names[place]}", arrays[place])
        classes_N = _classes(f"{where}: {names[place + 1]}", arrays[place + 1], len(arrays[place]))
        checked += [arrays[place], classes_N]
    return checked


def _check_images(where: str, image_N: np.ndarray) -> None:
    shape, expected = image_N.shape, "expected uint8 (images, height, width) or (images, height, width, 1 or 3)"
    if image_N.dtype != np.uint8:
        raise InputError(f"{where} is {image_N.dtype}; {expected}; scale it to 0 to 255 and convert it")
    if image_N.ndim not in (3, 4) or (image_N.ndim == 4 and shape[3] not in CHANNELS):
        raise InputError(f"{where} has shape {shape}; {expected}; transpose or drop axes")
    if not len(image_N) or min(shape[1:3]) < MIN_SIDE:
        raise InputError(f"{where} has shape {shape}; some images of at least {MIN_SIDE} pixels are needed")


def _classes(where: str, class_N: np.ndarray, count: int) -> np.ndarray:
    """One class per image (count,): whole numbers or text."""
    if class_N.ndim == 2 and class_N.shape[1] == 1:
        class_N = class_N[:, 0]
    if class_N.shape != (count,):
        raise InputError(f"{where} has shape {class_N.shape} for {count:,} images; give one class per image")
    if class_N.dtype.kind == "S":
        class_N = np.char.decode(class_N, "utf-8", "replace")
    if class_N.dtype.kind not in "biuU":
        raise InputError(f"{where} is {class_N.dtype}; save whole numbers or text")
    return np.array([printable(name) for name in class_N]) if class_N.dtype.kind == "U" else class_N


def read_idx(folder: Path) -> LabelledSet | None:
    """Read MNIST's four IDX files, gzipped or not; None if there are none of them. Raises InputError."""
    paths = [_idx_file(folder, stem) for stem in IDX_STEMS]
    if not any(paths):
        return None
    arrays = []
    for path, stem in zip(paths, IDX_STEMS, strict=True):
        if path is None:
            raise InputError(f"{folder}: has IDX files, but no {stem}-ubyte[.gz]; download it beside them")
        arrays.append(_idx_array(path, dimensions=int(stem[-1])))
    return LabelledSet(*_checked(folder, IDX_STEMS, arrays))


def _idx_file(folder: Path, stem: str) -> Path | None:
    """The file of this name, as LeCun's site names it, or with a dot as some programs unpack it."""
    names = [f"{name}-ubyte{end}" for name in (stem, stem.replace("-idx", ".idx")) for end in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _idx_array(path: Path, dimensions: int) -> np.ndarray:
    """The array in an IDX file: two zeros, 8 for uint8, the number of dimensions, their sizes in four bytes each."""
    with _readable(path) as file:
        header = file.read(4 + 4 * dimensions)
        if len(header) < 4 + 4 * dimensions or header[:4] != bytes((0, 0, 8, dimensions)):
            raise InputError(f"{path}: is no IDX file of bytes with {dimensions} dimensions; download it again")
        shape = tuple(int(size) for size in np.frombuffer(header, ">u4", offset=4))
        return _rest(path, file, math.prod(shape)).reshape(shape)


def read_cifar10(folder: Path) -> LabelledSet | None:
    """Read CIFAR-10's binary files in the folder, or in the subfolder of its archive; None if there are none of them.

    Raises InputError for damaged ones, and for the Python version, which is pickled.
    """
    for place in (folder, folder / "cifar-10-batches-bin", folder / "cifar-10-batches-py"):
        if any((place / f"{name}.bin").exists() for name in (*CIFAR_TRAIN, CIFAR_TEST)):
            break
        if any((place / name).exists() for name in (*CIFAR_TRAIN, CIFAR_TEST, CIFAR_META)):
            raise InputError(
                f"{place}: is CIFAR-10's Python version, which is pickled and never loaded; get the binary version "
                "(cifar-10-binary.tar.gz) and give the folder with data_batch_1.bin"
            )
    else:
        return None
    arrays = []
    for names in (CIFAR_TRAIN, (CIFAR_TEST,)):
        records = np.concatenate([_cifar_records(place / f"{name}.bin") for name in names])
        arrays += [records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), records[:, 0].astype(np.int64)]
    return LabelledSet(*arrays)


def _cifar_records(path: Path) -> np.ndarray:
    """The records of a file: uint8 (N, 3073)."""
    with _readable(path) as file:
        size = path.stat().st_size
        if not size or size % CIFAR_RECORD:
            raise InputError(f"{path}: {size:,} bytes, not a multiple of {CIFAR_RECORD}; download it again")
        return _rest(path, file, size).reshape(-1, CIFAR_RECORD)


@contextlib.contextmanager
def _readable(path: Path, remedy: str = "download it again") -> Iterator[IO[bytes]]:
    """Open a file, which is decompressed if it ends in .gz. Raises InputError with the remedy if it cannot be read."""
    try:
        with path.open("rb") as file:
            yield cast(IO[bytes], gzip.GzipFile(fileobj=file)) if path.suffix == ".gz" else file
    except InputError:
        raise
    except Exception as error:  # gzip, zipfile, zlib and numpy fail in many ways on damaged files
        raise InputError(f"{path}: cannot be read ({error_reason(error)}); {remedy}") from None


def _rest(path: Path, file: IO[bytes], size: int) -> np.ndarray:
    """The rest of the file, uint8 (size,). Raises InputError if it has another size, or one that is too large."""
    if size > MAX_BYTES:
        raise InputError(f"{path}: claims {size:,} bytes; at most {MAX_BYTES:,} are read")
    content = file.read(size)
    if len(content) < size or file.read(1):
        fault = "truncated" if len(content) < size else "longer than its header says"
        raise InputError(f"{path}: {fault}: {size:,} bytes were to follow; download it again")
    return np.frombuffer(content, np.uint8)
