"""Pictures for tests."""

from pathlib import Path

import numpy as np
from PIL import Image


def flat(value: int, size: tuple[int, int] = (9, 9)) -> Image.Image:
    """A picture of one colour, told from others by its red."""
    return Image.new("RGB", size, (value, 100, 50))


def fill(root: Path, *names: str, start: int = 0) -> list[str]:
    """Write pictures of rising red from `start`."""
    for value, name in enumerate(names, start):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        flat(value).save(root / name)
    return list(names)


def numbered(count: int, pattern: str = "{:03d}.png") -> list[str]:
    return [pattern.format(number) for number in range(count)]


def scene() -> Image.Image:
    """A picture whose corners differ, so that each way to turn it gives another one."""
    x_HW, y_HW = np.meshgrid(np.linspace(0, 1, 96), np.linspace(0, 1, 96))
    values = np.stack([255 * x_HW, 255 * y_HW, 200 * x_HW * y_HW + 30], axis=-1)
    return Image.fromarray(values.astype(np.uint8))
