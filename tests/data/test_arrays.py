import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hw8.base.errors import InputError
from hw8.data.arrays import Images, open_images, to_pixels

GOOD = np.random.default_rng(0).integers(0, 256, (30, 16, 16, 3), np.uint8)


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        open_images(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_opens_memory_mapped_and_reads_rows(array_file):
    images = open_images(array_file(GOOD))
    assert isinstance(images.array_NHWC, np.memmap)
    assert (len(images), images.side, images.channels) == (30, 16, 3)
    np.testing.assert_array_equal(images.read(np.array([7, 3, 7])), GOOD[[7, 3, 7]])


@pytest.mark.parametrize(("crop", "start"), [(16, 0), (10, 3), (7, 4), (4, 6)])
def test_crop_keeps_the_centre(array_file, crop, start):
    images = open_images(array_file(GOOD), crop)
    assert images.side == crop
    window = slice(start, start + crop)
    batch = images.read(np.array([1, 2]))
    np.testing.assert_array_equal(batch, GOOD[1:3, window, window])
    assert batch.flags.c_contiguous


def test_crop_larger_than_the_image_is_refused(array_file):
    with pytest.raises(InputError, match=r"`crop` 17: larger than the 16-pixel images"):
        open_images(array_file(GOOD), 17)


def test_missing_file(tmp_path):
    assert "no such file" in refused(tmp_path / "none.npy")


def test_a_folder_is_no_file(tmp_path):
    assert "cannot be read" in refused(tmp_path)


def test_truncated_file_says_how_many_bytes_are_missing(array_file):
    path = array_file(GOOD)
    size = path.stat().st_size
    os.truncate(path, size - 1000)
    assert f"truncated: {size - 1000:,} bytes of {size:,}" in refused(path)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"ID,score\n0,1\n", b"\x93NUMPY\x01\x00\xff\xff{'descr'"])
def test_not_an_npy_file(tmp_path, content):
    path = tmp_path / "images.npy"
    path.write_bytes(content)
    assert "not a readable .npy file" in refused(path)


def test_claimed_shape_larger_than_the_file_is_truncation(tmp_path):
    path = tmp_path / "images.npy"
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (2**60, 64, 64, 3)}
        np.lib.format.write_array_header_1_0(file, header)
    assert "truncated" in refused(path)


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_object_array_is_never_unpickled(array_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "pickled Python objects" in refused(array_file(np.array([Bomb()], object), allow_pickle=True))
    assert not Path("exploded").exists()


@pytest.mark.parametrize(
    ("array", "description"),
    [
        (
            (GOOD / 255).astype(np.float32),
            "float32 from 0 to 1, expected uint8 0 to 255; if its pixels go from 0 to",
        ),
        (GOOD.astype(np.float64), "float64 from 0 to 255, expected uint8 0 to 255; if its pixels go from 0 to 255,"),
        (
            (GOOD / 127.5 - 1).astype(np.float32),
            "float32 from -1 to 1, expected uint8 0 to 255; if its pixels go ",
        ),
    ],
)
def test_float_arrays_are_named_and_the_given_command_converts_them(array_file, array, description):
    path = array_file(array)
    message = refused(path)
    assert description in message
    command = message.split("convert with ")[1].replace("python", sys.executable, 1)
    subprocess.run(command, shell=True, check=True)
    np.testing.assert_array_equal(open_images(path).array_NHWC, GOOD)
    np.testing.assert_array_equal(np.load(f"{path}.original"), array)


def test_no_conversion_replaces_the_original_of_an_earlier_one(array_file):
    array = (GOOD / 255).astype(np.float32).transpose(0, 3, 1, 2)
    path = array_file(array)
    for _ in range(2):  # to uint8, then to channels last
        command = refused(path).split("convert with ")[1].replace("python", sys.executable, 1)
        subprocess.run(command, shell=True, check=True)
    np.testing.assert_array_equal(open_images(path).array_NHWC, GOOD)
    np.testing.assert_array_equal(np.load(f"{path}.original"), array)
    np.testing.assert_array_equal(np.load(f"{path}.original.original"), GOOD.transpose(0, 3, 1, 2))


def test_the_range_of_floats_is_that_of_all_pixels(array_file):
    array = np.zeros((1000, 32, 32, 3), np.float16)  # more numbers than were once looked at
    array[-1] = np.linspace(0, 255, 32 * 32 * 3).reshape(32, 32, 3)
    assert "float16 from 0 to 255, " in refused(array_file(array))


def test_floats_that_overshoot_are_clipped(array_file):
    path = array_file((GOOD / 255 * 1.1 - 0.05).astype(np.float32))
    message = refused(path)
    assert "float32 from -0.05 to 1.05, expected uint8 0 to 255; if its pixels go from 0 to 1, convert" in message
    command = message.split("convert with ")[1].replace("python", sys.executable, 1)
    subprocess.run(command, shell=True, check=True)
    image_NHWC = open_images(path).array_NHWC
    assert (image_NHWC.min(), image_NHWC.max(), len(np.unique(image_NHWC)) > 200) == (0, 255, True)


@pytest.mark.parametrize("dtype", [np.bool_, np.int64])
def test_masks_become_black_and_white(array_file, dtype):
    path = array_file((GOOD > 100).astype(dtype))
    command = refused(path).split("convert with ")[1].replace("python", sys.executable, 1)
    subprocess.run(command, shell=True, check=True)
    np.testing.assert_array_equal(open_images(path).array_NHWC, np.where(GOOD > 100, 255, 0))


@pytest.mark.parametrize("dtype", [np.complex128, "U3"])
def test_what_holds_no_pixels_gets_no_command(array_file, dtype):
    message = refused(array_file(GOOD.astype(dtype)))
    assert message.endswith("expected uint8; save an array of pixels from 0 to 255")


def test_floats_of_no_known_range(array_file):
    assert "from 0 to 3, expected uint8 0 to 255; rescale" in refused(array_file(np.where(GOOD > 100, 3.0, 0.0)))
    assert "from -400 to 600" in refused(array_file(np.linspace(-400, 600, 768).reshape(1, 16, 16, 3)))


@pytest.mark.parametrize("dtype", [np.int64, np.uint16, np.bool_, np.int8])
def test_other_dtypes(array_file, dtype):
    assert "expected uint8" in refused(array_file(GOOD.astype(dtype)))


def test_arrays_with_nan_or_of_sixteen_bits_say_what_to_do(array_file):
    holes = np.where(np.arange(768) % 7, 0.5, np.nan).reshape(1, 16, 16, 3)
    assert "float64 that holds NaN or infinity; replace those" in refused(array_file(holes))
    wide = refused(array_file(GOOD.astype(np.uint16) * 257))
    assert "if its full range is 0 to 65,535, convert with" in wide
    assert "a / 257" in wide


def test_channels_first_is_named_and_the_given_command_converts_it(array_file):
    path = array_file(np.ascontiguousarray(GOOD.transpose(0, 3, 1, 2)))
    message = refused(path)
    assert "channels come first" in message
    command = message.split("convert with ")[1].replace("python", sys.executable, 1)
    subprocess.run(command, shell=True, check=True)
    # numpy.save keeps the transposed memory layout in Fortran order only if it is one; ours is neither
    np.testing.assert_array_equal(open_images(path).array_NHWC, GOOD)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((0, 16, 16, 3), "holds no images"),
        ((5, 16, 16), "has no channel axis"),
        ((5, 3, 3, 3), "images of 3x3 pixels; at least 4"),
        ((16, 17, 3), "3 dimensions"),
        ((5, 16, 16, 4), "expected (images, side, side, 1 or 3)"),
        ((5, 16, 20, 3), "16x20, not square"),
        ((5, 0, 0, 3), "images of 0x0 pixels"),
    ],
)
def test_wrong_shapes(array_file, shape, words):
    assert words in refused(array_file(np.zeros(shape, np.uint8)))


def test_fortran_order(array_file):
    assert "Fortran order" in refused(array_file(np.asfortranarray(GOOD)))


def test_pixels_are_scaled_to_minus_one_and_one():
    batch = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 1, 1, 3).expand(2, 4, 4, 3)
    x_NCHW = to_pixels(batch)
    assert x_NCHW.shape == (2, 3, 4, 4)
    assert x_NCHW.dtype == torch.float32
    torch.testing.assert_close(x_NCHW[0, :, 0, 0], torch.tensor([-1.0, 2 * 51 / 255 - 1, 1.0]))


def test_pixels_are_channels_last_in_memory():
    assert to_pixels(torch.from_numpy(GOOD)).is_contiguous(memory_format=torch.channels_last)


def test_fingerprint_follows_content_and_shape(array_file):
    first = Images(GOOD).fingerprint()
    assert open_images(array_file(GOOD)).fingerprint() == first
    assert Images(GOOD, crop=8).fingerprint() == first, "the crop is a setting, not the data"
    other = GOOD.copy()
    other[29, 15, 15, 2] ^= 1
    assert Images(other).fingerprint() != first
    assert Images(GOOD[:29]).fingerprint() != first
