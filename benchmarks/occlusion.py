"""How often the map of a score peaks in a planted patch: `python benchmarks/occlusion.py [--development] RUN...`.

In each of 200 normal images of the test set a patch is replaced, and `TrainedRun.score_maps` must have its largest
value in it. With --development the images are development ones, which the method was chosen on. Prints the share of
hits by kind of patch, beside the patches' mean share of the visible image, which guessing would hit.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage

from hw8.base.errors import InputError
from hw8.data.arrays import Images
from hw8.runs.trained_run import TrainedRun

IMAGES, SEED = 200, 0
SIDES = 12, 20  # pixels of a patch at a side of 64
SIGMA = 3.0  # pixels at a side of 64, of the blur
# A piece of another normal image from anywhere in it; any colours at every pixel; one colour; the same place, blurred.
KINDS = ("piece", "noise", "colour", "blurred")


def planted(
    whole_NHWC: np.ndarray, others_RHWC: np.ndarray, crop: int | None, kinds: tuple[str, ...] = KINDS
) -> tuple[np.ndarray, np.ndarray]:
    """Cropped images (N, side, side, C) with a patch of each kind in turn, and where it is: bool (N, side, side).

    `others_RHWC` are the normal images that pieces are cut from.
    """
    images = Images(whole_NHWC, crop)
    batch_NHWC = images.read(np.arange(len(images)))
    inside_NHW = np.zeros(batch_NHWC.shape[:3], bool)
    full = whole_NHWC.shape[1]
    low, high = (pixels * full // 64 for pixels in SIDES)
    for number, (image_HWC, inside_HW) in enumerate(zip(batch_NHWC, inside_NHW, strict=True)):
        rng = np.random.default_rng([SEED, number])
        height, width = rng.integers(low, high + 1, 2)
        top, left = rng.integers(0, images.side - height + 1), rng.integers(0, images.side - width + 1)
        box = slice(top, top + height), slice(left, left + width)
        match kinds[number % len(kinds)]:
            case "piece":
                down, across = rng.integers(0, full - height + 1), rng.integers(0, full - width + 1)
                other_HWC = others_RHWC[rng.integers(len(others_RHWC))]
                patch_hwC = other_HWC[down : down + height, across : across + width]
            case "noise":
                patch_hwC = rng.integers(0, 256, image_HWC[box].shape)
            case "colour":
                patch_hwC = rng.integers(0, 256, image_HWC.shape[2])
            case _:
                sigma = SIGMA * full / 64
                patch_hwC = ndimage.gaussian_filter(image_HWC.astype(np.float64), (sigma, sigma, 0))[box]
        image_HWC[box] = patch_hwC
        inside_HW[box] = True
    return batch_NHWC, inside_NHW


def peaks_inside(map_NHW: np.ndarray, inside_NHW: np.ndarray) -> np.ndarray:
    """Whether each map has its largest value inside: bool (N,)."""
    rows = np.arange(len(map_NHW))
    return inside_NHW.reshape(len(rows), -1)[rows, map_NHW.reshape(len(rows), -1).argmax(axis=1)]


def normal_images(trained: TrainedRun, development: bool) -> tuple[np.ndarray, np.ndarray]:
    """Up to 200 whole normal images, of the test set or of the development ones, and as many others for pieces."""
    training, splits = trained.open_training()
    others = training.read_whole(splits.calibration[:IMAGES])
    if development:
        return training.read_whole(splits.development[:IMAGES]), others
    source = trained.open_source(None)
    images = trained.open_test(source)
    labels = source.labels(len(images))
    if labels is None:
        raise InputError(f"{source.name}: its test images have no labels, so that the normal ones are not known")
    return images.read_whole(np.flatnonzero(labels.label_N == 0)[:IMAGES]), others


def lines(run: Path, development: bool) -> Iterator[str]:
    """What is measured of a run, as lines to print."""
    trained = TrainedRun.load(run)
    whole_NHWC, others_RHWC = normal_images(trained, development)
    crop = trained.config.data.crop
    clean_NHWC = Images(whole_NHWC, crop).read(np.arange(len(whole_NHWC)))
    batch_NHWC, inside_NHW = planted(whole_NHWC, others_RHWC, crop)
    name, calibration = trained.score_name, trained.calibration
    before_N, after_N = (
        trained.score(Images(images), np.arange(len(images)))[name] for images in (clean_NHWC, batch_NHWC)
    )
    started = time.process_time()
    hit_N = peaks_inside(trained.score_maps(batch_NHWC), inside_NHW)
    seconds = (time.process_time() - started) / len(hit_N)
    kind_N = np.resize(KINDS, len(hit_N))
    share = inside_NHW.mean()
    yield f"{run}: {len(hit_N)} images, {seconds:.3f} s of processor time each; patches cover {share:.0%} of the image"
    for kind in (*KINDS, "all", "all but blurred"):
        of_kind = (kind_N == kind) | (kind == "all") | ((kind == "all but blurred") & (kind_N != "blurred"))
        raised, p_value_N = (after_N > before_N)[of_kind], calibration.p_value(name, after_N[of_kind])
        hits = hit_N[of_kind]
        inside = hits[raised].mean() if raised.any() else np.nan
        yield (
            f"  {kind:16s} peak inside {hits.mean():.3f}; score raised in {raised.mean():.3f}, "
            f"peak inside {inside:.3f} of those; p <= .05 in {(p_value_N <= 0.05).mean():.3f}"
        )


def main() -> None:
    """Measure each run."""
    words = sys.argv[1:]
    development = "--development" in words
    runs = [word for word in words if word != "--development"]
    if not runs:
        sys.exit("usage: python benchmarks/occlusion.py [--development] RUN...")
    for run in runs:
        for line in lines(Path(run), development):
            print(line, flush=True)


if __name__ == "__main__":
    main()
