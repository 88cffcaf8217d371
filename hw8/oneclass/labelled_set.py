"""A labelled image set, of which each class can be the normal one."""

import dataclasses
import hashlib

import numpy as np

from hw8.base.errors import InputError, printable

# Bytes of the images of a part: sets are held in memory, where scaling and cutting make copies. Chosen by hand; the
# sets of the literature take 190 MB at most.
MAX_BYTES = 2_000_000_000
# Where a set has no test part, one image in five is held back; with more, little is left of small classes to train on.
TEST_SHARE = 5


@dataclasses.dataclass(frozen=True)
class LabelledSet:
    """Images to train on and to test with: uint8 (N, H, W, C) or (N, H, W), and their classes (N,), numbers or text.

    The test arrays are empty if the set has no test part. `literature_name` is mnist, fashion-mnist or cifar10 for
    those sets. `notes` are lines about what was done to the images.
    """

    image_NHWC: np.ndarray
    class_N: np.ndarray
    test_NHWC: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0, np.uint8))
    test_class_N: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0, np.uint8))
    _: dataclasses.KW_ONLY
    name: str = "set"
    literature_name: str | None = None
    notes: tuple[str, ...] = ()

    def classes(self) -> list[str]:
        """The names of the classes to train on, in order: numbers by size, texts by letters."""
        return [str(name) for name in np.unique(self.class_N)]

    def cut(self, seed: int) -> "LabelledSet":
        """The set with a test part: its own, or a fifth of each class, drawn by `seed`.

        Raises InputError if a class has fewer than five images.
        """
        if len(self.test_NHWC):
            return self
        from sklearn.model_selection import train_test_split

        classes, counts = np.unique(self.class_N, return_counts=True)
        if counts.min() < TEST_SHARE:
            smallest = printable(str(classes[counts.argmin()]), 80)
            problem = f"class {smallest} has {counts.min()} images; give it {TEST_SHARE}, or remove it"
            raise InputError(f"{self.name}: {problem}")
        rows = np.arange(len(self.class_N))
        train, test = train_test_split(rows, test_size=1 / TEST_SHARE, random_state=seed, stratify=self.class_N)
        return dataclasses.replace(
            self,
            image_NHWC=self.image_NHWC[train],
            class_N=self.class_N[train],
            test_NHWC=self.image_NHWC[test],
            test_class_N=self.class_N[test],
        )

    def fingerprint(self) -> str:
        """SHA-256 over all images and classes of both parts."""
        digest = hashlib.sha256()
        for array in (self.image_NHWC, self.class_N, self.test_NHWC, self.test_class_N):
            digest.update(repr((array.shape, array.dtype.str)).encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def check_memory(where: str, count: int, side: int, channels: int) -> None:
    """Raise InputError if so many images of this side would take over two gigabytes."""
    if count * side * side * channels > MAX_BYTES:
        raise InputError(f"{where}: {count:,} images of {side}x{side} are over {MAX_BYTES:,} bytes; lower `side`")
