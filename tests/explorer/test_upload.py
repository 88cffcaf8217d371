import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hw8.base.errors import InputError
from hw8.data.pictures import read_picture
from hw8.explorer import upload
from hw8.explorer.upload import read_upload


def file_of(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
    box = io.BytesIO()
    picture.save(box, form, **options)
    return box.getvalue()


def read(content: bytes, side: int, channels: int, name: str = "picture") -> np.ndarray:
    return read_upload(content, name, side, channels)


def gradient(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.linspace(0, 255, width * height).reshape(height, width).astype(np.uint8)).convert("RGB")


@pytest.mark.parametrize("size", [(4, 4), (5, 200), (64, 64), (1000, 10), (640, 480)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_becomes_the_runs_own(size, channels):
    found = read(file_of(gradient(*size)), 32, channels)
    assert found.shape == (32, 32, channels)
    assert found.dtype == np.uint8
    assert found.flags.writeable, "PyTorch warns of others"


def test_the_same_pixels_as_prepare_data_makes(tmp_path):
    for form in ("JPEG", "PNG"):
        content = file_of(gradient(2400, 1800), form)
        (tmp_path / "large").write_bytes(content)
        np.testing.assert_array_equal(read(content, 64, 3), read_picture(tmp_path / "large", 64, 3, "centre"))
    with pytest.raises(InputError, match="under 4 pixels a side"):
        read(file_of(gradient(3, 200)), 32, 3)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16", "I", "F", "YCbCr"])
def test_any_mode_is_read(mode):
    form = "TIFF" if mode in ("CMYK", "F", "I", "YCbCr") else "PNG"
    if mode == "I;16":
        picture = Image.fromarray((np.arange(4096).reshape(64, 64) * 16).astype(np.uint16))
    else:
        picture = gradient(64, 64).convert(mode)
    found = read(file_of(picture, form), 32, 3)
    assert found[:8].mean() < 120 < found[-8:].mean()


@pytest.mark.parametrize("crop", ["centre", "pad", "stretch"])
def test_it_is_cropped_as_the_training_images_were(crop, tmp_path):
    content = file_of(gradient(90, 30))
    (tmp_path / "a.png").write_bytes(content)
    np.testing.assert_array_equal(
        read_upload(content, "a.png", 16, 3, crop), read_picture(tmp_path / "a.png", 16, 3, crop)
    )
    with pytest.raises(InputError, match="there is no crop 'whole'; there are centre, pad, stretch"):
        read_upload(content, "a.png", 16, 3, "whole")


def test_it_is_turned_as_its_exif_data_says():
    picture = gradient(64, 64)
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    straight, turned = (read(file_of(picture, "JPEG", **kw), 16, 3).astype(int) for kw in ({}, {"exif": exif}))
    assert abs(turned[::-1, ::-1] - straight).max() < 12


def test_transparent_parts_are_white_and_the_first_frame_counts():
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert read(file_of(clear), 8, 3).min() == 255
    frames = [Image.new("L", (8, 8), value) for value in (10, 200)]
    content = file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert abs(int(read(content, 8, 3).mean()) - 10) < 3


def test_the_centre_square_is_kept():
    wide = Image.new("L", (300, 100), 0)
    wide.paste(255, (100, 0, 200, 100))
    assert read(file_of(wide), 20, 1)[:, 2:-2].min() >= 250


@pytest.mark.parametrize("content", [b"hello", b"\x89PNG\r\n\x1a\n" + b"\0" * 30, b"%!PS-Adobe", b"GIF89a"])
def test_what_is_no_picture_is_refused(content):
    with pytest.raises(InputError, match="^not a picture; give a PNG"):
        read(content, 32, 3)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.png", b"", "^an empty file$"),
        ("a.png", file_of(gradient(64, 64))[:200], "^damaged; copy the picture anew, or save it again"),
        ("IMG_1.HEIC", b"hello", "^a format that is not read; convert it to PNG or JPEG$"),
        ("a.dng", file_of(gradient(64, 64), "TIFF"), "^a format that is not read; convert it to PNG or JPEG$"),
    ],
)
def test_messages_are_those_of_prepare_data_with_what_to_do(name, content, problem):
    with pytest.raises(InputError, match=problem):
        read(content, 32, 3, name)


def test_bombs_are_refused_before_they_are_decoded(monkeypatch):
    monkeypatch.setattr(upload, "MAX_PIXELS", 1000)
    with pytest.raises(InputError, match="^40 x 40 pixels, over 1,000 together; make the picture smaller"):
        read(file_of(gradient(40, 40)), 32, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match="^over 1,000 pixels"):
        read(file_of(gradient(40, 40)), 32, 3)
    with pytest.raises(InputError, match="not finite numbers"):
        read(file_of(Image.fromarray(np.full((8, 8), np.nan, np.float32)), "TIFF"), 32, 3)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60), st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]))
def test_damaged_files_are_read_or_refused(seed, damage, form):
    rng = np.random.default_rng(seed)
    content = bytearray(file_of(gradient(20, 12), form))
    for place in rng.integers(0, len(content), damage):
        content[place] = rng.integers(256)
    content = bytes(content[: rng.integers(1, len(content) + 1)])
    with contextlib.suppress(InputError):
        assert read(content, 16, 3).shape == (16, 16, 3)
