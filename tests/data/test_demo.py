import numpy as np
import pytest

from hw8.base.errors import InputError
from hw8.data.demo import KINDS, demo_images, write_demo
from hw8.data.sources import open_source


def test_files_are_the_homeworks(demo):
    source = open_source(str(demo))
    train, test = source.training(), source.testing()
    assert train.array_NHWC.shape == (400, 64, 64, 3)
    assert test.array_NHWC.shape == (120, 64, 64, 3)
    labels = source.labels(120)
    assert labels is not None
    kinds, counts = np.unique(labels.kind_N, return_counts=True)
    assert dict(zip(kinds.tolist(), counts.tolist(), strict=True)) == {
        "normal": 60, "relit": 15, "displaced": 15, "cartoon": 15, "cat": 15,
    }  # fmt: skip
    assert (labels.label_N == (labels.kind_N != "normal")).all()


@pytest.mark.parametrize("kind", KINDS)
def test_images_are_seeded_and_differ(kind):
    first = demo_images(kind, 25, seed=1)
    np.testing.assert_array_equal(demo_images(kind, 25, seed=1), first)
    assert (demo_images(kind, 25, seed=2) != first).any()
    assert len(np.unique(first.reshape(25, -1), axis=0)) == 25
    assert first.std() > 20, "an image with no contrast is no portrait"


def test_fewer_images_are_the_first_of_more():
    np.testing.assert_array_equal(demo_images("cat", 5, seed=0), demo_images("cat", 20, seed=0)[:5])


def test_generated_once_and_again_for_other_settings(tmp_path):
    folder = tmp_path / "demo"
    write_demo(folder, train=20, test=10)
    stamp = (folder / "trainingset.npy").stat().st_mtime_ns
    write_demo(folder, train=20, test=10)
    assert (folder / "trainingset.npy").stat().st_mtime_ns == stamp
    write_demo(folder, train=24, test=10)
    assert len(np.load(folder / "trainingset.npy")) == 24
    assert [path.name for path in tmp_path.iterdir()] == ["demo"], "nothing is left aside"


def test_what_is_not_demo_data_is_left_alone(tmp_path):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="does not hold demo data"):
        write_demo(tmp_path / "demo", train=20, test=10)
    assert (tmp_path / "demo" / "notes.txt").read_text() == "mine"
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written here"):
        write_demo(tmp_path / "file" / "demo", train=20, test=10)


def test_same_seed_same_bytes(tmp_path):
    first, second = (write_demo(tmp_path / name, train=20, test=10) for name in "ab")
    for name in ("trainingset.npy", "testingset.npy", "testing_labels.csv"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
