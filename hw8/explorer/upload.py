"""A picture from a reader's disk or clipboard, as an image that a run can score."""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps

from hw8.errors import InputError

LARGEST_BYTES = 20_000_000
LARGEST_PIXELS = 25_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")


def read_upload(content: bytes, side: int, channels: int) -> np.ndarray:
    """The centre square of a picture, scaled to `side` pixels: uint8 (side, side, channels).

    The picture may have any size and mode; it is turned as its EXIF data says, transparent parts become white, and of
    several frames the first is taken. Raises InputError for what is no picture, or one of over 20 MB or 25 million
    pixels: the size is read from the header, before anything is decoded.
    """
    if len(content) > LARGEST_BYTES:
        raise InputError(f"the file has {len(content) / 1e6:.0f} MB; at most {LARGEST_BYTES / 1e6:.0f} are taken")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Image.open(io.BytesIO(content), formats=FORMATS)
            if picture.width * picture.height > LARGEST_PIXELS:
                size = f"{picture.width} x {picture.height}"
                raise InputError(f"the picture has {size} pixels; at most {LARGEST_PIXELS:,} are taken")
            whole = ImageOps.exif_transpose(_opaque(picture))
    except InputError:
        raise
    except Image.DecompressionBombError:
        raise InputError(f"the picture has too many pixels; at most {LARGEST_PIXELS:,} are taken") from None
    except Exception as error:  # decoders fail in many ways on damaged files
        raise InputError(
            "this is no picture that can be read; give a PNG, JPEG, WebP, GIF, BMP or TIFF file"
        ) from error
    square = ImageOps.fit(whole.convert("L" if channels == 1 else "RGB"), (side, side), Image.Resampling.LANCZOS)
    return np.asarray(square).reshape(side, side, channels)


def _opaque(picture: Image.Image) -> Image.Image:
    """The first frame on white ground, in 8 bits a channel."""
    if picture.mode.startswith(("I", "F")):  # 16 or 32 bits: the picture's own range becomes 0 to 255
        value_HW = np.asarray(picture, np.float32)
        if not np.isfinite(value_HW).all():
            raise InputError("the picture has pixels that are no numbers")
        low, high = (0.0, 65535.0) if picture.mode.startswith("I;16") else (value_HW.min(), value_HW.max())
        return Image.fromarray(((value_HW - low) * 255 / max(high - low, 1e-9)).round().clip(0, 255).astype(np.uint8))
    if "A" in picture.getbands() or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        ground = Image.new("RGBA", layer.size, "white")
        found = Image.alpha_composite(ground, layer).convert("RGB")
        found.info["exif"] = picture.info.get("exif", b"")
        return found
    return picture
