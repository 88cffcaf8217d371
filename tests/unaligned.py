"""Images whose object may lie anywhere, for tests."""

import numpy as np


def scattered(count: int, side: int = 32, seed: int = 0) -> np.ndarray:
    """A bright bar, one end of it thicker, of random place and length on a dark noisy ground: uint8 (N, S, S, 3)."""
    random = np.random.RandomState(seed)
    image_NHWC = random.randint(0, 60, (count, side, side, 3)).astype(np.uint8)
    for image in image_NHWC:
        length, thickness = random.randint(side // 4, side // 2), side // 8
        top, left = random.randint(0, side - length), random.randint(0, side - 2 * thickness)
        image[top : top + length, left : left + thickness] = 220
        image[top : top + length // 3, left : left + 2 * thickness] = 220
    return image_NHWC
