"""Readers refuse what is broken in one line, quickly, in little memory, without running or changing anything.

A case that fails is tried alone by its name: `python -m tests.faults.broken_files 'runs: header: claims 0 bytes'`.
"""

import functools
import os
import subprocess
import sys
import tempfile
import unicodedata
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from broken_files import oracle
from broken_files.__main__ import described, table
from broken_files.cases import Case, Invalid, Reader, writes
from broken_files.good import DATA, make_good_files
from broken_files.oracle import LONGEST, UNPRINTABLE, Outcome, Watch, says_what_to_do
from broken_files.readers import READERS, cases
from broken_files.running import outcomes
from hypothesis import given, settings
from hypothesis import strategies as st

from hw8.base.errors import InputError
from hw8.config import from_mapping, read_config, to_yaml
from hw8.data.labels import read_labels
from hw8.runs.submission import merge_parts, read_submission

SCRIPTS = Path(__file__).parents[2] / "scripts"
LEAST = 1000
TOGETHER = (
    ("arrays", "shards", "labels", "submissions", "parts"),
    ("settings", "options", "runs"),
    ("pictures",),
)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of good files: data and runs."""
    return make_good_files(tmp_path_factory.mktemp("good").resolve())


@pytest.fixture(scope="session")
def found(base: Path) -> Any:
    """The outcomes of a reader's cases; readers that import the same share a process."""

    @functools.cache
    def of_group(group: tuple[str, ...]) -> list[Outcome]:
        return outcomes(base, list(cases(group.__contains__)))

    def of(reader: str) -> list[Outcome]:
        group = next(group for group in TOGETHER if reader in group)
        return [outcome for outcome in of_group(group) if outcome.name.startswith(f"{reader}: ")]

    return of


def test_there_are_enough_cases_and_always_the_same():
    names = list(known())
    assert len(names) == len(set(names)) >= LEAST
    assert names == list(cases())
    assert {name for group in TOGETHER for name in group} == READERS.keys()
    for reader in READERS:
        assert sum(name.startswith(f"{reader}: ") for name in names) >= 50


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_broken_files_are_refused_in_one_line_or_load_as_something_valid(reader, found):
    failed = [outcome for outcome in found(reader) if outcome.problems]
    assert not failed, f"{len(failed)} cases of {reader}:\n" + "\n".join(map(described, failed))


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_most_cases_are_broken_enough(reader, found):
    counts = Counter(outcome.outcome for outcome in found(reader))
    assert counts["loaded"] >= 1
    assert counts["refused"] >= len(found(reader)) / 2


@pytest.mark.slow
@pytest.mark.parametrize("reader", [name for name in READERS if name not in ("options", "settings")])
def test_refusals_say_what_to_do(reader, found):
    messages = {outcome.message: outcome.name for outcome in found(reader) if outcome.outcome == "refused"}
    silent = [f"{name}: {message}" for message, name in messages.items() if not says_what_to_do(message)]
    assert not silent, f"{len(silent)} of {len(messages)} messages:\n" + "\n".join(silent)


def test_the_table_has_a_row_for_each_reader():
    lines = table([Outcome("arrays: one", "refused", seconds=0.1), Outcome("runs: two", "loaded", problems=["x"])])
    assert "| arrays | 1 | 0 | 1 | 0 | 0.1 | 0 |" in lines
    assert "| all | 2 | 1 | 1 | 1 | 0.1 | 0 |" in lines


class Unchecked(InputError):
    """A refusal that says what it is given."""

    def __str__(self) -> str:
        return self.text

    def __init__(self, text: str) -> None:
        super().__init__("")
        self.text = text


def misbehave(what: str, base: Path, path: Path) -> None:
    """A reader that does what none may do."""
    if what == "writes beside":
        (base / "left").write_text("x")
    elif what == "starts a process":
        subprocess.run(["true"])
    elif what == "changes its file":
        path.write_text("other")
    elif what == "waits":
        os.mkfifo(base / "pipe")
        (base / "pipe").open()
    elif what == "works on and on":
        while True:
            pass
    elif what == "takes memory":
        np.ones(50_000_000)
    elif what == "warns":
        warnings.warn("careful", UserWarning, stacklevel=1)
    elif what == "raises another error":
        raise KeyError("x")
    elif what == "gives what is invalid":
        raise Invalid("it has no rows")
    elif what == "loads":
        return
    raise Unchecked({"two lines": f"{path}: a\nb", "a long line": f"{path}: {'x' * LONGEST}", "no name": "a: b"}[what])


NOTICED = {
    "writes beside": "reached outside: open",
    "starts a process": "reached outside: subprocess.Popen",
    "changes its file": "changed file",
    "waits": "was not done in time",
    "works on and on": "was not done in time",
    "takes memory": "took 4",
    "warns": "printed a warning: 'careful'",
    "raises another error": "KeyError: 'x' (not in hw8)",
    "gives what is invalid": "loaded, but it has no rows",
    "loads": "was loaded, should be refused",
    "two lines": "has the characters ['\\n']",
    "a long line": "its message has 6",
    "no name": "does not name the file",
}


@pytest.fixture(scope="module")
def watch() -> Watch:
    """Python keeps an audit hook for good, so that there is one alone."""
    return Watch()


@pytest.mark.parametrize("what", NOTICED)
def test_a_reader_that_misbehaves_is_noticed(what, tmp_path, monkeypatch, watch):
    monkeypatch.setattr(oracle, "SECONDS", 0.3)
    reader = Reader("some", "file", functools.partial(misbehave, what), list)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    outcome = oracle.judge(reader, Case(what, writes("file", b"x")), tmp_path, scratch, watch)
    assert any(NOTICED[what] in problem for problem in outcome.problems), outcome


def make(name: str, folder: Path, base: Path) -> Path:
    """Write the case of this name into a folder, and return the file."""
    reader, case = known()[name]
    folder.mkdir()
    case.make(folder, base)
    return folder / (case.file or reader.file)


@functools.cache
def known() -> dict[str, tuple[Any, Case]]:
    return cases()


def data_with(name: str, file: str):
    """A data folder, one file of which is broken; and the command that reads it."""

    def prepared(folder: Path, base: Path, command: list[str]) -> list[str]:
        broken = make(name, folder / "case", base)
        (folder / "data").mkdir()
        for path in (base / DATA).iterdir():
            (folder / "data" / path.name).symlink_to(path)
        (folder / "data" / file).unlink()
        broken.rename(folder / "data" / file)
        return [*command, "--data", "data"]

    return prepared


def file_of(name: str):
    """The command with the broken file at its end."""
    return lambda folder, base, command: [*command, str(make(name, folder / "case", base))]


def labels_of(name: str):
    """A good submission, and broken labels."""

    def prepared(folder: Path, base: Path, command: list[str]) -> list[str]:
        good = make("submissions: as it should be", folder / "good", base)
        return [*command, str(good), "--labels", str(make(name, folder / "case", base))]

    return prepared


COMMANDS = {
    "train on a named pipe": (["train", "--preset", "fcn_crop"], data_with("arrays: a named pipe", "trainingset.npy")),
    "train on a header's bomb": (
        ["train", "--preset", "fcn_crop"],
        data_with("arrays: header: two numbers of 4,000 digits", "trainingset.npy"),
    ),
    "train by settings that unfold": (
        ["train", "--config"],
        file_of("settings: aliases: 30 levels of laughs in options"),
    ),
    "predict by broken weights": (["predict", "--run"], file_of("runs: header: claims 4611686018427387904 bytes")),
    "evaluate by kinds that clear the screen": (["evaluate"], labels_of("labels: an escape sequence in the one kind")),
    "check a number of a megabyte": (["check", "--rows", "30"], file_of("submissions: size: a number of a megabyte")),
    "merge a part of two lines": (["merge", "--out", "merged.csv"], file_of("parts: a whole with a line break")),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_commands_end_with_code_2_and_one_line(name, base, tmp_path):
    words, prepare = COMMANDS[name]
    words = prepare(tmp_path, base, words)
    before = listing(tmp_path)
    command = [sys.executable, str(SCRIPTS / f"{words[0]}.py"), *words[1:]]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=100, env=environment)
    said = done.stderr.decode()
    assert "Traceback" not in said, said
    assert done.returncode == 2, said
    assert done.stdout == b""
    (line,) = [line for line in said.split("\n") if line and "img/s]" not in line]
    assert line.startswith("error: ")
    check_line(line)
    assert listing(tmp_path) == before


def listing(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.lstat().st_size for path in folder.rglob("*")}


def check_line(text: str) -> None:
    """One short line that a terminal shows as it is."""
    assert not [character for character in text if unicodedata.category(character) in UNPRINTABLE]
    assert 0 < len(text) <= LONGEST + 200  # a test's folders have long names


def refused_or(read: Any, *arguments: Any) -> Any:
    """What a reader gives, or None where it refuses in one line."""
    try:
        return read(*arguments)
    except InputError as error:
        check_line(str(error))
        return None


def file_with(content: bytes) -> Path:
    path = Path(tempfile.mkdtemp(dir=scratch())) / "file"
    path.write_bytes(content)
    return path


@functools.cache
def scratch() -> str:
    folder = tempfile.TemporaryDirectory()
    keep.append(folder)
    return folder.name


keep: list[tempfile.TemporaryDirectory[str]] = []
FIELDS = st.one_of(
    st.integers().map(str),
    st.floats().map(repr),
    st.text(max_size=8),
    st.sampled_from(["", "0", "1", "ID", '"', "nan", "\0", "\r"]),
)
ROWS = st.lists(st.lists(FIELDS, min_size=1, max_size=4).map(",".join), max_size=6)
HEADERS = st.sampled_from(["ID,score", "ID,label", "ID,label,kind", "ID,score,whole", "ID", ""])
TABLES = st.tuples(HEADERS, ROWS, st.sampled_from(["\n", "\r\n", "\r"])).map(
    lambda made: made[2].join([made[0], *made[1]])
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(TABLES.map(lambda text: text.encode("utf-8", "surrogatepass")), st.binary(max_size=200)))
def test_any_text_is_a_table_or_refused(content):
    path = file_with(content)
    scores = refused_or(read_submission, path)
    assert scores is None or len(scores) > 0
    labels = refused_or(read_labels, path)
    assert labels is None or set(labels.label_N.tolist()) == {0, 1}
    out = path.with_name("out.csv")
    rows = refused_or(merge_parts, [path], out)
    assert out.exists() == (rows is not None)
    assert path.read_bytes() == content


PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30), st.dates(), st.binary(max_size=9)
)
NESTED = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9) | st.integers(), inner, max_size=4),
)
SECTION = st.one_of(
    NESTED,
    st.dictionaries(
        st.sampled_from(
            ["source", "crop", "flip", "name", "options", "loss", "epochs", "lr", "patience", "score", "parts", "x\ny"]
        ),
        NESTED,
        max_size=3,
    ),
)
CONFIGS = st.dictionaries(
    st.sampled_from(["preset", "seed", "device", "precision", "data", "model", "train", "scoring", "more", "\x1b[2J"]),
    SECTION,
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(CONFIGS)
def test_any_mapping_is_settings_or_refused(values):
    config = refused_or(from_mapping, values)
    if config is not None:
        path = file_with(to_yaml(config).encode())
        assert to_yaml(read_config(path)) == to_yaml(config)


LINES = st.tuples(
    st.sampled_from(
        [
            "seed: ",
            "data: ",
            "train: {epochs: ",
            "model: {options: {x: ",
            "scoring: {parts: [",
            "- ",
            "? ",
            "",
            "\t",
            "&a ",
            "*a ",
            "!!int ",
        ]
    ),
    st.one_of(st.text(max_size=12), st.integers().map(str), st.floats().map(repr)),
    st.sampled_from(["\n", "}\n", "]}\n", "}}\n", ""]),
).map("".join)


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.lists(LINES, max_size=5).map(lambda some: "".join(some).encode("utf-8", "surrogatepass")),
        st.binary(max_size=100),
    )
)
def test_any_text_is_settings_or_refused(content):
    config = refused_or(read_config, file_with(content))
    if config is not None:
        assert to_yaml(config)
