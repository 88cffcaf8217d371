"""A picture from a reader's disk or clipboard, as an image that a run can score."""

import io
import warnings

import numpy as np
from PIL import Image

from hw8.base.errors import InputError
from hw8.data.pictures import FORMATS, flattened, squared

# Chosen by hand: photographs of most cameras are smaller, and decoding a picture at the limit takes half a gigabyte.
LARGEST_BYTES = 20_000_000
LARGEST_PIXELS = 25_000_000


def read_upload(content: bytes, side: int, channels: int) -> np.ndarray:
    """The centre square of a picture, scaled to `side` pixels: uint8 (side, side, channels).

    The picture may have any size and mode; it is turned as its EXIF data says, transparent parts become white, and of
    several frames the first is taken. Raises InputError if it cannot be read, or has over 20 MB or 25 million pixels:
    the size is read from the header, before anything is decoded.
    """
    if len(content) > LARGEST_BYTES:
        raise InputError(f"the file has {len(content) / 1e6:.0f} MB; at most {LARGEST_BYTES / 1e6:.0f} are taken")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Image.open(io.BytesIO(content), formats=(*FORMATS, "PPM"))
            if picture.width * picture.height > LARGEST_PIXELS:
                size = f"{picture.width} x {picture.height}"
                raise InputError(f"the picture has {size} pixels; at most {LARGEST_PIXELS:,} are taken")
            return squared(flattened(picture, channels), side, "centre")
    except InputError:
        raise
    except Image.DecompressionBombError:
        raise InputError(f"the picture has too many pixels; at most {LARGEST_PIXELS:,} are taken") from None
    except Exception as error:  # decoders fail in many ways on damaged files
        hint = "give a PNG, JPEG, WebP, GIF, BMP or TIFF file"
        raise InputError(f"this is no picture that can be read; {hint}") from error
