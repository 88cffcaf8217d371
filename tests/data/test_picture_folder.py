"""Pictures of a folder, or of a list of files, as one array."""

import numpy as np
import pytest
from PIL import Image

import hw8
from hw8.base.errors import InputError
from hw8.data.demo import demo_images


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "more").mkdir()
    for name, image_HWC in zip(("b.png", "a.png", "more/c.png"), demo_images("normal", 3, seed=0), strict=True):
        Image.fromarray(image_HWC).save(tmp_path / name)
    for text in ("notes.txt", "LICENSE"):
        (tmp_path / text).write_text("not a picture")
    return tmp_path


def test_a_folder_is_read_in_the_order_of_its_names(folder):
    images = hw8.read_images(folder)
    assert images.dtype == np.uint8
    normal = demo_images("normal", 3, seed=0)
    np.testing.assert_array_equal(images, normal[[1, 0, 2]])
    assert hw8.read_images(str(folder), side=16, channels=1).shape == (3, 16, 16, 1)


def test_a_list_is_read_in_its_own_order(folder):
    images = hw8.read_images([folder / "b.png", str(folder / "a.png")])
    np.testing.assert_array_equal(images, demo_images("normal", 3, seed=0)[:2])


def test_what_cannot_be_read_is_named(folder):
    (folder / "d.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(InputError, match=r"d\.png: (not a picture|damaged)"):
        hw8.read_images(folder)
    (folder / "d.png").rename(folder / "d.heic")
    with pytest.raises(InputError, match=r"1 skipped, for instance d\.heic: .* convert it to PNG or JPEG"):
        hw8.read_images(folder)
    with pytest.raises(InputError, match=r"a\.png: is a file; give a list of files"):
        hw8.read_images(folder / "a.png")
    with pytest.raises(InputError, match="no pictures to read"):
        hw8.read_images([])
    with pytest.raises(InputError, match="no folder that can be read"):
        hw8.read_images(folder / "gone")


@pytest.mark.parametrize("wrong", [{"side": 0}, {"side": -1}, {"side": 2000}, {"channels": 2}, {"crop": "all"}])
def test_arguments_that_make_no_image_are_refused_before_a_picture_is_read(wrong):
    with pytest.raises(InputError, match="there are `side` 4 to 1024, `channels` 1 or 3, `crop` centre, pad, stretch"):
        hw8.read_images(["none.png"], **wrong)
