import gzip
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hw8.base.errors import InputError
from hw8.oneclass import files, labelled_set, pictures, sources
from hw8.oneclass.labelled_set import LabelledSet
from hw8.oneclass.sources import fitted, open_labelled, recognised

RNG = np.random.default_rng(0)
FASHION = Path("/usr/share/datasets/fashion-mnist")


def images(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def refused(where: Path | str, side: int | None = None) -> str:
    with pytest.raises(InputError) as caught:
        open_labelled(str(where), side)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def idx(path: Path, array: np.ndarray, *, cut: int | None = None, extra: bytes = b"") -> None:
    head = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
    content = (head + array.tobytes())[:cut] + extra
    (gzip.open if path.suffix == ".gz" else open)(path, "wb").write(content)


def idx_folder(folder: Path, end: str = ".gz") -> tuple[np.ndarray, np.ndarray]:
    train, classes = images(30, 28, 28), np.arange(30, dtype=np.uint8) % 3
    idx(folder / f"train-images-idx3-ubyte{end}", train)
    idx(folder / f"train-labels-idx1-ubyte{end}", classes)
    idx(folder / f"t10k-images-idx3-ubyte{end}", train[:9])
    idx(folder / f"t10k-labels-idx1-ubyte{end}", classes[:9])
    return train, classes


def write_pictures(folder: Path, count: int = 6, colour: bool = False, side: int = 12) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        array = images(side, side, 3) if colour else images(side, side)
        Image.fromarray(array).save(folder / f"{number}.png")


def test_digits_are_cut_by_class():
    source = open_labelled("digits")
    first, again, other = source.cut(0), source.cut(0), source.cut(1)
    np.testing.assert_array_equal(first.test_NHWC, again.test_NHWC)
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()
    assert first.image_NHWC.shape[1:] == (32, 32, 1)
    assert len(first.image_NHWC) + len(first.test_NHWC) == 1797
    assert set(first.test_class_N) == set(range(10))
    assert source.classes() == [str(digit) for digit in range(10)]
    assert source.notes == ("images of 8x8 pixels enlarged to 32x32",)


@pytest.mark.parametrize(
    ("names", "shape"),
    [
        (("x_train", "y_train", "x_test", "y_test"), (32, 32, 3)),
        (("train_images", "train_labels", "test_images", "test_labels"), (28, 28)),
    ],
)
def test_npz_with_both_namings(tmp_path, names, shape):
    train, classes = images(20, *shape), np.arange(20) % 2
    arrays = dict(zip(names, (train, classes[:, None], train[:5], classes[:5, None]), strict=True))
    np.savez_compressed(tmp_path / "my set.npz", **arrays, val_images=train, val_labels=classes)
    source = open_labelled(str(tmp_path / "my set.npz"))
    assert source.name == "my_set"
    assert source.image_NHWC.shape == (20, 32, 32, 3 if len(shape) == 3 else 1)
    assert source.class_N.shape == (20,)
    cut = source.cut(7)
    assert len(cut.test_NHWC) == 5, "its own parts, whatever the seed"
    assert source.literature_name is None
    assert ("val_images" in " ".join(source.notes)) == (names[0] == "train_images")


def test_npz_without_a_test_part_is_cut_by_seed_and_class(tmp_path):
    names = np.repeat(["cat", "dog"], 50)
    np.savez(tmp_path / "a.npz", images=images(100, 32, 32, 3), labels=names)
    source = open_labelled(str(tmp_path / "a.npz"))
    assert source.classes() == ["cat", "dog"]
    cut = source.cut(3)
    assert dict(zip(*np.unique(cut.test_class_N, return_counts=True), strict=True)) == {"cat": 10, "dog": 10}
    assert cut.fingerprint() != source.cut(4).fingerprint()
    np.savez(tmp_path / "b.npz", images=images(12, 32, 32), labels=np.repeat([b"x", b"y"], [10, 2]))
    with pytest.raises(InputError, match="class y has 2 images"):
        open_labelled(str(tmp_path / "b.npz")).cut(0)


def test_names_of_classes_and_files_are_safe_in_a_ledger(tmp_path):
    image_NHWC = np.random.default_rng(0).integers(0, 256, (80, 32, 32, 3), dtype=np.uint8)
    np.savez(tmp_path / "digits.npz", images=image_NHWC, labels=np.repeat(["a\r", "b\r"], 40))
    labelled = open_labelled(str(tmp_path / "digits.npz"))
    assert labelled.classes() == ["a\\r", "b\\r"]
    assert labelled.name == "set", "digits are scikit-learn's, with a preset of their own"


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    (tmp_path / "a.npz").write_text("x")
    with pytest.raises(InputError, match=r"a.npz: is no .npz file; save its arrays with numpy.savez$"):
        open_labelled(str(tmp_path / "a.npz"))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": images(4, 8, 8)}, "it must hold x_train"),
        ({"images": images(4, 8, 8) / 255, "labels": np.arange(4)}, "images is float64; expected uint8"),
        ({"images": images(4, 8, 8, 2), "labels": np.arange(4)}, "has shape (4, 8, 8, 2)"),
        ({"images": images(4, 64), "labels": np.arange(4)}, "has shape (4, 64)"),
        ({"images": images(0, 8, 8), "labels": np.arange(0)}, "some images of at least 4 pixels"),
        ({"images": images(4, 2, 2), "labels": np.arange(4)}, "some images of at least 4 pixels"),
        ({"images": images(4, 8, 8), "labels": np.arange(3)}, "for 4 images; give one class per image"),
        ({"images": images(4, 8, 8), "labels": np.zeros((4, 3), int)}, "give one class per image"),
        ({"images": images(4, 8, 8), "labels": np.linspace(0, 1, 4)}, "labels is float64; save whole numbers or text"),
        ({"images": images(4, 8, 8), "labels": np.zeros(4, int)}, "has 1 class; the one-class protocol needs two"),
        (
            {"images": images(4, 8, 8), "labels": np.array(["a", 1, "b", 2], object)},
            "save plain numbers or text",
        ),
        (
            {"x_train": images(4, 8, 8), "y_train": np.arange(4), "x_test": images(4, 9, 9), "y_test": np.arange(4)},
            "make images alike",
        ),
    ],
)
def test_npz_that_is_refused(tmp_path, arrays, words):
    np.savez(tmp_path / "a.npz", **arrays)
    assert words in refused(tmp_path / "a.npz")


def test_npz_that_is_damaged_or_too_large(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, images=images(40, 8, 8), labels=np.arange(40) % 2)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "cannot be read (" in refused(path)
    path.write_bytes(whole[:200] + bytes(400) + whole[600:])
    assert "cannot be read (" in refused(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:  # claims more than it holds
        head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (9000000000, 28, 28), }\n"
        archive.writestr("images.npy", b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head)
        archive.writestr("labels.npy", b"nothing")
    assert "cannot be read (" in refused(path)
    path.write_bytes(whole)
    monkeypatch.setattr(files, "MAX_BYTES", 2000)
    assert "at most 2,000 are read" in refused(path)
    monkeypatch.undo()
    monkeypatch.setattr(labelled_set, "MAX_BYTES", 40_000)
    assert "lower `side`" in refused(path)
    assert open_labelled(str(path), 16).image_NHWC.shape == (40, 16, 16, 1)


@pytest.mark.parametrize("end", ["", ".gz"])
def test_idx_files(tmp_path, end):
    train, classes = idx_folder(tmp_path, end)
    source = open_labelled(str(tmp_path))
    assert source.image_NHWC.shape == (30, 32, 32, 1)
    np.testing.assert_array_equal(source.image_NHWC[:, 2:-2, 2:-2, 0], train)
    assert source.image_NHWC[:, :2].max() == 0, "padded with zeros"
    np.testing.assert_array_equal(source.class_N, classes)
    assert len(source.cut(0).test_NHWC) == 9


def test_idx_files_that_are_refused(tmp_path):
    train, _ = idx_folder(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    for change, words in (
        ({"cut": -1}, "truncated"),
        ({"cut": 7}, "no IDX file"),
        ({"extra": b"1"}, "longer than its header"),
    ):
        idx(path, train, **change)
        assert words in refused(tmp_path)
    path.write_bytes(gzip.compress(train.tobytes())[:500])
    assert "no IDX file" in refused(tmp_path) or "cannot be read" in refused(tmp_path)
    path.write_bytes(b"plain")
    assert "cannot be read" in refused(tmp_path)
    idx(path, train[:29])
    assert "has shape (30,) for 29 images" in refused(tmp_path)
    with gzip.open(path, "wb") as file:
        file.write(bytes((0, 0, 8, 3)) + np.array((2**31, 2**31, 9), ">u4").tobytes())
    assert "at most" in refused(tmp_path)
    path.unlink()
    assert "no train-images-idx3-ubyte" in refused(tmp_path)


def cifar(folder: Path, per_file: int = 4) -> list[np.ndarray]:
    folder.mkdir(parents=True, exist_ok=True)
    records = [images(per_file, 3073) for _ in range(6)]
    for name, part in zip([f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"], records, strict=True):
        part[:, 0] = np.arange(per_file) % 2
        (folder / f"{name}.bin").write_bytes(part.tobytes())
    return records


@pytest.mark.parametrize("inside", ["", "cifar-10-batches-bin"])
def test_cifar10_binary_files(tmp_path, inside):
    records = cifar(tmp_path / inside)
    source = open_labelled(str(tmp_path))
    assert source.image_NHWC.shape == (20, 32, 32, 3)
    assert source.image_NHWC[5, 3, 7, 2] == records[1][1, 1 + 2 * 1024 + 3 * 32 + 7], "planes become channels"
    assert source.test_class_N is not None
    assert source.test_class_N.tolist() == [0, 1, 0, 1]


def test_cifar10_that_is_refused(tmp_path):
    cifar(tmp_path)
    (tmp_path / "data_batch_3.bin").write_bytes(bytes(3000))
    assert "not a multiple of 3073" in refused(tmp_path)
    (tmp_path / "data_batch_3.bin").unlink()
    assert "data_batch_3.bin: cannot be read" in refused(tmp_path)
    python = tmp_path / "python"
    (python / "cifar-10-batches-py").mkdir(parents=True)
    (python / "cifar-10-batches-py" / "data_batch_1").write_bytes(pickle.dumps({"data": 1}))
    assert "pickled and never loaded; get the binary version" in refused(python)


def test_class_folders_are_cut_and_keep_their_names(tmp_path):
    for name in ("ant", "bee"):
        write_pictures(tmp_path / name, 10)
    (tmp_path / "bee" / "broken.png").write_bytes(b"no picture")
    write_pictures(tmp_path / "stray", 0)
    Image.new("L", (12, 12)).save(tmp_path / "outside.png")
    source = open_labelled(str(tmp_path))
    assert source.classes() == ["ant", "bee"]
    assert source.image_NHWC.shape == (20, 32, 32, 1), "no colours: one channel"
    assert "2 skipped, for instance" in source.notes[0]
    assert len(source.cut(0).test_NHWC) == 4


def test_class_folders_with_parts_of_their_own(tmp_path):
    for part, count in (("train", 6), ("test", 2)):
        for name in ("ant", "bee"):
            write_pictures(tmp_path / part / name, count, colour=True, side=100)
    source = open_labelled(str(tmp_path))
    assert source.image_NHWC.shape == (12, 64, 64, 3), "at most 64 pixels, if no side is asked for"
    assert len(source.cut(0).test_NHWC) == 4
    assert open_labelled(str(tmp_path), 96).image_NHWC.shape[1] == 96
    write_pictures(tmp_path / "val" / "ant", 3)
    source = open_labelled(str(tmp_path))
    assert (source.classes(), len(source.cut(0).test_NHWC)) == (["ant", "bee"], 4)
    assert "3 skipped, for instance" in source.notes[0]
    assert source.notes[0].endswith("neither in train/ nor in test/")


def test_folders_that_are_refused(tmp_path, monkeypatch):
    assert "no such file or folder" in refused(tmp_path / "nothing")
    (tmp_path / "a.txt").write_text("x")
    assert "is no .npz file and no folder" in refused(tmp_path / "a.txt")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no CLASS/ with pictures" in refused(empty)
    write_pictures(tmp_path / "one" / "only")
    assert "has 1 class" in refused(tmp_path / "one")
    write_pictures(tmp_path / "half" / "train" / "a")
    (tmp_path / "half" / "test" / "a").mkdir(parents=True)
    (tmp_path / "half" / "test" / "a" / "0.png").write_bytes(b"no picture")
    assert "no picture of a part can be read" in refused(tmp_path / "half")
    assert "`side` 3: must be" in refused(tmp_path / "one", 3)
    monkeypatch.setattr(labelled_set, "MAX_BYTES", 1000)
    assert "lower `side`" in refused(tmp_path / "one")


def test_sizes():
    grey, colour = images(2, 28, 28), images(2, 28, 28, 3)
    assert fitted(images(2, 32, 32), 32)[1] == ""
    assert "with zeros" in fitted(grey, 32)[1]
    padded, note = fitted(colour, 32)
    np.testing.assert_array_equal(padded[:, 0, 2:-2], colour[:, 0])
    assert "repeating their edge" in note
    assert "enlarged" in fitted(images(2, 16, 16), 32)[1]
    scaled, note = fitted(images(2, 20, 30, 3), 32)
    assert scaled.shape == (2, 32, 32, 3)
    assert "their centre kept" in note
    assert fitted(images(1, 21, 21), 32)[0].shape == (1, 32, 32, 1)


def test_cifar10_is_recognised_by_its_counts():
    many = np.repeat(np.arange(10), 5000)
    train, test = np.zeros((50000, 32, 32, 3), np.uint8), np.zeros((10000, 32, 32, 3), np.uint8)
    assert recognised(LabelledSet(train, many, test, np.repeat(np.arange(10), 1000))) == "cifar10"
    assert recognised(LabelledSet(train, many, test, np.zeros(10000))) is None
    assert recognised(LabelledSet(train, many)) is None
    assert recognised(LabelledSet(train, many, np.zeros((10000, 28, 28), np.uint8), many)) is None


@pytest.mark.skipif(not FASHION.exists(), reason="needs Debian's dataset-fashion-mnist")
def test_fashion_mnist_as_debian_packs_it():
    source = open_labelled(str(FASHION))
    assert (source.name, source.literature_name) == ("fashion-mnist", "fashion-mnist")
    assert source.image_NHWC.shape == (60000, 32, 32, 1)
    assert len(source.cut(0).test_NHWC) == 10000


def test_nothing_here_can_unpickle():
    for module in (files, labelled_set, pictures, sources):
        text = Path(module.__file__).read_text(encoding="utf-8")
        assert "import pickle" not in text
        assert "allow_pickle=True" not in text
