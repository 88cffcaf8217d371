import numpy as np
import pytest

from hw8.base.errors import InputError
from hw8.data.arrays import open_images


@pytest.fixture
def cut(tmp_path):
    """One array as a file, and as three numbered files of unlike lengths."""
    whole = np.random.default_rng(0).integers(0, 256, (50, 16, 16, 3), dtype=np.uint8)
    (tmp_path / "one").mkdir()
    (tmp_path / "many").mkdir()
    np.save(tmp_path / "one" / "trainingset.npy", whole)
    for number, part in enumerate(np.split(whole, [7, 8])):
        np.save(tmp_path / "many" / f"trainingset-{number:05d}.npy", part)
    return tmp_path


@pytest.mark.parametrize("crop", [None, 8])
def test_numbered_files_are_one_array(cut, crop):
    one, many = (open_images(cut / name / "trainingset.npy", crop) for name in ("one", "many"))
    assert len(many) == 50
    assert (many.side, many.channels) == (one.side, one.channels)
    rows = np.random.default_rng(1).permutation(50)
    np.testing.assert_array_equal(many.read(rows), one.read(rows))
    np.testing.assert_array_equal(many.read(np.array([], int)), one.read(np.array([], int)))
    assert many.fingerprint() == one.fingerprint(), "the same images, however they are cut"


def test_a_missing_number_is_named(cut):
    (cut / "many" / "trainingset-00001.npy").unlink()
    with pytest.raises(InputError, match=r"trainingset-00001\.npy: is missing among 2 numbered files"):
        open_images(cut / "many" / "trainingset.npy")


def test_parts_of_other_sides_are_refused(cut):
    np.save(cut / "many" / "trainingset-00003.npy", np.zeros((3, 8, 8, 3), np.uint8))
    with pytest.raises(InputError, match="trainingset-00003.npy: images of"):
        open_images(cut / "many" / "trainingset.npy")


def test_a_damaged_part_is_named(cut):
    (cut / "many" / "trainingset-00002.npy").write_bytes(b"no array")
    with pytest.raises(InputError, match=r"trainingset-00002\.npy: not a readable"):
        open_images(cut / "many" / "trainingset.npy")


def test_the_whole_file_comes_first(cut):
    np.save(cut / "many" / "trainingset.npy", np.zeros((4, 16, 16, 3), np.uint8))
    assert len(open_images(cut / "many" / "trainingset.npy")) == 4
