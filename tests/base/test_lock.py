"""Who owns a folder, and what becomes of an owner that died."""

import json
import os
import subprocess
import sys

import pytest

from hw8.base.errors import InputError
from hw8.base.lock import LOCK, OWNER, owned
from hw8.runs.train import resume_run, train_run

HOLD = "import sys, time; from pathlib import Path; from hw8.base.lock import owned\n" \
    "with owned(Path(sys.argv[1])):\n    print('mine', flush=True); time.sleep(60)"  # fmt: skip


@pytest.fixture
def held(tmp_path):
    """A folder that another process owns, and that process."""
    folder = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "mine\n"
    yield folder, process
    process.kill()
    process.wait()


def test_a_second_process_is_refused_with_the_first_one_named(held):
    folder, process = held
    with pytest.raises(InputError, match=rf"run: in use by process {process.pid} on {os.uname().nodename} \(since 20"):
        owned(folder).__enter__()
    assert (folder / OWNER).exists(), "the refused one leaves the owner's lock alone"


def test_training_and_resuming_in_an_owned_folder_are_refused(held, quick):
    folder, process = held
    with pytest.raises(InputError, match=f"in use by process {process.pid} on"):
        train_run(quick, folder)
    assert sorted(path.name for path in folder.iterdir()) == [OWNER, LOCK]


def test_a_run_being_trained_is_not_resumed_by_a_second_process(quick, tmp_path, monkeypatch):
    """From within the training itself: a lock belongs to one opening of the file, not to a process."""
    tried = []

    def intrude(trainer, folder):
        with pytest.raises(InputError, match="in use by process") as caught:
            resume_run(folder.path)
        tried.append(str(caught.value))
        raise InputError("seen enough")

    monkeypatch.setattr("hw8.runs.train.fit", intrude)
    with pytest.raises(InputError, match="seen enough"):
        train_run(quick, tmp_path / "run")
    assert len(tried) == 1
    assert str(os.getpid()) in tried[0]


def test_the_lock_of_a_dead_process_is_recognised(held, caplog):
    folder, process = held
    (folder / ".model.safetensors.abc.part").write_bytes(b"half")
    process.kill()
    process.wait()
    with owned(folder):
        assert json.loads((folder / OWNER).read_text())["process"] == os.getpid()
        assert not list(folder.glob("*.part")), "what the dead one was writing is removed"
    assert f"process {process.pid} on" in caplog.text
    assert "left without a word" in caplog.text
    assert not (folder / OWNER).exists()


def test_what_a_file_says_of_the_owner_steers_no_terminal(held):
    folder, _ = held
    (folder / OWNER).write_text(json.dumps({"process": 7, "host": "far\x1b[2Jaway", "since": "yesterday"}))
    with pytest.raises(InputError, match=r"in use by process 7 on far\\x1b\[2Jaway \(since yesterday\)"):
        owned(folder).__enter__()


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "treasure").write_text("mine")
    (tmp_path / "run" / LOCK).symlink_to(tmp_path / "treasure")
    with pytest.raises(InputError, match="cannot write here"):
        owned(tmp_path / "run").__enter__()
    assert (tmp_path / "treasure").read_text() == "mine"


def test_a_folder_made_for_nothing_vanishes(tmp_path):
    with pytest.raises(ZeroDivisionError), owned(tmp_path / "new"):
        1 / 0  # noqa: B018
    assert not (tmp_path / "new").exists()


def test_left_overs_do_not_fill_a_folder(quick, tmp_path):
    """A training killed before its first file is started again by the same command."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".config.yaml.xyz.part").write_text("preset")
    (folder / OWNER).write_text("")
    train_run(quick, folder)
    assert (folder / "summary.json").exists()
    assert not list(folder.glob(".*"))
