import csv
import dataclasses
import io
import os
import signal
import struct
import subprocess
import sys
import time
import unicodedata
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hw8.base.errors import InputError, Interrupted
from hw8.base.lock import locked
from hw8.config.presets import changed, load_preset
from hw8.data import pictures
from hw8.data.arrays import open_images
from hw8.data.labels import read_labels
from hw8.data.picture_folder import LINK_OUT
from hw8.data.pictures import read_picture, resized_to_square
from hw8.prepare.files import FILES
from hw8.prepare.folder import prepare, report
from hw8.prepare.settings import Preparation
from hw8.runs.predict import predict
from hw8.runs.train import train_run
from tests.pictures import fill, flat, numbered, scene

SCRIPT = Path(__file__).parents[2] / "scripts" / "prepare_data.py"
QUICK = Preparation(side=8)
LOST = "in no folder of the layout: normal pictures belong in normal/, anomalies in anomaly/KIND/"
LISTS = {"training_files.csv", "testing_files.csv", "prepared.json"}  # beside every array file


def reds(out: Path, name: str = "trainingset.npy") -> list[int]:
    return open_images(out / name).array_NHWC[:, 4, 4, 0].tolist()


def held(out: Path) -> set[str]:
    return {path.name for path in out.iterdir()} - LISTS if out.exists() else set()


def refused(images: Path, out: Path, settings: Preparation = QUICK) -> str:
    before = held(out)
    with pytest.raises(InputError) as caught:
        prepare(images, out, settings)
    assert held(out) == before, "a refusal leaves nothing behind"
    assert "\n" not in str(caught.value)
    return str(caught.value)


def skipped(out: Path) -> dict[str, str]:
    with (out / "skipped.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["file", "reason"]
    return dict(rows)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "pictures"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def labelled(root: Path) -> None:
    """Thirty normal pictures (red 0 to 29) and anomalies of two kinds (100 to 103, 200 and 201)."""
    fill(root, *numbered(30, "normal/{:03d}.png"))
    fill(root, *numbered(4, "anomaly/cat/{:03d}.png"), start=100)
    fill(root, *numbered(2, "anomaly/dog/deep/{:03d}.png"), start=200)


def true_kinds(out: Path) -> None:
    """Check that every test image has the label and kind that its red stands for."""
    labels = read_labels(out / "testing_labels.csv", len(open_images(out / "testingset.npy")))
    for red, label, kind in zip(reds(out, "testingset.npy"), labels.label_N, labels.kind_N, strict=True):
        assert (label, kind) == ((0, "normal") if red < 100 else (1, "cat" if red < 200 else "dog"))


# Layouts


def test_a_plain_folder_is_training_data_in_the_order_of_names(root, out):
    fill(root, *numbered(22), "sub/b.png", "sub/a/deeper/x.png", "sub/a.png")
    parts = prepare(root, out, QUICK)
    assert held(out) == {"trainingset.npy"}
    assert reds(out) == [*range(22), 23, 24, 22]  # sub/a/, sub/a.png, sub/b.png
    assert open_images(out / "trainingset.npy").array_NHWC.shape == (25, 8, 8, 3)
    assert (len(parts.training), len(parts.testing)) == (25, 0)
    assert "Test set: none" in report(parts, out, QUICK)


def test_a_plain_folder_holds_pictures_back_only_if_told_to(root, out):
    fill(root, *numbered(40))
    parts = prepare(root, out, Preparation(side=8, test_share=0.25))
    assert held(out) == {"trainingset.npy", "testingset.npy"}
    assert len(reds(out, "testingset.npy")) == 10
    assert sorted(reds(out) + reds(out, "testingset.npy")) == list(range(40))
    assert "testingset.npy (10 images: no labels)" in report(parts, out, QUICK)


def test_folders_of_normal_pictures_and_of_anomalies(root, out):
    labelled(root)
    fill(root, "anomaly/cat/sub/x.png", start=150)
    fill(root, "elsewhere/x.png", "top.png")
    parts = prepare(root, out, QUICK)
    true_kinds(out)
    assert "testing_labels.csv (13 images: 6 normal, 5 cat, 2 dog)" in report(parts, out, QUICK)
    assert (len(parts.training), len(parts.testing)) == (24, 13)
    assert parts.kinds == {"normal": 6, "cat": 5, "dog": 2}
    assert skipped(out) == dict.fromkeys(["elsewhere/x.png", "top.png"], LOST)
    assert "Held out: 6 normal pictures for the test set, which had none of its own" in report(parts, out, QUICK)
    test = reds(out, "testingset.npy")
    assert sorted(reds(out) + [red for red in test if red < 100]) == list(range(30))
    assert test != sorted(test), "the order is shuffled"


@pytest.mark.parametrize("normal", ["good", "NORMAL"])
def test_folders_beside_the_normal_one_are_kinds_of_anomaly(root, out, normal):
    fill(root, *numbered(30, f"{normal}/{{:03d}}.png"), "bad/x.png", "scratch/deep/y.png")
    fill(root, "ground_truth/z.png", "val/w.png", "top.png", start=100)
    parts = prepare(root, out, QUICK)
    assert parts.kinds == {"normal": 6, "bad": 1, "scratch": 1}
    assert skipped(out).keys() == {"ground_truth/z.png", "val/w.png", "top.png"}


def test_pictures_of_twelve_bits_in_files_of_sixteen_are_pointed_out(root, out):
    root.mkdir()
    for number in range(30):
        pixels_HW = np.random.default_rng(number).integers(0, 4096, (8, 8)).astype(np.uint16)
        Image.fromarray(pixels_HW).save(root / f"{number}.png")
    assert "no pixel is above level 16 of 255; if the pictures have" in report(prepare(root, out, QUICK), out, QUICK)


def test_normal_and_anomalous_folders_one_level_deeper_are_not_all_normal(root, out):
    fill(root, *numbered(30, "data/normal/{:03d}.png"), "data/anomaly/x.png")
    assert refused(root, out).endswith(f"folders of normal pictures and of others; give {root / 'data'}")
    fill(root.parent / "b", *numbered(30, "x/y/Good/{:03d}.png"), "x/y/hole/x.png")
    assert refused(root.parent / "b", out).endswith(
        f"all pictures are in x/y/, which has folders of normal pictures "
        f"and of others; give {root.parent / 'b' / 'x' / 'y'}"
    )
    fill(root.parent / "c", *numbered(30, "set/train/good/{:03d}.png"), "set/test/hole/x.png")
    assert refused(root.parent / "c", out).endswith(f"give {root.parent / 'c' / 'set'}")


def test_one_folder_of_normal_pictures_in_another_is_a_plain_one(root, out):
    fill(root, *numbered(30, "data/normal/{:03d}.png"))
    parts = prepare(root, out, QUICK)
    assert (len(parts.training), parts.warnings) == (30, ())


def test_folders_that_are_all_taken_as_normal_are_named(root, out):
    fill(root, *numbered(30, "front/{:03d}.png"), "back/x.png", "y.png")
    line = report(prepare(root, out, QUICK), out, QUICK)
    assert "Warning:  3 folders are all taken as normal (back 1, front 30, . 1); if some hold anomalies, move" in line


@pytest.mark.parametrize(
    ("normal", "anomalous"),
    [
        ("OK", "NG"), ("Defect-free", "hole"), ("Negative", "positive"), ("正常", "異常"), ("intact", "damaged"),
        ("normals", "defects"), ("good_parts", "bad_parts"), ("Normal images", "defect-images"),
    ],
)  # fmt: skip
def test_normal_pictures_have_many_names(root, out, normal, anomalous):
    fill(root, *numbered(30, f"{normal}/{{:03d}}.png"), f"{anomalous}/x.png")
    assert prepare(root, out, QUICK).kinds == {"normal": 6, anomalous: 1}


@pytest.mark.parametrize(
    "name",
    [
        "Damaged",
        "outliers",
        "outlier",
        "Positive",
        "hole",
        "not OK",
        "異常",
        "瑕疵",
        "不良",
        "test_images",
        "NG photos",
    ],
)
def test_anomalies_have_many_names(root, out, name):
    fill(root, *numbered(30, "pictures/{:03d}.png"), f"{name}/x.png")
    assert "also 1 in folders named " in refused(root, out)


def test_an_anomaly_in_no_folder_of_a_kind_is_an_anomaly(root, out):
    fill(root, *numbered(30, "normal/{:03d}.png"), "anomaly/x.png")
    assert prepare(root, out, QUICK).kinds == {"normal": 6, "anomaly": 1}


def test_the_seed_decides_the_split_and_the_order(root, tmp_path):
    labelled(root)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        prepare(root, tmp_path / name, Preparation(side=8, seed=seed))
    whole = {name: [(tmp_path / name / file).read_bytes() for file in FILES[2:]] for name in "abc"}
    assert whole["a"] == whole["b"]
    assert all(one != other for one, other in zip(whole["a"], whole["c"], strict=True))


@pytest.mark.parametrize("anomaly", ["test/{}", "test/anomaly/{}"])
@pytest.mark.parametrize("normal", ["good", "Normal"])
def test_folders_that_are_split_already(root, out, normal, anomaly):
    fill(root, *numbered(25, f"train/{normal}/{{:03d}}.png"))
    fill(root, *numbered(3, f"test/{normal}/{{:03d}}.png"), start=50)
    fill(root, f"{anomaly.format('cat')}/x.png", start=100)
    fill(root, f"{anomaly.format('dog')}/x.png", start=200)
    fill(root, "ground_truth/cat/x.png", "train/bad/x.png", "test/loose.png")
    parts = prepare(root, out, QUICK)
    true_kinds(out)
    assert reds(out) == list(range(25))
    assert parts.kinds == {"normal": 3, "cat": 1, "dog": 1}
    assert skipped(out).keys() == {"ground_truth/cat/x.png", "train/bad/x.png", "test/loose.png"}
    assert "`test_share` 0.5: " in refused(root, out.parent / "other", Preparation(test_share=0.5))


def test_a_split_without_normal_test_pictures_holds_some_back(root, out):
    fill(root, *numbered(30, "train/good/{:03d}.png"), "test/hole/x.png")
    assert prepare(root, out, QUICK).kinds == {"normal": 6, "hole": 1}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["train/{:03d}.png", "test/{:03d}.png"], "no pictures in train/normal/"),
        (["anomaly/cat/{:03d}.png"], "no pictures in normal/"),
        (["normal/{:03d}.png", "anomaly/normal/{:03d}.png"], "holds a folder 'normal'"),
        ([".hidden/{:03d}.png"], "holds no pictures"),
    ],
)
def test_a_layout_that_cannot_be_told_is_refused(root, out, names, words):
    for pattern in names:
        fill(root, *numbered(30, pattern))
    assert words in refused(root, out)


# labels.csv


@pytest.fixture
def listed(root):
    """Write labels.csv with these lines after 30 normal pictures."""
    fill(root, *numbered(30, "a/{:03d}.png"))
    fill(root, "b/cat.png", start=100)
    fill(root, "b/dog.png", start=200)
    (root / "b/unlisted.png").write_bytes((root / "b/cat.png").read_bytes())

    def write(*lines: str, header: str = "file,label,kind") -> Path:
        rows = [f"{name},0{',' * (header.count(',') - 1)}" for name in numbered(30, "a/{:03d}.png")]
        (root / "labels.csv").write_text("\n".join([header, *rows, *lines, ""]))
        return root

    return write


def test_a_table_of_labels(listed, out):
    parts = prepare(listed("./b//dog.png,1, dog", "b/cat.png,1,cat"), out, QUICK)
    true_kinds(out)
    assert parts.kinds == {"normal": 6, "cat": 1, "dog": 1}
    assert skipped(out) == {"b/unlisted.png": "not in labels.csv"}


def test_a_table_of_labels_without_kinds(listed, out):
    root = listed("b/cat.png,1", header="file,label")
    assert prepare(root, out, QUICK).kinds == {"normal": 6, "anomaly": 1}


@pytest.mark.parametrize("name", ["Labels.CSV", "LABELS.csv"])
def test_a_table_of_labels_is_found_in_any_letter_case(listed, out, name):
    root = listed("b/cat.png,1,cat")
    (root / "labels.csv").rename(root / name)
    parts = prepare(root, out, QUICK)
    assert parts.kinds == {"normal": 6, "cat": 1}
    assert skipped(out)["b/dog.png"] == f"not in {name}"
    (root / "labels.csv").write_text("file,label\n")
    assert f"has {name} and labels.csv; keep one of them" in refused(root, out)


@pytest.mark.parametrize(
    ("table", "text", "remedy"),
    [
        ("label.csv", "file,label\na/000.png,0\n", "save it as {}/labels.csv (file,label[,kind]), else move it out"),
        ("truth.tsv", "./a/000.png\t0\n", "save it as {}/labels.csv (file"),
        ("a/labels.csv", "file,label\n000.png,0\n", "if it labels them, give {}/a, else move it"),
        ("a/l.csv", '"file";"label"\n"000.png";0\n', "save it as {0}/a/labels.csv (file,label[,kind]) and give {0}/a,"),
        ("a/labels.csv", "file,label\na/000.png,0\n", "save it as {}/labels.csv (file,label[,kind]), else"),
        ("train.csv", ",name,bad\n0,a/000.png,0\n1,a/001.png,1\n", "save it as {}/labels.csv (file"),
        ("a/t.csv", "id,bad\n" + "".join(f"{n:03d},0\n" for n in range(20)), "save it as {0}/a/labels.csv (file,"),
    ],
)
def test_a_table_that_would_be_ignored_is_refused_if_it_names_pictures(root, out, table, text, remedy):
    fill(root, *numbered(30, "a/{:03d}.png"))
    (root / table).write_text(text)
    line = refused(root, out)
    assert f"{table} names pictures but would not be read" in line
    assert remedy.format(root) in line


def test_numbers_in_a_table_that_are_names_of_some_pictures_by_chance_do_no_harm(root, out):
    fill(root, *numbered(60, "{}.png"))
    (root / "temperature.csv").write_text("time,degrees\n" + "".join(f"12:{n},{20 + n % 3}\n" for n in range(60)))
    assert len(prepare(root, out, QUICK).training) == 60


def test_other_tables_are_warned_of(root, out):
    fill(root, *numbered(30))
    (root / "prices.csv").write_text("item,price\nnut,3\n")
    (root / "labels.xlsx").write_bytes(b"PK\xff\x00")
    parts = prepare(root, out, QUICK)
    assert "Warning:  not read: labels.xlsx, prices.csv; labels are read from labels.csv" in report(parts, out, QUICK)


def test_a_table_of_labels_may_spell_its_header_and_labels_in_words(listed, out):
    parts = prepare(listed("b/dog.png,Bad,dog", "b/cat.png,NG,cat", header="File,Label,Kind"), out, QUICK)
    assert parts.kinds == {"normal": 6, "cat": 1, "dog": 1}


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
def test_a_name_in_a_table_may_be_composed_of_other_unicode_characters(listed, out, on_disk):
    name = "b/caf\xe9.png"
    root = listed(unicodedata.normalize("NFD" if on_disk == "NFC" else "NFC", name) + ",1,cat")
    fill(root, unicodedata.normalize(on_disk, name), start=150)
    assert prepare(root, out, QUICK).kinds == {"normal": 6, "cat": 1}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("../b/cat.png,1,cat", "line 32: no picture '../b/cat.png' is in the folder"),
        ("/etc/cat.png,1,cat", "line 32: no picture '/etc/cat.png' is in the folder"),
        ("b/none.png,1,cat", "line 32: no picture 'b/none.png' is in the folder"),
        ("\x1b[31mx.png,1,cat", r"no picture '\x1b[31mx.png'"),
        ("b/cat.png,2,cat", "line 32: label must be 0 (normal) or 1 (anomalous), not '2'"),
        ("b/cat.png,yes,cat", "line 32: label must be 0 (normal) or 1 (anomalous), not 'yes'"),
        (
            "b/cats.png,1,cat",
            "line 32: no picture 'b/cats.png' is in the folder (there is b/cat.png); correct the table",
        ),
        (".\\B\\DOG.PNG,1,cat", "is in the folder (there is b/dog.png); correct"),
        ("1,1,cat", "line 32: no picture '1' is in the folder; correct the table"),
        ("b/cat.png,1,Normal", "line 32: an anomaly of kind 'Normal'"),
        ("./a/007.png,0,", "line 32: './a/007.png' stands twice"),
        ("b/cat.png,1,cat,more", "not a CSV file"),
    ],
)
def test_a_wrong_table_is_refused_with_the_line(listed, out, line, words):
    assert words in refused(listed(line), out)


def test_a_table_with_another_header_is_refused(listed, out):
    assert "its header is 'name,label'" in refused(listed(header="name,label"), out)


def test_one_channel(root, out):
    fill(root, *numbered(20))
    prepare(root, out, Preparation(side=8, grey=True))
    images = open_images(out / "trainingset.npy")
    assert images.array_NHWC.shape == (20, 8, 8, 1)
    assert images.array_NHWC[0, 4, 4, 0] == np.asarray(flat(0).convert("L"))[0, 0]


# What is left out


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def encoded(picture: Image.Image, form: str) -> bytes:
    box = io.BytesIO()
    picture.save(box, form)
    return box.getvalue()


def test_what_cannot_be_read_is_skipped_with_its_reason(root, out, tmp_path):
    fill(root, *numbered(10, "a{:03d}.png"), *numbered(12, "z{:03d}.png"))
    whole = {form: encoded(scene(), form) for form in ("PNG", "JPEG", "WEBP")}
    bad = {
        "m empty.png": b"",
        "m text.png": b"hello, I am a picture\n",
        "m truncated.png": whole["PNG"][: len(whole["PNG"]) // 2],
        "m truncated.jpg": whole["JPEG"][: len(whole["JPEG"]) // 2],
        "m truncated.webp": whole["WEBP"][: len(whole["WEBP"]) // 2],
        "m corrupt.png": whole["PNG"][:200] + bytes(100) + whole["PNG"][300:],
        "m bomb.png": png_claiming(60_000, 60_000),
        "m large.png": png_claiming(10_001, 10_000),
        "m long.png": png_claiming(100_000, 5),
        "m small.png": encoded(flat(0, (30, 3)), "PNG"),
        "m nan.tif": encoded(Image.fromarray(np.full((8, 8), np.nan, np.float32)), "TIFF"),
    }
    for name, content in bad.items():
        (root / name).write_bytes(content)
    for name in ("notes.txt", ".DS_Store", "Thumbs.db", ".hidden.png", ".hidden/x.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(whole["PNG"])
    (root / "m folder.png").symlink_to(root)
    (root / "m broken.png").symlink_to(root / "none.png")
    parts = prepare(root, out, QUICK)
    assert reds(out) == list(range(22)), "no holes"
    reasons = skipped(out)
    assert reasons.pop("m truncated.webp") in ("damaged", "not a picture")
    assert reasons == {
        "m empty.png": "an empty file",
        "m text.png": "not a picture",
        "m truncated.png": "damaged",
        "m truncated.jpg": "damaged",
        "m corrupt.png": "damaged",
        "m bomb.png": "over 100,000,000 pixels",
        "m large.png": "over 100,000,000 pixels",
        "m long.png": "over 65,535 pixels a side",
        "m small.png": "under 4 pixels a side",
        "m nan.tif": "the picture has pixels that are not finite numbers; give another",
        "m folder.png": "a link to a folder",
        "m broken.png": "cannot be opened (No such file or directory)",
    }
    assert parts.folder.others == 5
    assert "Ignored:  5 (hidden, or" in report(parts, out, QUICK)
    assert "damaged" in report(parts, out, QUICK)
    assert "m corrupt.png, m truncated.jpg, m truncated.png" in report(parts, out, QUICK)


def test_files_too_large_to_be_pictures_are_not_opened(root, out, monkeypatch):
    fill(root, *numbered(20), "large.png")
    with (root / "large.png").open("r+b") as file:
        file.truncate(3_000_000_000)  # takes no room on the disk
    prepare(root, out, QUICK)
    assert skipped(out) == {"large.png": "over 1,000,000,000 bytes"}


def test_links_out_of_the_folder_are_not_followed(root, out, tmp_path):
    fill(root, *numbered(20), "sub/in.png")
    fill(tmp_path, "secret/x.png")
    (root / "file.png").symlink_to(tmp_path / "secret" / "x.png")
    (root / "folder").symlink_to(tmp_path / "secret")
    (root / "sub" / "up.png").symlink_to("../../secret/x.png")
    (root / "loop").symlink_to(root)
    (root / "inside.png").symlink_to("sub/in.png")
    prepare(root, out, QUICK)
    assert reds(out) == [*range(20), 20, 20]
    out_of_it = dict.fromkeys(["file.png", "folder", "sub/up.png"], LINK_OUT)
    assert skipped(out) == out_of_it | {"loop": "a link to a folder"}


@pytest.mark.parametrize("link", ["0.png", "folder"])
def test_a_folder_of_nothing_but_links_says_what_to_do(root, out, tmp_path, link):
    fill(tmp_path, "folder/0.png")
    root.mkdir()
    (root / link).symlink_to(tmp_path / "folder" / link if link == "0.png" else tmp_path / link)
    assert refused(root, out).endswith(f"(1 skipped, for instance {link}: {LINK_OUT})")


def test_files_without_an_ending_are_listed(root, out):
    fill(root, *numbered(20))
    (root / "img0").write_bytes((root / "000.png").read_bytes())
    prepare(root, out, QUICK)
    assert skipped(out) == {"img0": "no ending by which a picture is known; add .png or .jpg, for instance"}


def test_links_that_lead_nowhere_are_skipped(root, out):
    fill(root, *numbered(20))
    (root / "gone.png").symlink_to("nothing.png")
    (root / "itself.png").symlink_to("itself.png")
    (root / "a.png").symlink_to("b.png")
    (root / "b.png").symlink_to("a.png")
    prepare(root, out, QUICK)
    assert skipped(out).keys() == {"gone.png", "itself.png", "a.png", "b.png"}
    assert all(reason.startswith("cannot be opened (") for reason in skipped(out).values())


def test_pictures_in_a_format_that_is_not_read_are_named(root, out):
    fill(root, *numbered(20))
    (root / "phone.HEIC").write_bytes(b"any")
    (root / "notes.txt").write_text("any")
    parts = prepare(root, out, QUICK)
    assert skipped(out) == {"phone.HEIC": "a format that is not read; convert it to PNG or JPEG"}
    assert parts.folder.others == 1


def test_names_that_would_command_the_terminal_are_escaped(root, out):
    names = ["new\nline.png", "\x1b[2Jclear.png", "\u202egnp.png", "back\\slash.png", os.fsdecode(b"\xff.png")]
    fill(root, *numbered(20), "fine é.png")
    for name in names:
        (root / name).write_bytes(b"")
    parts = prepare(root, out, QUICK)
    shown = ["\\n", "\\x1b", "\\u202e", "back\\slash", "\\udcff"]
    assert all(any(mark in name for name in skipped(out)) for mark in shown)
    assert all(line.isprintable() for line in report(parts, out, QUICK).split("\n"))
    assert len(report(parts, out, QUICK).split("\n")) == 9


def test_a_folder_whose_name_is_no_text_can_be_reported(root, tmp_path):
    fill(root, *numbered(20))
    out = tmp_path / os.fsdecode(b"caf\xe9\x1b[2J")
    assert all(line.isprintable() for line in report(prepare(root, out, QUICK), out, QUICK).split("\n"))
    assert held(out) == {"trainingset.npy"}


# Parts


def test_too_little_is_refused_before_anything_is_written(root, out):
    fill(root, *numbered(19))
    assert "19 normal pictures to train on; at least 20 are needed" in refused(root, out)
    (root / "a.png").write_bytes(b"")
    assert "(1 skipped, for instance a.png: an empty file)" in refused(root, out)
    assert not out.exists()
    fill(root, "b.png")
    prepare(root, out, QUICK)


@pytest.mark.parametrize(("count", "share"), [(21, "0.04"), (22, "0.09"), (23, "0.13"), (24, "0.16"), (20, None)])
def test_a_share_that_leaves_enough_is_suggested(root, out, count, share):
    fill(root, *numbered(count, "normal/{:03d}.png"), "bad/x.png")
    line = refused(root, out)
    if share is None:
        assert "are needed; `test_share` 1 makes" in line
    else:
        assert f"at least 20 are needed; `test_share` {share} leaves that many; `test_share` 1 makes" in line
        parts = prepare(root, out, dataclasses.replace(QUICK, test_share=float(share)))
        assert (len(parts.training), parts.held_back) == (20, count - 20)


def test_equal_pictures_only_are_refused_as_train_does(root, out):
    fill(root, "0.png")
    for name in numbered(25):
        os.link(root / "0.png", root / name)
    assert "all 26 images to train on are the same, so that nothing can be learned; give" in refused(root, out)
    prepare(root, out, dataclasses.replace(QUICK, unlabelled=True))


@pytest.mark.parametrize(("part", "words"), [("normal", "no normal picture to test on"), ("cat", "no anomaly to test")])
def test_a_test_part_of_which_nothing_can_be_read_is_refused(root, out, part, words):
    fill(root, *numbered(20, "train/good/{:03d}.png"), "test/normal/x.png", "test/cat/x.png")
    (root / "test" / part / "x.png").write_bytes(b"?")
    assert words in refused(root, out)


def test_equal_pictures_are_counted(root, out):
    fill(root, *numbered(25, "train/good/{:03d}.png"), "test/good/a.png")
    fill(root, "test/cat/b.png", "train/good/y.png", "train/good/z.png", start=3)
    flat(3).save(root / "train/good/y.png")
    flat(3).save(root / "train/good/z.png")
    parts = prepare(root, out, QUICK)
    assert (parts.repeated, parts.shared) == (2, 1)
    assert "Repeated: 2 training images equal another one, pixel by pixel, which makes" in report(parts, out, QUICK)
    assert "Shared:   1 test images" in report(parts, out, QUICK)


@pytest.mark.parametrize("name", [*FILES, "trainingset-00000.npy"])
def test_a_folder_in_use_is_refused(root, out, name):
    fill(root, *numbered(20))
    out.mkdir()
    (out / name).write_text("mine")
    assert f"already holds {name}" in refused(root, out)
    assert (out / name).read_text() == "mine"


def test_places_that_cannot_be_read_or_written(root, out, tmp_path):
    assert "no folder that can be read (No such file" in refused(root, out)
    fill(root, *numbered(20))
    (tmp_path / "file").write_text("")
    assert "cannot write here" in refused(root, tmp_path / "file" / "out")


def test_a_full_disk_leaves_nothing(root, out, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    fill(root, *numbered(20))
    monkeypatch.setattr(os, "fsync", full)
    assert "could not be written (No space left on device)" in refused(root, out)
    assert not out.exists()


# All or nothing


def test_what_a_killed_run_left_is_removed_and_two_at_once_are_refused(root, out):
    fill(root, *numbered(20))
    left = out / ".hw8-prepare-killed"
    left.mkdir(parents=True)
    (left / "trainingset.npy").write_bytes(b"half")
    with locked(out):
        assert "in use by process" in refused(root, out)
    prepare(root, out, QUICK)
    assert held(out) == {"trainingset.npy"}


def test_an_interruption_leaves_nothing(root, out, monkeypatch):
    def interrupted(path: Path, *rest: object) -> np.ndarray:
        if path.name == "050.png":
            raise KeyboardInterrupt
        return read_picture(path, *rest)

    fill(root, *numbered(100))
    monkeypatch.setattr(pictures, "read_picture", interrupted)
    with pytest.raises(Interrupted, match="nothing was written"):
        prepare(root, out, QUICK)
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_stops_at_once(root, out, number):
    fill(root, "0.png")
    Image.effect_noise((1500, 1500), 50).save(root / "0.png")
    for name in numbered(1000):
        os.link(root / "0.png", root / name)
    command = [sys.executable, SCRIPT, root, out]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 20
        while not list(out.glob("*prepare-*/trainingset.npy")) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert list(out.glob("*prepare-*")), "it writes where it will rename"
        signal_time = time.monotonic()
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=20)
    assert time.monotonic() - signal_time < 5
    assert (process.returncode, stdout) == (130, "")
    assert stderr.strip().endswith(f"interrupted: nothing was written to {out}")
    assert not out.exists()


def test_the_command_reports_and_refuses_in_one_line(root, out):
    labelled(root)
    (root / "normal" / "x.png").write_bytes(b"?")
    command = [sys.executable, SCRIPT, root, out, "--side", "8", "--crop", "pad"]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=False) for _ in range(2))
    assert first.returncode == 0
    train = SCRIPT.parent / "train.py"
    assert first.stdout.endswith(f"Next:     python {train} --data {out} --preset fcn\n")
    assert "pictures: 100%" in first.stderr
    assert (second.returncode, second.stdout) == (2, "")
    assert second.stderr == f"error: {out}: already holds trainingset.npy; choose another folder, or remove it first\n"


@pytest.mark.parametrize(
    "wrong",
    [{"side": 3}, {"side": 5000}, {"test_share": 0.0}, {"test_share": 1.1}, {"seed": -1}, {"workers": 0}],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(InputError, match=f"`{next(iter(wrong))}`"):
        Preparation(**wrong)


# Size


def test_the_files_are_the_same_with_any_number_of_workers(root, tmp_path):
    labelled(root)
    for number in range(0, 30, 3):
        (root / f"normal/{number:03d}a.png").write_bytes(b"?")
        scene().resize((300 + 20 * number, 200)).save(root / f"normal/{number:03d}b.jpg")
    whole = []
    for workers in (1, 2, 5):
        prepare(root, tmp_path / str(workers), Preparation(workers=workers))
        whole.append([(tmp_path / str(workers) / name).read_bytes() for name in FILES])
    assert whole[0] == whole[1] == whole[2]


MEASURE = """
import resource, sys
from pathlib import Path
from hw8.prepare.folder import prepare
from hw8.prepare.settings import Preparation
root = Path(sys.argv[1])
for name in ("few", "few", "many"):
    prepare(root / name, root / f"out-{name}-{resource.getrusage(resource.RUSAGE_SELF).ru_utime}", Preparation(128))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_pictures(tmp_path):
    Image.effect_noise((40, 40), 50).save(tmp_path / "x.png")
    for name, count in (("few", 200), ("many", 2000)):
        (tmp_path / name).mkdir()
        fill(tmp_path / name, "other.png")
        for file in numbered(count, "{:05d}.png"):
            os.link(tmp_path / "x.png", tmp_path / name / file)
    command = [sys.executable, "-c", MEASURE, tmp_path]
    _, few, many = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert many - few < 20_000, "kB; the images alone are 98,000"


def test_files_are_shared_by_whoever_may_read_the_folder(root, out):
    fill(root, *numbered(20))
    prepare(root, out, QUICK)
    mask = os.umask(0o022)
    os.umask(mask)
    assert (out / "trainingset.npy").stat().st_mode & 0o777 == 0o666 & ~mask


def table(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_the_lists_say_which_picture_each_image_is(root, out):
    names = [f"normal/{number:02d}.png" for number in range(30)] + ["anomaly/odd/x.png", 'anomaly/odd/a "b", c.png']
    fill(root, *names)
    (root / "normal" / "05.png").write_bytes(b"no picture")
    prepare(root, out, QUICK)
    for part in ("training", "testing"):
        images, rows = np.load(out / f"{part}set.npy"), table(out / f"{part}_files.csv")
        assert rows[0] == ["ID", "file"]
        assert [row[0] for row in rows[1:]] == [str(number) for number in range(len(images))]
        for image_HWC, (_, name) in zip(images, rows[1:], strict=True):
            with Image.open(root / name) as picture:
                alone = resized_to_square(picture.convert("RGB"), QUICK.side, "centre")
            assert (image_HWC == alone).all(), name
    assert not any(
        name == "normal/05.png" for part in ("training", "testing") for _, name in table(out / f"{part}_files.csv")
    )


def test_pictures_that_nobody_labelled_are_a_test_set(root, out):
    fill(root, "b.png", "a/x.png", "anomaly/z.png")
    (root / "c.png").write_bytes(b"no picture")
    parts = prepare(root, out, dataclasses.replace(QUICK, unlabelled=True))
    assert held(out) == {"testingset.npy", "skipped.csv"}
    assert [name for _, name in table(out / "testing_files.csv")[1:]] == ["a/x.png", "anomaly/z.png", "b.png"]
    assert len(np.load(out / "testingset.npy")) == len(parts.testing) == 3
    assert not (out / "training_files.csv").exists()
    assert "no labels" in report(parts, out, QUICK)


def test_scoring_pictures_that_were_cropped_in_another_way_warns(root, tmp_path, caplog):
    fill(root, *numbered(40))
    for crop in ("pad", "centre"):
        prepare(root, tmp_path / crop, Preparation(side=16, crop=crop, test_share=0.5))
    config = changed(load_preset("fcn"), data={"source": str(tmp_path / "pad")}, train={"epochs": 1, "least_steps": 0})
    run = train_run(config, tmp_path / "run").folder.path
    line = f"{tmp_path / 'centre'}: its pictures were cropped by 'centre', those of the training by 'pad'"
    assert predict([run], None, tmp_path / "same.csv").warnings == []
    assert any(line in warning for warning in predict([run], str(tmp_path / "centre"), tmp_path / "b.csv").warnings)


def test_folders_of_defects_are_not_taken_as_normal(root, out):
    for kind in ("screw", "nut"):
        fill(root, *numbered(30, f"{kind}/train/good/{{:03d}}.png"), f"{kind}/test/scratch/0.png")
        fill(root, f"{kind}/ground_truth/scratch/0.png")
    message = "also 4 in folders named ground_truth, scratch, test; move normal pictures to normal/"
    assert message in refused(root, out)
    fill(root.parent / "plain", *numbered(20, "fine/{:03d}.png"), "NOK/0.png")
    assert "also 1 in folders named NOK;" in refused(root.parent / "plain", out)


def test_loose_pictures_in_a_folder_named_test_are_not_normal_either(root, out):
    fill(root, *numbered(30), *numbered(5, "test/{:03d}.png"))
    assert "also 5 in folders named test;" in refused(root, out)


@pytest.mark.parametrize(
    "layout",
    [
        "normal/{}.png anomaly/dent/{}.png",
        "test/good/{}.png test/dent/{}.png",
        "train/good/{}.png test/good/9{}.png test/dent/{}.png",
    ],
)
def test_all_pictures_become_a_labelled_test_set(root, out, layout):
    for pattern in layout.split():
        fill(root, *numbered(5, pattern))
    if layout.startswith("normal"):
        assert "4 normal pictures to train on; at least 20 are needed; `test_share` 1 makes" in refused(root, out)
    parts = prepare(root, out, dataclasses.replace(QUICK, test_share=1.0))
    normal = 5 * (len(layout.split()) - 1)
    assert parts.kinds == {"normal": normal, "dent": 5}
    assert "Held out" not in report(parts, out, QUICK)
    assert not (out / "trainingset.npy").exists()
    assert read_labels(out / "testing_labels.csv", normal + 5).label_N.sum() == 5


def test_of_pictures_that_nobody_labelled_one_must_be_readable(root, out):
    root.mkdir()
    (root / "c.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="no picture to test on can be read"):
        prepare(root, out, dataclasses.replace(QUICK, unlabelled=True))
    assert not out.exists()
    with pytest.raises(InputError, match="omit `test_share`"):
        dataclasses.replace(QUICK, unlabelled=True, test_share=0.5)
