"""A picture from a reader's disk or clipboard, as an image that a run can score."""

import io
from pathlib import PurePath

import numpy as np
from PIL import Image

from hw8.base.errors import InputError
from hw8.data.picture_folder import CONVERT, UNREAD
from hw8.data.pictures import CROPS, FORMATS, decoding, square_image

# Chosen by hand: photographs of most cameras are smaller, and decoding a picture at the limit takes half a gigabyte.
MAX_BYTES = 20_000_000
MAX_PIXELS = 25_000_000
# What to do, by the reason for which a picture cannot be read.
REMEDIES = {
    "not a picture": "give a PNG, JPEG, WebP, GIF, BMP or TIFF file",
    "damaged": "copy the picture anew, or save it again with a program that can open it",
}


def read_upload(content: bytes, name: str, side: int, channels: int, crop: str = "centre") -> np.ndarray:
    """A picture as a square of `side` pixels: uint8 (side, side, channels), cropped as `prepare_data --crop` says.

    The picture may have any size and mode; it is turned as its EXIF data says, transparent parts become white, and of
    several frames the first is taken. Raises InputError if it cannot be read, has a format that its `name` says must
    be converted first, for an unknown `crop`, or if it has over 25 million pixels: the size is read from the header,
    before anything is decoded.
    """
    if crop not in CROPS:
        raise InputError(f"there is no crop {crop[:20]!r}; there are {', '.join(CROPS)}")
    if PurePath(name).suffix.lower() in UNREAD:
        raise InputError(CONVERT)
    if not content:
        raise InputError("an empty file")
    try:
        with decoding(MAX_PIXELS):
            picture = Image.open(io.BytesIO(content), formats=FORMATS)
            if picture.width * picture.height > MAX_PIXELS:
                size = f"{picture.width:,} x {picture.height:,} pixels"
                raise InputError(f"{size}, over {MAX_PIXELS:,} together; make the picture smaller")
            return square_image(picture, side, channels, crop)
    except InputError as error:
        remedy = REMEDIES.get(str(error))
        raise InputError(f"{error}; {remedy}" if remedy else str(error)) from None
