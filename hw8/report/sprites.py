"""Images for a page: an image, its reconstruction and its error map side by side, as data that stands in the page."""

import base64
import io

import numpy as np

from hw8.report.explanation import Explanation

QUALITY = 82
LARGEST = 96


def strip(found: Explanation) -> np.ndarray:
    """The image and, where there is a reconstruction, that and the error map to its right: uint8 (H, W or 3 W, 3)."""
    image_HWC = three_channels(found.image_HWC)
    if found.recon_HWC is None or found.error_HW is None:
        return image_HWC
    recon_HWC = three_channels(uint8_pixels(found.recon_HWC))
    return np.concatenate([image_HWC, recon_HWC, coloured(found.error_HW / found.scale)], axis=1)


def small(image_HWC: np.ndarray) -> np.ndarray:
    """The same, at most 96 pixels high: a page of hundreds of pictures must not grow with their side."""
    from PIL import Image

    height, width, _ = image_HWC.shape
    if height <= LARGEST:
        return image_HWC
    return np.asarray(Image.fromarray(image_HWC).resize((width * LARGEST // height, LARGEST), Image.Resampling.LANCZOS))


def encoded(image_HWC: np.ndarray) -> bytes:
    """A uint8 image (H, W, 3) as a WebP file."""
    from PIL import Image

    box = io.BytesIO()
    Image.fromarray(image_HWC).save(box, format="WEBP", quality=QUALITY, method=4)
    return box.getvalue()


def data_uri(image_HWC: np.ndarray) -> str:
    """A uint8 image (H, W, 3) as a data: address."""
    return "data:image/webp;base64," + base64.b64encode(encoded(image_HWC)).decode()


def three_channels(image_HWC: np.ndarray) -> np.ndarray:
    """An image of one or three channels as one of three."""
    return image_HWC.repeat(3 // image_HWC.shape[2], axis=2)


def uint8_pixels(image_HWC: np.ndarray) -> np.ndarray:
    """Pixels in [-1, 1] as uint8."""
    return np.rint((image_HWC.clip(-1, 1) + 1) * 127.5).astype(np.uint8)


def coloured(share_HW: np.ndarray) -> np.ndarray:
    """Errors, 0 to 1 of the scale, as colours: uint8 (H, W, 3)."""
    import matplotlib as mpl

    colours = np.rint(mpl.colormaps["magma"](np.linspace(0, 1, 256))[:, :3] * 255).astype(np.uint8)
    return colours[(share_HW.clip(0, 1) * 255).astype(np.uint8)]
