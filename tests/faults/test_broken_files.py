"""Files as a failing disk, a wrong copy or an editor leaves them: refused in one line that names the file."""

import json
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from hw8.base.errors import MAX_LENGTH, InputError
from hw8.config import read_config, to_yaml
from hw8.data.arrays import open_images
from hw8.data.labels import read_labels
from hw8.data.pictures import read_picture
from hw8.data.sources import open_source
from hw8.runs.scores import score_images
from hw8.runs.submission import merge_parts, read_submission
from hw8.runs.train import resume_run
from hw8.runs.trained_run import TrainedRun
from tests.golden import GOLDEN, data

Change = Callable[[bytes], bytes]
NOISE = np.random.default_rng(0).bytes(3000)
DAMAGES: dict[str, Change] = {
    "empty": lambda content: b"",
    "cut in half": lambda content: content[: len(content) // 2],
    "cut after 20 bytes": lambda content: content[:20],
    "first bytes lost": lambda content: content[5:],
    "zeros": lambda content: bytes(len(content)),
    "random bytes": lambda content: NOISE,
    "another file's text": lambda content: b"name;size\nx;3\n",
    "as UTF-16": lambda content: content.decode("latin-1").encode("utf-16"),
    "a web page": lambda content: b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n",
}


def rows(header: str, row: str) -> str:
    return header + "\n" + "".join(row.format(number, number % 2) + "\n" for number in range(30))


def score(folder: Path) -> None:
    """Load a run, score its test images, and open the training images that it names."""
    run = TrainedRun.load(folder, "cpu")
    scores = score_images(run, run.open_test(open_source("images")))
    assert np.isfinite(scores.score_N).all()
    run.open_training()


# Each file in the folder that `files` fills, and what reads it.
READERS: dict[str, Callable[[Path], object]] = {
    "images/trainingset.npy": open_images,
    "labels.csv": lambda path: read_labels(path, 30),
    "submission.csv": lambda path: read_submission(path, 30),
    "part.csv": lambda path: merge_parts([path], Path("merged.csv")),
    "settings.yaml": read_config,
    "picture.png": lambda path: read_picture(path, 16, 3, "centre"),
    "picture.jpg": lambda path: read_picture(path, 16, 3, "centre"),
    "run/config.yaml": lambda path: score(path.parent),
    "run/model.safetensors": lambda path: score(path.parent),
    "run/summary.json": lambda path: score(path.parent),
    "run/resume.pt": lambda path: resume_run(path.parent),
}
# Damages that leave something valid: fewer settings than before.
STILL_VALID = {("settings.yaml", "cut after 20 bytes"), ("settings.yaml", "empty"), ("run/config.yaml", "empty")}
UNNAMED = {"picture.png", "picture.jpg"}  # whose callers name the file


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with one good file of each kind, which is the current one."""
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    data(Path("images"))
    shutil.copytree(GOLDEN / "run", "run")
    shutil.copy("run/config.yaml", "settings.yaml")
    Path("labels.csv").write_text(rows("ID,label,kind", "{0},{1},kind{1}"))
    Path("submission.csv").write_text(rows("ID,score", "{0},{0}.5"))
    Path("part.csv").write_text(rows("ID,score,whole", "{0},{0}.5,30-0123456789ab"))
    picture = Image.fromarray(np.load("images/trainingset.npy")[0])
    for name in ("picture.png", "picture.jpg"):
        picture.resize((64, 64)).save(name)
    return tmp_path


def refusal(read: Callable[[Path], object], path: Path) -> str | None:
    """The reader's one short printable line, or None if it gives something."""
    try:
        read(path)
    except InputError as error:
        line = str(error)
        assert not [c for c in line if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"}]
        assert 0 < len(line) <= MAX_LENGTH
        return line
    return None


@pytest.mark.parametrize("name", READERS)
def test_good_files_are_read(files, name):
    assert refusal(READERS[name], Path(name)) is None


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_refused_by_name(files, name, damage):
    path = Path(name)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    line = refusal(READERS[name], path)
    if (name, damage) not in STILL_VALID:
        assert line is not None
        assert name in UNNAMED or path.name in line or f"{path.parent}:" in line, line


@pytest.mark.parametrize("kind", ["missing", "a folder"])
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_is_refused(files, name, kind):
    path = Path(name)
    path.unlink()
    if kind == "a folder":
        path.mkdir()
    line = refusal(READERS[name], path)
    assert line is not None or (name, kind) == ("run/resume.pt", "missing"), "a run without a state starts again"


def tensors(change: Callable[[dict[str, np.ndarray]], object]) -> Change:
    """A change of the run's tensors, which are saved again."""

    def changed(content: bytes) -> bytes:
        arrays = {name: value.copy() for name, value in load(content).items()}
        change(arrays)
        return save(arrays, {"images": "16x16x3"})

    return changed


def largest(arrays: dict[str, np.ndarray]) -> str:
    return max((name for name in arrays if name.startswith("weights.")), key=lambda name: arrays[name].size)


WEIGHTS: dict[str, Change] = {
    "one weight is not a number": tensors(lambda a: a[largest(a)].reshape(-1).__setitem__(3, np.nan)),
    "a weight is missing": tensors(lambda a: a.pop(largest(a))),
    "a weight too many": tensors(lambda a: a.update({"weights.more": np.zeros(3, np.float32)})),
    "a weight of another shape": tensors(lambda a: a.update({largest(a): np.zeros((3, 3), np.float32)})),
    "no calibration": tensors(lambda a: [a.pop(name) for name in list(a) if name.startswith("calibration.")]),
    "another score's calibration": tensors(lambda a: a.update({"calibration.other": a.pop("calibration.l1")})),
    "a calibration that is not a number": tensors(lambda a: a["calibration.l1"].fill(np.nan)),
    "no header of ours": lambda content: save(load(content)),
    "a pickle": lambda content: b"\x80\x04cos\nmkdir\nS'exploded'\n\x85R.",
}


@pytest.mark.parametrize("damage", WEIGHTS)
def test_weights_that_do_not_fit_are_refused(files, damage):
    path = Path("run/model.safetensors")
    path.write_bytes(WEIGHTS[damage](path.read_bytes()))
    line = refusal(READERS[str(path)], path)
    assert line is not None
    assert line.startswith("run"), line
    assert not Path("exploded").exists()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: fcn", "name: conv"), ("name: fcn", "name: nothing"), ("    - 8", "    - 1000000000"),
        ("latent: 4", "latent: wide"), ("score: l1", "score: nothing"), ("crop: null", "crop: 8"),
        ("source: images", "source: elsewhere"), ("seed: 0", "seed: .nan"), ("seed: 0", "colour: red"),
        ("seed: 0", "seed: !!python/object/apply:os.mkdir [exploded]"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_the_run_are_refused(files, old, new):
    path = Path("run/config.yaml")
    path.write_text(path.read_text().replace(old, new, 1))
    assert refusal(READERS[str(path)], path) is not None
    assert not Path("exploded").exists()


def test_a_summary_that_does_not_name_the_training_images_is_refused(files):
    for values in ([], {}, {"data": []}, {"data": {"fingerprint": "0" * 64}}):
        Path("run/summary.json").write_text(json.dumps(values))
        assert refusal(score, Path("run")) is not None


FIELDS = st.one_of(st.integers().map(str), st.floats().map(repr), st.text(max_size=8), st.sampled_from(["", "ID", '"']))
ROWS = st.lists(st.lists(FIELDS, min_size=1, max_size=4).map(",".join), max_size=6)
HEADERS = st.sampled_from(["ID,score", "ID,label", "ID,label,kind", "ID,score,whole", ""])
TABLES = st.tuples(HEADERS, ROWS).map(lambda table: "\n".join([table[0], *table[1]]).encode("utf-8", "surrogatepass"))
LINES = st.tuples(
    st.sampled_from(
        ["seed: ", "data: ", "train: {epochs: ", "model: {options: {x: ", "- ", "&a ", "*a ", "!!int ", ""]
    ),
    st.one_of(st.text(max_size=12), st.integers().map(str), st.floats().map(repr)),
    st.sampled_from(["\n", "}\n", "}}\n", ""]),
).map("".join)
AS_FIXTURES = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@settings(max_examples=150, **AS_FIXTURES)
@given(st.one_of(TABLES, st.binary(max_size=200)))
def test_any_text_is_a_table_or_refused(tmp_path, content):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    for read in (read_submission, read_labels, lambda path: merge_parts([path], tmp_path / "out.csv")):
        refusal(read, path)


@settings(max_examples=150, **AS_FIXTURES)
@given(st.one_of(st.lists(LINES, max_size=5).map("".join), st.text(max_size=100)))
def test_any_text_is_settings_or_refused(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    refusal(lambda path: to_yaml(read_config(path)), path)
