"""Picture files, of whatever size and mode, as square uint8 images."""

import concurrent.futures
import contextlib
import math
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from hw8.base.errors import InputError
from hw8.base.threads import available_cores
from hw8.data.arrays import MIN_SIDE

Crop = Literal["centre", "pad", "stretch"]
CROPS: tuple[Crop, ...] = get_args(Crop)

# The formats that pictures come in; Pillow's decoders of dozens of rare ones are never started.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
# Chosen by hand. Some decoders read the whole file at once; larger files than this are videos or scans.
MAX_BYTES = 1_000_000_000
# Chosen by hand, above what cameras make. Decoded, the largest take 400 MB as RGB with transparency.
MAX_PIXELS = 100_000_000
# What JPEG allows. Scaling a picture of a few endless rows takes minutes.
MAX_SIDE = 65_535
# Side of the square images that pictures become. Chosen by hand: a thousand RGB images of this side take 3 GB of disk,
# and models here are made for far smaller ones.
MAX_SQUARE = 1024
# Larger pictures are converted and shrunk in strips of so many pixels, which bounds the memory of the copies. Chosen by
# hand: a photograph of 4 megapixels is converted whole, since strips are slower.
STRIP_PIXELS = 4_000_000
# Larger pictures are read one at a time, or threads would multiply their memory. Chosen by hand: above most cameras.
ALONE_PIXELS = 32_000_000
# Pictures per task of a thread: handing over a task takes a fifth of the time of reading one small picture.
TASK = 8
# Tasks per thread that are read ahead, chosen by hand: without any, threads wait for each other; each takes memory.
QUEUED = 2
# Pictures are shrunk by whole factors to this many times the side, then by Lanczos, which sees hardly a difference: the
# tests allow 2.5 grey levels on average. Chosen by hand: with less the image blurs, with more reading takes longer.
GAP = 4

_alone = threading.Lock()


def read_picture(path: Path, side: int, channels: int, crop: Crop) -> np.ndarray:
    """Read a file as an image of `side` pixels: uint8 (side, side, channels).

    The picture is turned as its EXIF data says, transparent parts become white, and of several frames the first is
    taken. Its size is read from the header before anything is decoded. However many threads read, pictures of over 32
    million pixels are decoded one at a time: the largest take half a gigabyte, 1.6 as WebP. Raises InputError with the
    reason in a few words.
    """
    with decoding(MAX_PIXELS):
        size = path.stat().st_size
        if not size or size > MAX_BYTES:
            raise InputError("an empty file" if not size else f"over {MAX_BYTES:,} bytes")
        # Opened as a file: given a path, Pillow maps some TIFF files into memory, and then turns them wrongly.
        with path.open("rb") as file, Image.open(file, formats=FORMATS) as picture:
            return square_image(picture, side, channels, crop)


def square_image(picture: Image.Image, side: int, channels: int, crop: Crop) -> np.ndarray:
    """An opened picture as `read_picture` returns it: the same pixels, wherever it was opened from."""
    _check_size(picture)
    with _alone if math.prod(picture.size) > ALONE_PIXELS else contextlib.nullcontext():
        picture.draft(None, (GAP * side, GAP * side))  # a JPEG decodes to a half, a quarter or an eighth
        return resized_to_square(_shrunk(picture, side, channels), side, crop)


@contextlib.contextmanager
def decoding(most_pixels: int) -> Iterator[None]:
    """Turn whatever Pillow raises in the block into InputError, with the reason in a few words."""
    try:
        yield
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError("not a picture") from None
    except Image.DecompressionBombError:
        raise InputError(f"over {most_pixels:,} pixels") from None
    except MemoryError:
        raise InputError("needs more memory than there is") from None
    except OSError as error:
        raise InputError(f"cannot be opened ({error.strerror})" if error.errno else "damaged") from None
    except Exception:  # decoders fail in many ways on damaged files
        raise InputError("damaged") from None


def read_pictures(
    root: Path, names: Sequence[str], side: int, channels: int, crop: Crop, workers: int | None = None
) -> Generator[np.ndarray | str, None, None]:
    """Yield the image of each file in a folder, as `read_picture` returns it, or the reason why it cannot be read.

    `workers` threads decode (default: one per core); they run in parallel, since Pillow releases the interpreter's
    lock. Only a few images are read ahead. Close the generator to stop.
    """
    workers, closed = workers or available_cores(), threading.Event()

    def read(name: str) -> np.ndarray | str:
        try:
            return "" if closed.is_set() else read_picture(root / name, side, channels, crop)
        except InputError as error:
            return str(error)

    pool = concurrent.futures.ThreadPoolExecutor(workers)
    ahead: deque[concurrent.futures.Future[list[np.ndarray | str]]] = deque()
    try:
        for start in range(0, len(names), TASK):
            ahead.append(pool.submit(lambda task: [read(name) for name in task], names[start : start + TASK]))
            if len(ahead) > QUEUED * workers:
                yield from ahead.popleft().result()
        while ahead:
            yield from ahead.popleft().result()
    finally:
        closed.set()
        pool.shutdown()


def flattened(picture: Image.Image, channels: int) -> Image.Image:
    """The first frame on a white background, in 8 bits per channel, turned as its EXIF data says: mode L or RGB.

    Raises InputError if pixels are not finite numbers, and whatever Pillow raises on damaged files.
    """
    picture.load()
    return _upright(_opaque(picture, _value_range(picture)), picture).convert("L" if channels == 1 else "RGB")


def resized_to_square(picture: Image.Image, side: int, crop: Crop) -> np.ndarray:
    """A picture in mode L or RGB, scaled by Lanczos to a square of `side` pixels: uint8 (side, side, 1 or 3).

    `centre` keeps the centre square; `pad` keeps the whole picture, with bars in the median colour of its edge;
    `stretch` keeps it out of proportion.
    """
    channels = len(picture.getbands())
    if crop == "pad":
        return _padded(picture, side, channels)
    lanczos = Image.Resampling.LANCZOS
    square = ImageOps.fit(picture, (side, side), lanczos) if crop == "centre" else picture.resize((side, side), lanczos)
    return np.array(square).reshape(side, side, channels)  # a copy, since PyTorch warns of arrays that are read-only


def _padded(picture: Image.Image, side: int, channels: int) -> np.ndarray:
    scale = side / max(picture.size)
    width, height = (max(1, round(length * scale)) for length in picture.size)
    inner_HWC = np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS)).reshape(height, width, channels)
    rows_EC, columns_EC = inner_HWC[[0, -1]].reshape(-1, channels), inner_HWC[:, [0, -1]].reshape(-1, channels)
    padded_HWC = np.empty((side, side, channels), np.uint8)
    padded_HWC[:] = np.median(np.concatenate([rows_EC, columns_EC]), axis=0).round()
    top, left = (side - height) // 2, (side - width) // 2
    padded_HWC[top : top + height, left : left + width] = inner_HWC
    return padded_HWC


def _check_size(picture: Image.Image) -> None:
    if math.prod(picture.size) > MAX_PIXELS:
        raise InputError(f"over {MAX_PIXELS:,} pixels")
    if max(picture.size) > MAX_SIDE:
        raise InputError(f"over {MAX_SIDE:,} pixels a side")
    if min(picture.size) < MIN_SIDE:
        raise InputError(f"under {MIN_SIDE} pixels a side")


def _shrunk(picture: Image.Image, side: int, channels: int) -> Image.Image:
    """The picture as `flattened` returns it; a large one is converted in strips and shrunk by a whole factor."""
    if math.prod(picture.size) <= STRIP_PIXELS:
        return flattened(picture, channels)
    picture.load()
    value_range, factor = _value_range(picture), max(1, min(picture.size) // (GAP * side))
    width, height = picture.width // factor, picture.height // factor
    left, top = picture.width % factor // 2, picture.height % factor // 2  # the remainder is cut off evenly
    small = Image.new("L" if channels == 1 else "RGB", (width, height))
    strip_rows = max(1, STRIP_PIXELS // (picture.width * factor))
    for row in range(0, height, strip_rows):
        below = min(row + strip_rows, height)
        strip = picture.crop((left, top + row * factor, left + width * factor, top + below * factor))
        small.paste(_opaque(strip, value_range).convert(small.mode).reduce(factor), (0, row))
    return _upright(small, picture)


def _upright(flat: Image.Image, picture: Image.Image) -> Image.Image:
    """`flat` turned as the EXIF data of `picture` says: copies of a picture lose some of these data."""
    orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
    flat.info.clear()  # else Pillow would write the other data anew, which fails where they are damaged
    flat.getexif()[ExifTags.Base.Orientation] = orientation
    ImageOps.exif_transpose(flat, in_place=True)
    return flat


def _value_range(picture: Image.Image) -> tuple[np.float32, np.float32]:
    """The values that become 0 and 255: of 16-bit pixels the full range, of 32-bit ones the picture's own range."""
    if not _deep(picture) or picture.mode.startswith("I;16"):
        return np.float32(0), np.float32(65535)
    low, high = picture.getextrema()
    return np.float32(low), np.float32(high)  # type: ignore[arg-type]  # of a single band


def _deep(picture: Image.Image) -> bool:
    """Whether pixels have 16 or 32 bits."""
    return picture.mode.startswith(("I", "F"))


def _opaque(picture: Image.Image, value_range: tuple[np.float32, np.float32]) -> Image.Image:
    """The picture on a white background, in 8 bits per channel."""
    if _deep(picture):
        value_HW = np.asarray(picture, np.float32)
        if not np.isfinite(value_HW).all():
            raise InputError("the picture has pixels that are not finite numbers; give another")
        low, high = value_range
        span = max(float(high - low), 1e-9)  # a picture of one value becomes black
        return Image.fromarray(((value_HW - low) * 255 / span).round().clip(0, 255).astype(np.uint8))
    if "A" in picture.getbands() or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return picture
