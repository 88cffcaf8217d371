"""Broken pictures, for the explorer's upload."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .cases import EITHER, LOADED, REFUSED, Case, flipped, named, randomness, require, writes

FILE = "upload"
SIDE = 32
SMALL = 10_000
BIG = 400 << 20
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")


def read(_: Path, path: Path) -> None:
    """Read as the explorer does, in colour and in grey."""
    from hw8.explorer.upload import read_upload

    content = path.read_bytes()
    for channels in (3, 1) if len(content) < SMALL else (3,):
        found = read_upload(content, SIDE, channels)
        require(found.shape == (SIDE, SIDE, channels) and found.dtype == np.uint8, f"gives {found.dtype} {found.shape}")


def picture(width: int = 24, height: int = 20, mode: str = "RGB") -> Image.Image:
    """A gradient with noise."""
    rng = np.random.default_rng(0)
    value = np.linspace(0, 200, width * height).reshape(height, width, 1) + rng.integers(0, 50, (height, width, 3))
    return Image.fromarray(value.astype(np.uint8)).convert(mode)


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    """The file of a picture."""
    box = io.BytesIO()
    image.save(box, form, **options)
    return box.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file, with its checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, bits: int = 8, colour: int = 2, data: bytes = b"", more: bytes = b"") -> bytes:
    """A PNG file of this header and these packed pixels; `more` are chunks before them."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + more + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def zeros(count: int) -> bytes:
    """So many zero bytes, packed, without ever having them all."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    rest = packer.compress(bytes(count & ((1 << 20) - 1))) + packer.flush()
    # After a full flush a block stands for itself, and so can be repeated. The sum of zeros is 1, that of sums `count`.
    return b"\x78\x01" + block * (count >> 20) + rest + struct.pack(">HH", count % 65521, 1)


def tiff(tags: list[tuple[int, int, int, int]], data: bytes = b"", following: int = 0) -> bytes:
    """A TIFF file of these entries (tag, type, count, value); the data begin at byte 8."""
    place = 8 + len(data)
    entries = b"".join(struct.pack("<HHII", *entry) for entry in sorted(tags))
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)
    return b"II*\0" + struct.pack("<I", place) + data + directory


def grey_tiff(width: int, height: int, data: bytes, *more: tuple[int, int, int, int]) -> bytes:
    """A grey TIFF of one strip; `more` entries replace its own."""
    own = {
        256: (256, 4, 1, width),
        257: (257, 4, 1, height),
        258: (258, 3, 1, 8),
        259: (259, 3, 1, 1),
        262: (262, 3, 1, 1),
        273: (273, 4, 1, 8),
        277: (277, 3, 1, 1),
        278: (278, 4, 1, height),
        279: (279, 4, 1, len(data)),
    }
    return tiff(list((own | {entry[0]: entry for entry in more}).values()), data)


def picture_cases() -> Iterator[Case]:
    """All cases of a picture."""
    for form in FORMATS:
        good = encoded(picture(), form)
        yield _of(f"{form}: as it should be", good, LOADED)
        for number in range(16):
            yield _of(f"{form}: bits turned, {number}", flipped(good, f"{form} {number}", 1 + number % 4), EITHER)
        for number in range(6):
            yield _of(
                f"{form}: bits turned at the start, {number}", flipped(good, f"{form} start {number}", 1, 0, 60), EITHER
            )
        for number in range(8):
            cut = int(randomness(f"{form} cut {number}").integers(1, len(good)))
            yield _of(f"{form}: the first {cut} bytes, {number}", good[:cut], EITHER)
        yield _of(f"{form}: the last byte is missing", good[:-1], EITHER)
        yield _of(f"{form}: bytes after it", good + b"x" * 1000, EITHER)
        yield _of(f"{form}: twice itself", good + good, EITHER)
        yield _of(f"{form}: a byte before it", b"x" + good)
    yield from named("mode: ", _modes())
    yield from named("bomb: ", _bombs())
    yield from named("PNG: ", _pngs())
    yield from named("TIFF: ", _tiffs())
    yield from named("GIF: ", _gifs())
    yield from named("other: ", _others())


def _of(name: str, content: bytes | Callable[[], bytes], expected: str = REFUSED) -> Case:
    return Case(name, writes(FILE, content), expected)


def _modes() -> Iterator[Case]:
    for mode, form in (
        ("1", "PNG"),
        ("L", "PNG"),
        ("LA", "PNG"),
        ("P", "PNG"),
        ("RGBA", "PNG"),
        ("CMYK", "TIFF"),
        ("CMYK", "JPEG"),
        ("L", "JPEG"),
        ("YCbCr", "JPEG"),
        ("RGBA", "WEBP"),
        ("P", "GIF"),
        ("1", "BMP"),
        ("1", "TIFF"),
        ("LAB", "TIFF"),
        ("RGBA", "TIFF"),
        ("LA", "TIFF"),
        ("YCbCr", "TIFF"),
        ("RGBX", "TIFF"),
        ("I", "TIFF"),
        ("F", "TIFF"),
        ("RGBA", "BMP"),
        ("1", "PPM"),
    ):
        source = picture() if mode != "LAB" else None
        image = Image.new("LAB", (24, 20), (128, 10, 10)) if source is None else source.convert(mode)
        yield _of(f"{mode} in {form}", encoded(image, form), EITHER if mode in ("LAB", "RGBX") else LOADED)
    deep = Image.fromarray((np.arange(480).reshape(20, 24) * 100).astype(np.uint16))
    for form in ("PNG", "TIFF"):
        yield _of(f"16 bits in {form}", encoded(deep, form), LOADED)
    yield _of("16 bits, big-endian, in TIFF", encoded(deep.convert("I;16B"), "TIFF"), LOADED)
    for value in (np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 0.0, 1e-45):
        floats = Image.fromarray(np.full((20, 24), value, np.float32))
        yield _of(f"every pixel {value}", encoded(floats, "TIFF"), LOADED if np.isfinite(value) else REFUSED)
    wide = np.full((20, 24), 3.4e38, np.float32)
    wide[0] = -3.4e38
    yield _of("from -3.4e38 to 3.4e38", encoded(Image.fromarray(wide), "TIFF"), EITHER)
    clear = picture(mode="P")
    yield _of("a palette with a clear colour", encoded(clear, "PNG", transparency=3), LOADED)
    yield _of("a palette of clear colours", encoded(clear, "PNG", transparency=bytes(256)), LOADED)
    yield _of("grey with a clear shade", encoded(picture(mode="L"), "PNG", transparency=3), LOADED)
    yield _of("16 bits with a clear shade", encoded(deep, "PNG", transparency=3), EITHER)
    yield _of("colour with a clear one", encoded(picture(), "PNG", transparency=(1, 2, 3)), LOADED)
    for turn in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 65535):
        exif = Image.Exif()
        exif[0x0112] = turn
        for form in ("JPEG", "PNG", "WEBP", "TIFF"):
            yield _of(f"turned by EXIF {turn} in {form}", encoded(picture(), form, exif=exif), LOADED)
    for number, exif in enumerate(
        (
            b"",
            b"Exif\0\0",
            b"Exif\0\0II*\0\xff\xff\xff\xff",
            b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01" * 200,
            b"Exif\0\0" + randomness("exif").bytes(300),
            b"\0" * 60000,
        )
    ):
        yield _of(f"broken EXIF {number} in JPEG", encoded(picture(), "JPEG", exif=exif), EITHER)
        yield _of(f"broken EXIF {number} in PNG", encoded(picture(), "PNG", exif=exif or b"x"), EITHER)
    for number, profile in enumerate((b"x", b"\0" * 128, randomness("profile").bytes(5000))):
        yield _of(f"broken colour profile {number}", encoded(picture(), "JPEG", icc_profile=profile), EITHER)
    for name, size in {"a line": (3000, 1), "a column": (1, 3000), "one pixel": (1, 1)}.items():
        for form in FORMATS:
            yield _of(f"{name} in {form}", encoded(picture(*size), form), LOADED)
    frames = [picture().point(lambda value, n=number: value // (n + 1)) for number in range(4)]
    for form in ("GIF", "WEBP", "PNG", "TIFF"):
        yield _of(f"moving, in {form}", encoded(frames[0], form, save_all=True, append_images=frames[1:]), LOADED)


def _bombs() -> Iterator[Case]:
    """Small files that unpack to more than they should, and files just small enough, for which memory must do."""
    for side in (5001, 10_000, 50_000, 2**31 - 1):
        yield _of(f"PNG that says {side:,} a side", png(side, side))
    yield _of("PNG of 5,000 a side, in truth", lambda: png(5000, 5000, 8, 0, zeros(5000 * 5001)), LOADED)
    yield _of("PNG of 5,000 a side, coloured", lambda: png(5000, 5000, 8, 2, zeros(5000 * 15_001)), LOADED)
    yield _of("PNG of 5,000 a side, clear", lambda: png(5000, 5000, 8, 6, zeros(5000 * 20_001)), LOADED)
    yield _of("PNG of 5,000 a side, of 16 bits", lambda: png(5000, 5000, 16, 0, zeros(5000 * 10_001)), LOADED)
    yield _of("PNG of 25,000,000 in a column", lambda: png(1, 25_000_000, 8, 0, zeros(50_000_000)), LOADED)
    yield _of("PNG whose pixels go on for 400 megabytes", lambda: png(20, 20, 8, 0, zeros(BIG)), EITHER)
    yield _of(
        "PNG whose text unpacks to 400 megabytes",
        lambda: png(20, 20, 8, 0, zeros(420), _text_bomb(b"zTXt", b"a\0\0")),
        EITHER,
    )
    yield _of(
        "PNG whose international text does",
        lambda: png(20, 20, 8, 0, zeros(420), _text_bomb(b"iTXt", b"a\0\1\0\0\0")),
        EITHER,
    )
    yield _of(
        "PNG whose colour profile does", lambda: png(20, 20, 8, 0, zeros(420), _text_bomb(b"iCCP", b"a\0\0")), EITHER
    )
    yield _of("PNG of 100,000 texts", lambda: png(20, 20, 8, 0, zeros(420), chunk(b"tEXt", b"a\0b") * 100_000), EITHER)
    yield _of(
        "PNG of 20 megabytes of text",
        lambda: png(20, 20, 8, 0, zeros(420), chunk(b"tEXt", b"a\0" + b"b" * 19_000_000)),
        EITHER,
    )
    yield _of("a file of 21 megabytes", bytes(21_000_000))
    yield _of("a file of 19 megabytes of zeros", bytes(19_000_000))
    yield _of("TIFF that says 50,000 a side", grey_tiff(50_000, 50_000, b""))
    yield _of("TIFF that says 2**31 a side", grey_tiff(2**31, 2**31, b""))
    yield _of("TIFF of 5,000 a side, packed", lambda: grey_tiff(5000, 5000, zeros(25_000_000), (259, 3, 1, 8)), EITHER)
    yield _of("TIFF of 5,000 a side in floats", lambda: _float_tiff(5000), EITHER)
    yield _of(
        "TIFF whose strip unpacks to 400 megabytes", lambda: grey_tiff(20, 20, zeros(BIG), (259, 3, 1, 8)), EITHER
    )
    yield _of(
        "TIFF of one row that unpacks to 400 megabytes",
        lambda: grey_tiff(20, 1, zeros(BIG), (259, 3, 1, 32946)),
        EITHER,
    )
    yield _of("GIF that says 65,535 a side", _gif(65_535, 65_535, 1, 1))
    yield _of("GIF of a frame of 65,535 a side", _gif(1, 1, 65_535, 65_535))
    yield _of("GIF of a frame of 5,000 a side", _gif(1, 1, 5000, 5000), EITHER)
    yield _of("BMP that says 50,000 a side", _bmp(50_000, 50_000))
    yield _of("BMP that says 5,000 a side", _bmp(5000, 5000), EITHER)
    yield _of("WebP that says 16,384 a side", _webp(16_384, 16_384))
    yield _of("WebP that says 5,000 a side", _webp(5000, 5000), EITHER)
    yield _of("JPEG that says 65,535 a side", _resized_jpeg(65_535, 65_535))
    yield _of("JPEG that says 5,000 a side", _resized_jpeg(5000, 5000), EITHER)
    yield _of("PPM that says 99,999 a side", b"P6 99999 99999 255\n" + bytes(100))
    yield _of("PPM that says 5,000 a side", b"P6 5000 5000 255\n" + bytes(100), EITHER)
    yield _of("plain PPM of 5,000 a side", b"P1 5000 5000\n" + b"1 " * 1000, EITHER)


def _text_bomb(name: bytes, start: bytes) -> bytes:
    return chunk(name, start + zeros(BIG))


def _float_tiff(side: int) -> bytes:
    return grey_tiff(side, side, zeros(4 * side * side), (259, 3, 1, 8), (258, 3, 1, 32), (339, 3, 1, 3))


def _gif(width: int, height: int, frame_width: int, frame_height: int) -> bytes:
    screen = struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    return (
        b"GIF89a" + screen + b"," + struct.pack("<HHHHB", 0, 0, frame_width, frame_height, 0) + b"\x02\x02\x44\x01\0;"
    )


def _bmp(width: int, height: int, bits: int = 24, compression: int = 0, colours: int = 0, data: bytes = b"") -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, colours, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(data), 0, 0, 54) + info + data


def _webp(width: int, height: int) -> bytes:
    bits = (width - 1) | (height - 1) << 14
    data = b"\x2f" + struct.pack("<I", bits) + bytes(20)
    part = b"VP8L" + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(part)) + b"WEBP" + part


def _resized_jpeg(width: int, height: int) -> bytes:
    content = bytearray(encoded(picture(), "JPEG"))
    place = content.find(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(content)


def _pngs() -> Iterator[Case]:
    good = zlib.compress(bytes(20 * 61))
    for width, height in ((0, 0), (0, 20), (20, 0), (2**31, 20), (2**32 - 1, 1)):
        yield _of(f"{width} x {height}", png(width, height, data=good))
    for bits in (0, 1, 3, 7, 16, 32, 255):
        for colour in (0, 1, 2, 3, 4, 5, 6, 7, 255):
            yield _of(f"{bits} bits, colour type {colour}", png(20, 20, bits, colour, good), EITHER)
    yield _of("no pixels", png(20, 20), EITHER)
    yield _of("too few pixels", png(20, 20, data=zlib.compress(bytes(100))), EITHER)
    yield _of("pixels that are not packed", png(20, 20, data=b"x" * 1000), EITHER)
    yield _of("an unknown filter", png(20, 20, data=zlib.compress(b"\xff" * 1220)), EITHER)
    yield _of("a palette too short", png(20, 20, 8, 3, zlib.compress(b"\xff" * 420), chunk(b"PLTE", b"abc")), EITHER)
    yield _of(
        "a palette of half a colour", png(20, 20, 8, 3, zlib.compress(bytes(420)), chunk(b"PLTE", b"abcd")), EITHER
    )
    yield _of("no palette", png(20, 20, 8, 3, zlib.compress(bytes(420))), EITHER)
    yield _of(
        "two headers", png(20, 20, data=good, more=chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 0))), EITHER
    )
    yield _of("a chunk of 2**31 bytes", png(20, 20, more=struct.pack(">I", 2**31) + b"tEXt"), EITHER)
    yield _of("a wrong checksum", png(20, 20, data=good)[:-14] + b"xxxx" + png(20, 20, data=good)[-10:], EITHER)
    yield _of("no header", b"\x89PNG\r\n\x1a\n" + chunk(b"IDAT", good) + chunk(b"IEND", b""))
    yield _of("an end at once", b"\x89PNG\r\n\x1a\n" + chunk(b"IEND", b""))
    yield _of(
        "frames without a number", png(20, 20, data=good, more=chunk(b"acTL", struct.pack(">II", 2**31, 0))), EITHER
    )
    yield _of(
        "a frame larger than itself",
        png(
            20,
            20,
            data=good,
            more=chunk(b"acTL", struct.pack(">II", 1, 0))
            + chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 5000, 5000, 0, 0, 1, 1, 0, 0)),
        ),
        EITHER,
    )


def _tiffs() -> Iterator[Case]:
    pixels = bytes(400)
    yield _of("made by hand", grey_tiff(20, 20, pixels), LOADED)
    for width, height in ((0, 0), (0, 20), (20, 0), (2**32 - 1, 1), (20, 21)):
        yield _of(f"{width} x {height}", grey_tiff(width, height, pixels), EITHER if height == 21 else REFUSED)
    entries = {
        "no entries": tiff([]),
        "a directory in itself": tiff([(256, 4, 1, 20), (257, 4, 1, 20)], b"", 8),
        "a directory beyond the end": b"II*\0\xff\xff\xff\xff",
        "a directory of 65,535 entries": b"II*\0\x08\0\0\0\xff\xff" + bytes(100),
        "BigTIFF": b"II+\0\x08\0\0\0" + struct.pack("<Q", 16) + struct.pack("<Q", 2**62),
        "a width of 2**31 numbers": grey_tiff(20, 20, pixels, (256, 4, 2**31, 8)),
        "a width of a text": grey_tiff(20, 20, pixels, (256, 2, 4, 0x41414141)),
        "a width of no type": grey_tiff(20, 20, pixels, (256, 99, 1, 20)),
        "a width of two numbers": grey_tiff(20, 20, pixels, (256, 3, 2, 20)),
        "2**32 - 1 bits": grey_tiff(20, 20, pixels, (258, 4, 1, 2**32 - 1)),
        "65,535 samples": grey_tiff(20, 20, pixels, (277, 3, 1, 65535)),
        "no samples": grey_tiff(20, 20, pixels, (277, 3, 1, 0)),
        "an unknown packing": grey_tiff(20, 20, pixels, (259, 3, 1, 12345)),
        "JPEG inside that is none": grey_tiff(20, 20, pixels, (259, 3, 1, 7)),
        "LZW that is none": grey_tiff(20, 20, pixels, (259, 3, 1, 5)),
        "fax that is none": grey_tiff(20, 20, pixels, (259, 3, 1, 4), (258, 3, 1, 1)),
        "PackBits that is none": grey_tiff(20, 20, pixels, (259, 3, 1, 32773)),
        "Zstandard that is none": grey_tiff(20, 20, pixels, (259, 3, 1, 50000)),
        "LZMA that is none": grey_tiff(20, 20, pixels, (259, 3, 1, 34925)),
        "WebP that is none": grey_tiff(20, 20, pixels, (259, 3, 1, 50001)),
        "strips of no rows": grey_tiff(20, 20, pixels, (278, 4, 1, 0)),
        "a strip beyond the end": grey_tiff(20, 20, pixels, (273, 4, 1, 2**31)),
        "a strip of 2**32 - 1 bytes": grey_tiff(20, 20, pixels, (279, 4, 1, 2**32 - 1)),
        "2**31 strips": grey_tiff(20, 20, pixels, (273, 4, 2**31, 8)),
        "tiles of 2**31": grey_tiff(20, 20, pixels, (322, 4, 1, 2**31), (323, 4, 1, 2**31), (324, 4, 1, 8)),
        "tiles of nothing": grey_tiff(20, 20, pixels, (322, 4, 1, 0), (323, 4, 1, 0), (324, 4, 1, 8)),
        "a palette without colours": grey_tiff(20, 20, pixels, (262, 3, 1, 3)),
        "Lab": grey_tiff(20, 20, pixels * 3, (262, 3, 1, 8), (277, 3, 1, 3), (258, 3, 1, 8)),
        "YCbCr": grey_tiff(20, 20, pixels * 3, (262, 3, 1, 6), (277, 3, 1, 3), (258, 3, 1, 8)),
        "CMYK": grey_tiff(20, 20, pixels * 4, (262, 3, 1, 5), (277, 3, 1, 4), (258, 3, 1, 8)),
        "an unknown colour space": grey_tiff(20, 20, pixels, (262, 3, 1, 99)),
        "in planes": grey_tiff(20, 20, pixels, (284, 3, 1, 2)),
        "bits from the right": grey_tiff(20, 20, pixels, (266, 3, 1, 2)),
        "12 bits": grey_tiff(20, 20, pixels * 2, (258, 3, 1, 12)),
        "16 bits with a sign": grey_tiff(20, 20, pixels * 2, (258, 3, 1, 16), (339, 3, 1, 2)),
        "32 bits": grey_tiff(20, 20, pixels * 4, (258, 3, 1, 32)),
        "32 bits with a sign": grey_tiff(20, 20, pixels * 4, (258, 3, 1, 32), (339, 3, 1, 2)),
        "64 bits": grey_tiff(20, 20, pixels * 8, (258, 3, 1, 64), (339, 3, 1, 3)),
        "complex": grey_tiff(20, 20, pixels * 8, (258, 3, 1, 64), (339, 3, 1, 6)),
        "white is zero": grey_tiff(20, 20, pixels, (262, 3, 1, 0)),
        "EXIF in itself": grey_tiff(20, 20, pixels, (34665, 4, 1, 408)),
        "turned twice": grey_tiff(20, 20, pixels, (274, 3, 2, 6)),
        "turned by a text": grey_tiff(20, 20, pixels, (274, 2, 4, 0x36363636)),
    }
    for name, content in entries.items():
        yield _of(name, content, EITHER)


def _gifs() -> Iterator[Case]:
    for width, height in ((0, 0), (0, 20), (20, 0)):
        yield _of(f"a screen of {width} x {height}", _gif(width, height, 1, 1), EITHER)
        yield _of(f"a frame of {width} x {height}", _gif(20, 20, width, height), EITHER)
    yield _of("no frame", b"GIF89a" + struct.pack("<HHBBB", 20, 20, 0, 0, 0) + b";", EITHER)
    yield _of(
        "a remark of a megabyte",
        b"GIF89a" + struct.pack("<HHBBB", 20, 20, 0, 0, 0) + b"!\xfe" + (b"\xff" + b"x" * 255) * 4000 + b"\0;",
    )
    yield _of(
        "an extension without an end", b"GIF89a" + struct.pack("<HHBBB", 20, 20, 0, 0, 0) + b"!\xff\x0bNETSCAPE2.0"
    )
    yield _of("10,000 frames", lambda: _gif(20, 20, 1, 1)[:-1] + _gif(20, 20, 1, 1)[19:-1] * 10_000 + b";", EITHER)
    for code in (0, 1, 12, 13, 255):
        content = bytearray(_gif(20, 20, 20, 20))
        content[29] = code
        yield _of(f"codes of {code} bits", bytes(content), EITHER)


def _others() -> Iterator[Case]:
    texts: dict[str, bytes] = {
        "empty": b"",
        "text": b"hello",
        "a zero byte": b"\0",
        "zeros": bytes(1000),
        "noise": randomness("picture").bytes(5000),
        "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(touch canary) system\n",
        "PDF": b"%PDF-1.7\n" + bytes(100),
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "HTML": b"<html><script>1</script>",
        "an icon": encoded(picture(32, 32), "ICO"),
        "JPEG 2000": encoded(picture(), "JPEG2000"),
        "TGA": encoded(picture(), "TGA"),
        "PCX": encoded(picture(), "PCX"),
        "SGI": encoded(picture(), "SGI"),
        "MPO": encoded(picture(), "MPO", save_all=True),
        "DDS": encoded(picture(), "DDS"),
        "a pickle": b"\x80\x04cos\nsystem\n",
        "a zip file": b"PK\x03\x04" + bytes(100),
        "an array": b"\x93NUMPY\x01\0" + bytes(100),
        "AVIF": b"\0\0\0 ftypavif" + bytes(100),
        "Windows metafile": b"\xd7\xcd\xc6\x9a" + bytes(100),
        "a FITS file": b"SIMPLE  =                    T" + b" " * 2900,
    }
    for name, content in texts.items():
        yield _of(name, content, EITHER if name == "MPO" else REFUSED)
    for header in (
        "P6 0 0 255\n",
        "P6 20 0 255\n",
        "P5 20 20 0\n",
        "P5 20 20 65536\n",
        "P5 20 20 99999999999\n",
        "P6 -20 20 255\n",
        "P6 2e1 20 255\n",
        "P6 " + "9" * 5000 + " 20 255\n",
        "P7\nWIDTH 20\nHEIGHT 20\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n",
        "Pf 20 20 -1\n",
        "Pf 20 20 nan\n",
        "PF 20 20 0\n",
        "Pf 20 20 1e400\n",
        "P9 20 20 255\n",
        "P6 # " + "x" * 10_000 + "\n20 20 255\n",
        "P3 20 20 255\n300 ",
        "P2 2 2 255\n-1 a 9 9\n",
    ):
        yield _of(f"{header[:20]!a}", header.encode() + randomness(header).bytes(2000), EITHER)
    for bits in (0, 1, 2, 4, 8, 16, 24, 32, 64):
        for compression in (0, 1, 2, 3, 4, 6):
            yield _of(
                f"BMP of {bits} bits, packing {compression}", _bmp(20, 20, bits, compression, 0, bytes(3000)), EITHER
            )
    for width, height in ((0, 0), (0, 20), (20, 0), (-20, 20), (20, -20), (20, -(2**31)), (2**31 - 1, 1)):
        yield _of(f"BMP of {width} x {height}", _bmp(width, height, data=bytes(3000)), EITHER)
    yield _of("BMP of 2**31 colours", _bmp(20, 20, 8, 0, 2**31, bytes(3000)), EITHER)
    for size in (0, 12, 16, 41, 108, 124, 2**31):
        content = bytearray(_bmp(20, 20, data=bytes(3000)))
        content[14:18] = struct.pack("<I", size)
        yield _of(f"BMP with a header of {size} bytes", bytes(content), EITHER)
