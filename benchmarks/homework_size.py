"""Fill a set of faces up to the homework's size: `python benchmarks/homework_size.py FACES OUT`.

Writes OUT/trainingset.npy with 100,000 and OUT/testingset.npy with 19,636 images: those of FACES in turn, each copy
mirrored by chance, shifted by up to three pixels, and lighter or darker by up to a tenth. It is a test of time, memory
and disk; its held-out figures are too good, since copies of one face stand in all parts of the split.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

SIZES = {"trainingset.npy": 100_000, "testingset.npy": 19_636}
SHIFT, LIGHT, SEED = 3, 0.1, 8
BATCH = 4096  # images written at once


def copies(image_BHWC: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each image mirrored by chance, shifted, and lit: uint8 of the same shape."""
    side = image_BHWC.shape[1]
    padded = np.pad(image_BHWC, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), mode="reflect")
    made_BHWC = np.empty_like(image_BHWC)
    for number, (y, x) in enumerate(rng.integers(0, 2 * SHIFT + 1, (len(image_BHWC), 2))):
        made_BHWC[number] = padded[number, y : y + side, x : x + side][:, :: rng.choice((-1, 1))]
    light_B111 = rng.uniform(1 - LIGHT, 1 + LIGHT, (len(image_BHWC), 1, 1, 1))
    return np.rint(made_BHWC * light_B111).clip(0, 255).astype(np.uint8)


def main() -> None:
    """Write both files."""
    if len(sys.argv) != 3:
        sys.exit("usage: python benchmarks/homework_size.py FACES OUT")
    faces, out = map(Path, sys.argv[1:])
    out.mkdir(parents=True)
    for name, count in SIZES.items():
        source = np.load(faces / name, mmap_mode="r")
        target = open_memmap(out / name, "w+", np.uint8, (count, *source.shape[1:]))
        rng = np.random.default_rng(SEED)
        for start in range(0, count, BATCH):
            rows = np.arange(start, min(start + BATCH, count)) % len(source)
            target[start : start + len(rows)] = copies(source[rows], rng)
        target.flush()


if __name__ == "__main__":
    main()
