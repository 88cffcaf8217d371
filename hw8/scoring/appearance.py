"""What a run's images look like, kept with the run, so that a test set of another kind is noticed before it is scored.

No label is needed, and nothing is changed by it: the lines are for the reader.
"""

import dataclasses
import hashlib
from collections.abc import Mapping

import numpy as np
import torch

from hw8.data.arrays import Images
from hw8.data.loader import in_batches
from hw8.data.splits import Splits, reference_rows

MEASURED = 1024
COMPARED = 20_000
FAR = 4.0  # distance of medians, in spreads of the training images, that no mixture of kinds explains
LEAST_SPREAD = 4.0  # grey levels
COPIES = 0.1  # share of copies within a test set that is worth a word
KNOWN = 0.02  # share of training images in it
BATCH = 256
COLOURS = {1: ("brightness",), 3: ("red", "green", "blue")}


@dataclasses.dataclass(frozen=True)
class Appearance:
    """Statistics of normal images (M, C + 3), see `measure`; digests of training images (K,), of `total` there are."""

    value_MK: np.ndarray
    digest_K: np.ndarray
    total: int

    @classmethod
    def of(cls, images: Images, splits: Splits) -> "Appearance":
        """Look at up to 1,024 calibration images, and at up to 8,192 training images byte by byte."""
        return cls(
            measure(images, _evenly(splits.calibration, MEASURED)),
            digests(images, reference_rows(splits)),
            len(splits.train),
        )

    def tensors(self) -> dict[str, torch.Tensor]:
        """What is saved in model.safetensors."""
        return {
            "statistics": torch.from_numpy(self.value_MK),
            "digests": torch.from_numpy(self.digest_K),
            "total": torch.tensor([self.total]),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> "Appearance | None":
        """What was saved, or None if nothing that can be used was: then nothing is compared."""
        if {"statistics", "digests", "total"} - tensors.keys():
            return None
        value_MK, digest_K, total = (tensors[name].numpy() for name in ("statistics", "digests", "total"))
        good = value_MK.ndim == 2 and len(value_MK) > 0 and np.isfinite(value_MK).all()
        good = good and digest_K.dtype == np.int64 and digest_K.ndim == total.ndim == 1 and len(total) == 1
        return cls(value_MK.astype(np.float64), digest_K, int(total[0])) if good and total[0] > 0 else None

    def differences(self, images: Images) -> list[str]:
        """How these images differ from what the run knows, one line each; none if they are of its kind.

        The middle image is compared, so that a test set half of which is anomalous gives no line.
        """
        rows = np.arange(len(images))
        value_NK = measure(images, _evenly(rows, MEASURED))
        if value_NK.shape[1] != self.value_MK.shape[1]:
            return []
        compared = _evenly(rows, COMPARED)
        return [*self._looks(value_NK, images.channels), *self._copies(digests(images, compared), len(images))]

    def _looks(self, value_NK: np.ndarray, channels: int) -> list[str]:
        here_K, there_K = np.median(value_NK, axis=0), np.median(self.value_MK, axis=0)
        low_K, high_K = np.percentile(self.value_MK, (25, 75), axis=0)
        spread_K = np.maximum((high_K - low_K) / 1.349, LEAST_SPREAD)
        top, known = value_NK[:, -1].max(), self.value_MK[:, -1].max()
        if top < known / 4:
            return [
                f"pixels reach only {top:.0f} of 255 (training images: {known:.0f}); their range looks wrong: were "
                "values from 0 to 1 saved as uint8? multiply by 255 first"
            ]
        reverse = _reverse_channels(here_K, there_K, channels)
        far = np.abs(here_K - there_K) > FAR * spread_K
        names = (*COLOURS.get(channels, ()), "contrast", "darkest pixel", "brightest pixel")
        lines = [
            f"the middle image's {name} is {here:.0f} of 255, the training images' {there:.0f}: another kind of "
            "image, or another range?"
            for name, here, there, is_far in zip(names, here_K, there_K, far, strict=True)
            if is_far
        ]
        return [reverse] if reverse else lines

    def _copies(self, digest_N: np.ndarray, count: int) -> list[str]:
        lines = []
        copies = 1 - len(np.unique(digest_N)) / len(digest_N)
        if copies > COPIES:
            lines.append(f"{copies:.0%} of the {len(digest_N):,} images looked at are copies of another one of them")
        known = np.isin(digest_N, self.digest_K).mean() * self.total / max(len(self.digest_K), 1)
        if known > KNOWN:
            share = f"about {min(known, 1):.0%}" if len(self.digest_K) < self.total else f"{min(known, 1):.0%}"
            lines.append(
                f"{share} of the {count:,} images are among the training images, to the last pixel: is this "
                "the right file?"
            )
        return lines


def measure(images: Images, rows: np.ndarray) -> np.ndarray:
    """Statistics of these images in grey levels, 0 to 255: mean of each channel, contrast, darkest, brightest pixel.

    float64 (len(rows), C + 3); contrast is the standard deviation over the image.
    """
    found = []
    for rows_B in in_batches(rows, BATCH):
        batch_BHWC = images.read(rows_B).astype(np.float64)
        flat_BP = batch_BHWC.reshape(len(rows_B), -1)
        rest = [flat_BP.std(axis=1), flat_BP.min(axis=1), flat_BP.max(axis=1)]
        found.append(np.concatenate([batch_BHWC.mean(axis=(1, 2)), np.stack(rest, axis=1)], axis=1))
    return np.concatenate(found)


def digests(images: Images, rows: np.ndarray) -> np.ndarray:
    """The first 8 bytes of each image's BLAKE2b digest: int64 (len(rows),)."""
    found = []
    for rows_B in in_batches(rows, BATCH):
        found += [hashlib.blake2b(image.tobytes(), digest_size=8).digest() for image in images.read(rows_B)]
    return np.frombuffer(b"".join(found), np.int64).copy()


def _evenly(rows: np.ndarray, most: int) -> np.ndarray:
    return rows[:: -(-len(rows) // most)]


def _reverse_channels(here_K: np.ndarray, there_K: np.ndarray, channels: int) -> str | None:
    """A line if red and blue seem to have changed places."""
    if channels != 3:
        return None
    here, there = here_K[0] - here_K[2], there_K[0] - there_K[2]
    # Only where the training images have a colour of their own, and these its opposite.
    if abs(there) < 2 * LEAST_SPREAD or here * there > -0.25 * there**2:
        return None
    return (
        f"red less blue is {here:+.0f} in the middle image, {there:+.0f} in training images: the channels look "
        "reversed (BGR for RGB); turn them with a[..., ::-1]"
    )
