import contextlib
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hw8.data import pictures
from hw8.data.pictures import read_picture, read_pictures
from tests.pictures import fill, flat, numbered, scene


@pytest.fixture
def root(tmp_path):
    return tmp_path / "pictures"


def read(path: Path, picture: Image.Image, side: int = 32, crop: pictures.Crop = "centre", **options: object):
    picture.save(path, **options)
    return read_picture(path, side, 3, crop).astype(int)


def turned(orientation: int) -> np.ndarray:
    """The scene as a camera held that way saves it: what the EXIF data say undoes this."""
    rows_HWC = np.asarray(scene())
    if orientation >= 5:
        rows_HWC = rows_HWC.transpose(1, 0, 2)
    down, right = orientation in (3, 4, 6, 7), orientation in (2, 3, 7, 8)
    return rows_HWC[:: -1 if down else 1, :: -1 if right else 1]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["x.jpg", "x.webp", "x.png", "x.tiff"])
def test_pictures_are_turned_as_their_exif_data_say(tmp_path, name, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"x.jpg": {"quality": 95}, "x.webp": {"lossless": True}}.get(name, {})
    image_HWC = read(tmp_path / name, Image.fromarray(turned(orientation)), exif=exif, **options)
    straight = np.asarray(scene().resize((32, 32), Image.Resampling.LANCZOS)).astype(int)
    assert abs(image_HWC - straight).max() < 12


def sixteen(white: bool = False) -> Image.Image:
    """Two thirds of the range of 16 bits on the left, nothing on the right."""
    value_HW = np.zeros((40, 40), np.uint16)
    value_HW[:, :20] = 65535 if white else 43690
    return Image.fromarray(value_HW)


def palette() -> Image.Image:
    """Red on the left, clear on the right, in a palette."""
    picture = Image.new("P", (40, 40), 1)
    picture.putpalette([200, 10, 30, 0, 0, 0])
    picture.paste(0, (0, 0, 20, 40))
    return picture


def halves(mode: str, left: object, right: object) -> Image.Image:
    picture = Image.new(mode, (40, 40), right)
    picture.paste(left, (0, 0, 20, 40))
    return picture


RED_WHITE = [200, 10, 30], [255, 255, 255]


@pytest.mark.parametrize(
    ("name", "picture", "options", "expected"),
    [
        ("cmyk.jpg", halves("CMYK", (55, 245, 225, 0), (0, 0, 0, 0)), {"quality": 95}, RED_WHITE),
        ("sixteen.png", sixteen(), {}, ([170] * 3, [0] * 3)),
        ("sixteen.tif", sixteen(), {}, ([170] * 3, [0] * 3)),
        ("palette.png", palette(), {"transparency": 1}, RED_WHITE),
        ("palette.gif", palette(), {"transparency": 1}, RED_WHITE),
        ("rgba.png", halves("RGBA", (200, 10, 30, 255), (0, 0, 0, 0)), {}, RED_WHITE),
        ("rgba.webp", halves("RGBA", (200, 10, 30, 255), (0, 0, 0, 0)), {"lossless": True}, RED_WHITE),
        ("half.png", halves("RGBA", (0, 0, 0, 128), (0, 0, 0, 255)), {}, ([127] * 3, [0] * 3)),
        ("la.png", halves("LA", (80, 255), (0, 0)), {}, ([80] * 3, [255] * 3)),
        ("bits.png", halves("1", 1, 0), {}, ([255] * 3, [0] * 3)),
        ("grey.jpg", halves("L", 90, 200), {"quality": 95}, ([90] * 3, [200] * 3)),
        ("grey.bmp", halves("L", 90, 200), {}, ([90] * 3, [200] * 3)),
        ("float.tif", Image.fromarray(np.tile(np.float32([-5, 0, 5, 5]), (40, 10))), {}, None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_any_mode_is_read(tmp_path, name, picture, options, expected):
    image_HWC = read(tmp_path / name, picture, side=40, **options)
    left, right = expected or ([0] * 3, [255] * 3)
    columns = (0, 3) if expected is None else (5, 35)
    assert abs(image_HWC[:, columns[0]] - left).max() <= 3
    assert abs(image_HWC[:, columns[1]] - right).max() <= 3


@pytest.mark.parametrize("name", ["x.gif", "x.webp", "x.tiff"])
def test_of_several_frames_the_first_counts(tmp_path, name):
    more = [flat(250, (20, 20)), flat(130, (20, 20))]
    image_HWC = read(tmp_path / name, flat(10, (20, 20)), 8, save_all=True, append_images=more)
    assert abs(image_HWC - [10, 100, 50]).max() < 5


def test_what_becomes_of_a_picture_that_is_not_square(tmp_path):
    wide = Image.new("RGB", (120, 40), (0, 0, 0))
    wide.paste((255, 255, 255), (40, 0, 80, 40))
    centre, pad, stretch = (read(tmp_path / "x.png", wide, 24, crop) for crop in ("centre", "pad", "stretch"))
    assert centre[:, 2:-2].min() > 240
    assert [stretch[12, x, 0] > 128 for x in (3, 12, 20)] == [False, True, False]
    assert [pad[12, x, 0] > 128 for x in (3, 12, 20)] == [False, True, False]
    assert pad[:7].max() == pad[17:].max() == 0, "bars in the colour of the edge"
    framed = Image.new("RGB", (40, 20), (0, 0, 200))
    framed.paste((255, 255, 255), (2, 2, 38, 18))
    assert abs(read(tmp_path / "x.png", framed, 40, "pad")[[0, -1]] - [0, 0, 200]).max() == 0
    assert read(tmp_path / "y.png", Image.new("RGB", (4, 900), (7, 8, 9)), 8, "pad")[0, 0].tolist() == [7, 8, 9]


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.tif"])
@pytest.mark.parametrize("crop", ["centre", "pad", "stretch"])
def test_large_pictures_are_shrunk_on_the_way_without_a_visible_difference(tmp_path, monkeypatch, name, crop):
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (20, 27, 3), np.uint8))
    picture = coarse.resize((823, 602), Image.Resampling.BICUBIC)
    if name == "x.tif":
        picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    monkeypatch.setattr(pictures, "STRIP_PIXELS", 60_000)
    exif = Image.Exif()
    exif[0x0112] = 6
    shrunk = read(tmp_path / name, picture, 64, crop, exif=exif)
    assert shrunk.std() > 20
    with (tmp_path / name).open("rb") as file, Image.open(file) as whole:
        assert abs(shrunk - pictures.resized_to_square(pictures.flattened(whole, 3), 64, crop)).mean() < 2.5


def test_only_a_few_pictures_are_read_ahead_and_none_after_closing(root, monkeypatch):
    names_read = []

    def slow(path: Path, *_: object) -> np.ndarray:
        names_read.append(path.name)
        time.sleep(0.002)
        return np.zeros((8, 8, 3), np.uint8)

    threads = threading.active_count()
    monkeypatch.setattr(pictures, "read_picture", slow)
    with contextlib.closing(read_pictures(root, numbered(500), 8, 3, "centre", 2)) as reading:
        next(reading)
        time.sleep(0.2)
        assert 8 < len(names_read) <= 60
        for _ in range(30):
            next(reading)
        before = len(names_read)
    assert threading.active_count() == threads
    assert len(names_read) <= before + 2, "no more than one per worker"


def test_reading_leaves_the_filters_of_warnings_as_they_are(root):
    before = list(warnings.filters)
    with contextlib.closing(read_pictures(root, fill(root, "a.png", "b.png"), 8, 3, "centre")) as reading:
        next(reading)
        assert warnings.filters == before


def test_large_pictures_are_read_one_at_a_time(root, monkeypatch):
    flattened, now, most = pictures.flattened, [], []

    def slow(*words: object) -> Image.Image:
        now.append(1)
        most.append(len(now))
        time.sleep(0.01)
        now.pop()
        return flattened(*words)

    names = fill(root, *numbered(40))
    monkeypatch.setattr(pictures, "flattened", slow)
    list(read_pictures(root, names, 8, 3, "centre", 4))
    assert max(most) > 1
    most.clear()
    monkeypatch.setattr(pictures, "ALONE_PIXELS", 50)
    list(read_pictures(root, names, 8, 3, "centre", 4))
    assert max(most) == 1
