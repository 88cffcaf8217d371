"""Labelled sets on the disk: NPZ, IDX and CIFAR-10 files, whose contents are never unpickled."""

import contextlib
import dataclasses
import gzip
import math
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, cast

import numpy as np

from hw8.base.errors import InputError, printable, shown
from hw8.base.files import open_regular
from hw8.data.arrays import CHANNELS, SMALLEST_SIDE, read_header

LARGEST = 2_000_000_000  # bytes of an array of images
LONGEST_CLASS = 100  # characters
# Keras' names, MedMNIST's, and those of a set without a test part.
NAMINGS: tuple[tuple[str, ...], ...] = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("images", "labels"),
)
CIFAR_RECORD = 1 + 3 * 32 * 32
CIFAR_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
CIFAR_TEST, CIFAR_META = "test_batch", "batches.meta"


@dataclasses.dataclass(frozen=True)
class Raw:
    """A set as its files hold it: images uint8 (N, H, W[, C]) and their classes (N,), numbers or text; the same to
    test on, if there is such a part; and lines to say."""

    image_N: np.ndarray
    class_N: np.ndarray
    test_N: np.ndarray | None = None
    test_class_N: np.ndarray | None = None
    notes: tuple[str, ...] = ()


def _raw(arrays: Sequence[np.ndarray], notes: tuple[str, ...] = ()) -> Raw:
    """Images and classes, and those to test on if there are four arrays."""
    test_N, test_class_N = arrays[2:] if len(arrays) == 4 else (None, None)
    return Raw(arrays[0], arrays[1], test_N, test_class_N, notes)


def read_npz(path: Path) -> Raw:
    """Read an .npz file with the arrays of one of NAMINGS. Raises InputError naming the array that is wrong."""
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            found = {name.removesuffix(".npy") for name in archive.namelist()}
            names = next((names for names in NAMINGS if found.issuperset(names)), None)
            if names is None:
                wanted = "; or ".join(", ".join(names) for names in NAMINGS)
                raise InputError(f"{path}: holds {shown(sorted(found), 200)}; it must hold {wanted}")
            arrays = [_member(path, archive, name) for name in names]
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); copy or download it again") from None
    except Exception as error:  # zipfile, zlib and numpy fail in many ways on a damaged file
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: not a readable .npz file ({reason}); save it again with numpy.savez") from None
    for place in range(0, len(names), 2):
        _check_images(path, names[place], arrays[place])
        arrays[place + 1] = _labels(path, names[place + 1], arrays[place + 1], len(arrays[place]))
    if len(arrays) == 4 and arrays[0].shape[1:] != arrays[2].shape[1:]:
        raise InputError(f"{path}: {names[0]} {arrays[0].shape} and {names[2]} {arrays[2].shape}: make images alike")
    unused = f"{path.name}: val_images are not used" if {"val_images", "train_images"} <= found else ""
    return _raw(arrays, (unused,) if unused else ())


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """An array of the archive; its size is judged from its header, before anything is unpacked."""
    # Python 2 wrote long numbers, of which NumPy warns.
    with archive.open(f"{name}.npy") as member, warnings.catch_warnings(action="ignore"):
        shape, _, dtype = read_header(member)
    if dtype.hasobject:
        raise InputError(f"{path}: {name} holds pickled objects, which are never loaded; save plain numbers or text")
    size = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or size > LARGEST:
        raise InputError(f"{path}: {name} {shown(shape)} {dtype} takes {size:,} bytes; at most {LARGEST:,} are read")
    with archive.open(f"{name}.npy") as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def _check_images(path: Path, name: str, image_N: np.ndarray) -> None:
    shape, wanted = image_N.shape, "expected uint8 (images, height, width) or (images, height, width, 1 or 3)"
    if image_N.dtype != np.uint8:
        raise InputError(f"{path}: {name} is {image_N.dtype}; {wanted}; scale it to 0 to 255 and convert it")
    if image_N.ndim not in (3, 4) or (image_N.ndim == 4 and shape[3] not in CHANNELS):
        raise InputError(f"{path}: {name} has shape {shape}; {wanted}; transpose or drop axes")
    if not len(image_N) or min(shape[1:3]) < SMALLEST_SIDE:
        raise InputError(f"{path}: {name} has shape {shape}; some images of at least {SMALLEST_SIDE} pixels are needed")


def _labels(path: Path, name: str, label_N: np.ndarray, count: int) -> np.ndarray:
    """One class an image (count,): whole numbers or text."""
    if label_N.ndim == 2 and label_N.shape[1] == 1:
        label_N = label_N[:, 0]
    if label_N.shape != (count,):
        raise InputError(f"{path}: {name} has shape {label_N.shape} for {count:,} images; give one class an image")
    if label_N.dtype.kind == "S":
        label_N = np.char.decode(label_N, "utf-8", "replace")
    if label_N.dtype.kind not in "biuU":
        raise InputError(f"{path}: {name} is {label_N.dtype}; save whole numbers or text")
    if label_N.dtype.kind != "U":
        return label_N
    classes, place_N = np.unique(label_N, return_inverse=True)
    if max(map(len, classes)) > LONGEST_CLASS:
        raise InputError(f"{path}: {name} holds a name of over {LONGEST_CLASS} characters; give classes short names")
    return np.array([printable(str(name)) for name in classes])[place_N]


def read_idx(folder: Path) -> Raw | None:
    """Read MNIST's four IDX files, gzipped or not; None where there are none of them. Raises InputError."""
    parts = [(part, kind) for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    found = [_idx_file(folder, f"{part}-{kind}") for part, kind in parts]
    if not any(found):
        return None
    arrays = []
    for path, (part, kind) in zip(found, parts, strict=True):
        if path is None:
            raise InputError(f"{folder}: has IDX files, but no {part}-{kind}-ubyte[.gz]; download it beside them")
        arrays.append(_idx_array(path, int(kind[-1])))
    for place in (0, 2):
        _check_images(folder, "-".join(parts[place]), arrays[place])
        arrays[place + 1] = _labels(folder, "-".join(parts[place + 1]), arrays[place + 1], len(arrays[place]))
    return _raw(arrays)


def _idx_file(folder: Path, stem: str) -> Path | None:
    """The file of this name, as LeCun's site names it or as it is called when unpacked with a dot."""
    names = [f"{name}-ubyte{end}" for name in (stem, stem.replace("-idx", ".idx")) for end in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _idx_array(path: Path, rank: int) -> np.ndarray:
    """The bytes of an IDX file of this rank: two zeros, 8 for uint8, the rank, then each size in four bytes."""
    with _readable(path) as file:
        head = file.read(4 + 4 * rank)
        if len(head) < 4 + 4 * rank or head[:4] != bytes((0, 0, 8, rank)):
            raise InputError(f"{path}: is no IDX file of bytes with {rank} dimensions; download it again")
        shape = tuple(int(size) for size in np.frombuffer(head, ">u4", offset=4))
        return _exactly(path, file, math.prod(shape)).reshape(shape)


def read_cifar10(folder: Path) -> Raw | None:
    """Read CIFAR-10's binary files, in the folder or as unpacked in it; None where there are none of them.

    Raises InputError for damaged ones, and for the python version, which is pickled.
    """
    for place in (folder, folder / "cifar-10-batches-bin", folder / "cifar-10-batches-py"):
        if any((place / f"{name}.bin").exists() for name in (*CIFAR_TRAIN, CIFAR_TEST)):
            break
        if any((place / name).exists() for name in (*CIFAR_TRAIN, CIFAR_TEST, CIFAR_META)):
            raise InputError(
                f"{place}: is CIFAR-10's python version, which is pickled and never loaded; get the binary version "
                "(cifar-10-binary.tar.gz) and give the folder with data_batch_1.bin"
            )
    else:
        return None
    parts = []
    for names in (CIFAR_TRAIN, (CIFAR_TEST,)):
        records = np.concatenate([_cifar_records(place / f"{name}.bin") for name in names])
        parts += [records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), records[:, 0].astype(np.int64)]
    return _raw(parts)


def _cifar_records(path: Path) -> np.ndarray:
    """The records of a file: uint8 (N, 3073), a class and three planes of 32x32."""
    with _readable(path) as file:
        size = path.stat().st_size
        if not 0 < size <= LARGEST or size % CIFAR_RECORD:
            raise InputError(f"{path}: {size:,} bytes, not a number of {CIFAR_RECORD}; download it again")
        return _exactly(path, file, size).reshape(-1, CIFAR_RECORD)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[IO[bytes]]:
    """The open file, unpacked if gzipped. Raises InputError, one line, for whatever it fails by."""
    try:
        with open_regular(path) as file:
            yield cast(IO[bytes], gzip.GzipFile(fileobj=file)) if path.suffix == ".gz" else file
    except (OSError, EOFError, zlib.error) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or " ".join(str(error).split())[:120]
        raise InputError(f"{path}: cannot be read ({reason}); download it again") from None


def _exactly(path: Path, file: IO[bytes], size: int) -> np.ndarray:
    """The rest of the file, which must be of this size: uint8 (size,)."""
    if size > LARGEST:
        raise InputError(f"{path}: claims {size:,} bytes; at most {LARGEST:,} are read")
    content = file.read(size)
    if len(content) < size or file.read(1):
        what = "truncated" if len(content) < size else "longer than its header says"
        raise InputError(f"{path}: {what}: {size:,} bytes were to follow; download it again")
    return np.frombuffer(content, np.uint8)
