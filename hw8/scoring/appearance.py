"""What a run's images look like, kept with the run, so that a test set of another kind is noticed before it is scored.

No label is needed, and no score depends on it: the lines are for the reader.
"""

import dataclasses
import hashlib
from collections.abc import Mapping

import numpy as np
import torch

from hw8.data.arrays import Images
from hw8.data.loader import in_batches
from hw8.data.splits import Splits, evenly_spaced, reference_rows

# The limits below were chosen by hand so that a test set half of which is anomalous gives no line, and those of
# tests/scoring/test_appearance.py (reversed channels, another range, copies) do: lower limits cry wolf, higher ones
# let these pass.
MEASURED = 1024  # images whose statistics are taken: medians are then good to a twentieth of a spread
COMPARED = 20_000  # test images that are compared with the training images byte by byte, to bound the time
FAR_SPREADS = 4.0  # distance of the medians, in spreads of the training images, that no mixture of kinds explains
MIN_SPREAD = 4.0  # grey levels: training images that are all alike would make any difference a large one
COPIES_SHARE = 0.1  # share of copies within a test set above which it is reported
TRAINING_SHARE = 0.02  # share of training images within a test set above which it is reported
BATCH = 32  # images in memory at once, as float64
COLOURS = {1: ("brightness",), 3: ("red", "green", "blue")}


@dataclasses.dataclass(frozen=True)
class Appearance:
    """Statistics of normal images (M, C + 3), see `measure`, and digests (K,) of some of `total` training images.

    `whole_side` is the side of the images in pixels before they are cropped; 0 if the run does not crop, or was saved
    without it.
    """

    value_MK: np.ndarray
    digest_K: np.ndarray
    total: int
    whole_side: int = 0

    @classmethod
    def of(cls, images: Images, splits: Splits) -> "Appearance":
        """Measure up to 1,024 calibration images, and digest up to 8,192 training images."""
        measured = measure(images, evenly_spaced(splits.calibration, MEASURED))
        side = images.array_NHWC.shape[1]
        whole_side = side if side > images.side else 0
        return cls(measured, digests(images, reference_rows(splits)), len(splits.train), whole_side)

    def tensors(self) -> dict[str, torch.Tensor]:
        """What is saved in model.safetensors."""
        arrays = {"statistics": self.value_MK, "digests": self.digest_K, "total": np.array([self.total])}
        arrays |= {"whole_side": np.array([self.whole_side])} if self.whole_side else {}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> "Appearance | None":
        """What `tensors` gave, or None for a run that was saved without it: then nothing is compared."""
        if {"statistics", "digests", "total"} - tensors.keys():
            return None
        whole_side = int(tensors["whole_side"].sum()) if "whole_side" in tensors else 0
        total = int(tensors["total"].sum())
        return cls(tensors["statistics"].double().numpy(), tensors["digests"].numpy(), total, whole_side)

    def differences(self, images: Images, held_out: bool = False) -> list[str]:
        """How these images differ from the run's own, one line each; empty if they are of the same kind.

        `held_out` images were cut from the same file as the training images, so that copies have another remedy.
        Medians over the images are compared, so that a test set half of which is anomalous gives no line.
        """
        rows = np.arange(len(images))
        value_NK = measure(images, evenly_spaced(rows, MEASURED))
        digest_N = digests(images, evenly_spaced(rows, COMPARED))
        copies = self._copies(digest_N, len(images), held_out)
        return self._size(images) + self._looks(value_NK, images.channels) + copies

    def share_of_training(self, images: Images, rows: np.ndarray) -> float:
        """The estimated share of these rows, of which up to 20,000 are looked at, that equal a training image."""
        return self._share(digests(images, evenly_spaced(rows, COMPARED)))

    def _share(self, digest_N: np.ndarray) -> float:
        """Only some training images have a digest: the others are taken to be among the images as often."""
        return min(1.0, float(np.isin(digest_N, self.digest_K).mean()) * self.total / max(len(self.digest_K), 1))

    def _size(self, images: Images) -> list[str]:
        side = images.array_NHWC.shape[1]
        if self.whole_side in (0, side):
            return []
        return [
            f"the images are {side}x{side} before they are cropped to {images.side}x{images.side}, the training images "
            f"were {self.whole_side}x{self.whole_side}: the crop holds another part of them; resize them"
        ]

    def _looks(self, value_NK: np.ndarray, channels: int) -> list[str]:
        test_K, train_K = np.median(value_NK, axis=0), np.median(self.value_MK, axis=0)
        brightest, train_brightest = value_NK[:, -1].max(), self.value_MK[:, -1].max()
        if brightest < train_brightest / 4:
            return [
                f"pixels reach only {brightest:.0f} of 255 (training images: {train_brightest:.0f}); their range looks "
                "wrong: were values from 0 to 1 saved as uint8? multiply by 255 first"
            ]
        if channels == 3 and _channels_reversed(test_K, train_K):
            return [
                f"red less blue is {test_K[0] - test_K[2]:+.0f} in the middle image, {train_K[0] - train_K[2]:+.0f} in "
                "training images: the channels look reversed (BGR for RGB); turn them with a[..., ::-1]"
            ]
        low_K, high_K = np.percentile(self.value_MK, (25, 75), axis=0)
        far_K = np.abs(test_K - train_K) > FAR_SPREADS * np.maximum((high_K - low_K) / 1.349, MIN_SPREAD)
        names = (*COLOURS.get(channels, ()), "contrast", "darkest pixel", "brightest pixel")
        return [
            f"the middle image's {name} is {here:.0f} of 255, the training images' {there:.0f}: another kind of "
            "image, or another range?"
            for name, here, there, is_far in zip(names, test_K, train_K, far_K, strict=True)
            if is_far
        ]

    def _copies(self, digest_N: np.ndarray, count: int, held_out: bool) -> list[str]:
        lines = []
        copies = 1 - len(np.unique(digest_N)) / len(digest_N)
        if copies > COPIES_SHARE:
            lines.append(f"{copies:.0%} of the {len(digest_N):,} images looked at are copies of another one of them")
        share = self._share(digest_N)
        if share > TRAINING_SHARE:
            about = "about " if len(self.digest_K) < self.total else ""
            remedy = "remove the copies and train again" if held_out else "remove them, or give another file"
            lines.append(
                f"{about}{share:.0%} of the {count:,} images are among the training images, to the last pixel, which "
                f"makes figures too good: {remedy}"
            )
        return lines


def measure(images: Images, rows: np.ndarray) -> np.ndarray:
    """Statistics of these images in grey levels, 0 to 255: mean of each channel, contrast, darkest, brightest pixel.

    float64 (len(rows), C + 3); contrast is the standard deviation over the image.
    """
    parts = []
    for rows_B in in_batches(rows, BATCH):
        batch_BHWC = images.read(rows_B).astype(np.float64)
        flat_BP = batch_BHWC.reshape(len(rows_B), -1)
        of_image_B3 = np.stack([flat_BP.std(axis=1), flat_BP.min(axis=1), flat_BP.max(axis=1)], axis=1)
        parts.append(np.concatenate([batch_BHWC.mean(axis=(1, 2)), of_image_B3], axis=1))
    return np.concatenate(parts)


def digests(images: Images, rows: np.ndarray) -> np.ndarray:
    """The first 8 bytes of each image's BLAKE2b digest: int64 (len(rows),)."""
    batches = (images.read(rows_B) for rows_B in in_batches(rows, BATCH))
    parts = [hashlib.blake2b(image.tobytes(), digest_size=8).digest() for batch in batches for image in batch]
    return np.frombuffer(b"".join(parts), np.int64).copy()


def _channels_reversed(test_K: np.ndarray, train_K: np.ndarray) -> bool:
    """Whether red and blue seem to have changed places: training images have a colour, these its opposite."""
    test, train = test_K[0] - test_K[2], train_K[0] - train_K[2]
    # Less than two spreads is grey; a quarter of the opposite colour is enough, since anomalies dilute it.
    return bool(abs(train) >= 2 * MIN_SPREAD and test * train <= -0.25 * train**2)
