"""Images for a page: an image, its reconstruction and its error map side by side, as data inside the page."""

import base64
import io

import numpy as np

from hw8.report.explanation import Explanation
from hw8.report.figures import heat, three_channels

# Of WebP, 0 to 100. Chosen by hand: lower shows blocks, higher makes a page of hundreds of pictures slow to open.
QUALITY = 82
# Pixels: larger pictures are shrunk, since a page holds hundreds and must not grow with the images' side.
LARGEST = 96


def strip(explanation: Explanation) -> np.ndarray:
    """The image and, where there is a reconstruction, that and the error map to its right: uint8 (H, W or 3 W, 3)."""
    return np.concatenate([picture for _, picture in pictures(explanation)], axis=1)


def pictures(explanation: Explanation) -> list[tuple[str, np.ndarray]]:
    """The image and, where there is a reconstruction, that and the error map, by name: uint8 (H, W, 3) each."""
    parts = [("image", three_channels(explanation.image_HWC))]
    if explanation.recon_HWC is not None and explanation.error_HW is not None:
        recon_HWC = np.rint((explanation.recon_HWC.clip(-1, 1) + 1) * 127.5).astype(np.uint8)
        parts.append(("reconstruction", three_channels(recon_HWC)))
        parts.append(("error", heat(explanation.error_HW / explanation.scale)))
    return parts


def small(image_HWC: np.ndarray) -> np.ndarray:
    """The same picture, at most 96 pixels high."""
    from PIL import Image

    height, width, _ = image_HWC.shape
    if height <= LARGEST:
        return image_HWC
    return np.asarray(Image.fromarray(image_HWC).resize((width * LARGEST // height, LARGEST), Image.Resampling.LANCZOS))


def encoded(image_HWC: np.ndarray) -> bytes:
    """A uint8 image (H, W, 3) as a WebP file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image_HWC).save(file, format="WEBP", quality=QUALITY, method=4)
    return file.getvalue()


def data_uri(image_HWC: np.ndarray) -> str:
    """A uint8 image (H, W, 3) as a data: address."""
    return "data:image/webp;base64," + base64.b64encode(encoded(image_HWC)).decode()
