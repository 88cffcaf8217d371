"""Images for a page: an image, its reconstruction and its error map side by side, as data inside the page."""

import base64
import io
from typing import Any

import numpy as np

from hw8.data.arrays import Images, unscaled
from hw8.report.explanation import ImageExplanation
from hw8.report.heatmaps import heat, three_channels

# Of WebP, 0 to 100. Chosen by hand: lower shows blocks, higher makes a page of hundreds of pictures slow to open.
QUALITY = 82
# Pixels: larger pictures are shrunk, since a page holds hundreds and must not grow with the images' side.
MAX_SIDE = 96
THUMBNAIL, COLUMNS = 64, 50  # pixels of a side, and images in a row of a sheet: WebP files have at most 16,383 pixels


def strip(explanation: ImageExplanation) -> np.ndarray:
    """The image and, where there is a reconstruction, that and the error map to its right: uint8 (H, W or 3 W, 3)."""
    return np.concatenate([picture for _, picture in pictures(explanation)], axis=1)


def pictures(explanation: ImageExplanation) -> list[tuple[str, np.ndarray]]:
    """The image and, where there is a reconstruction, that and the error map, by name: uint8 (H, W, 3) each."""
    parts = [("image", three_channels(explanation.image_HWC))]
    if explanation.recon_HWC is not None and explanation.error_HW is not None:
        parts.append(("reconstruction", three_channels(unscaled(explanation.recon_HWC))))
        parts.append(("error", heat(explanation.error_HW / explanation.scale)))
    return parts


def small(image_HWC: np.ndarray) -> np.ndarray:
    """The same picture, at most 96 pixels high."""
    height, width, _ = image_HWC.shape
    return image_HWC if height <= MAX_SIDE else resized(image_HWC, width * MAX_SIDE // height, MAX_SIDE)


def resized(image_HWC: np.ndarray, width: int, height: int) -> np.ndarray:
    """The same picture in another size, by Lanczos resampling."""
    from PIL import Image

    return np.asarray(Image.fromarray(image_HWC).resize((width, height), Image.Resampling.LANCZOS))


def thumbnails(images: Images, rows: np.ndarray) -> dict[str, Any]:
    """These images in one picture, row by row, with the numbers that the page's script cuts it by."""
    tiles = [resized(three_channels(image_HWC), THUMBNAIL, THUMBNAIL) for image_HWC in images.read(rows)]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % COLUMNS)
    lines = [np.concatenate(tiles[start : start + COLUMNS], axis=1) for start in range(0, len(tiles), COLUMNS)]
    return {"ids": rows.tolist(), "side": THUMBNAIL, "columns": COLUMNS, "src": data_uri(np.concatenate(lines))}


def encoded(image_HWC: np.ndarray) -> bytes:
    """A uint8 image (H, W, 3) as a WebP file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image_HWC).save(file, format="WEBP", quality=QUALITY, method=4)
    return file.getvalue()


def data_uri(image_HWC: np.ndarray) -> str:
    """A uint8 image (H, W, 3) as a data: address."""
    return "data:image/webp;base64," + base64.b64encode(encoded(image_HWC)).decode()
