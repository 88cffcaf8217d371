"""Who holds the lock of a folder, and what becomes of a holder that died."""

import json
import os
import subprocess
import sys

import pytest

from hw8.base.errors import InputError
from hw8.base.lock import LOCK, OWNER, locked
from hw8.runs.train import resume_run, train_run

HOLD = "import sys, time; from pathlib import Path; from hw8.base.lock import locked\n" \
    "with locked(Path(sys.argv[1])):\n    print('mine', flush=True); time.sleep(60)"  # fmt: skip


@pytest.fixture
def held(tmp_path):
    """A folder whose lock another process holds, and that process."""
    folder = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "mine\n"
    yield folder, process
    process.kill()
    process.wait()


def test_a_second_process_is_refused_with_the_first_one_named(held, quick):
    folder, process = held
    with pytest.raises(InputError, match=rf"run: in use by process {process.pid} on {os.uname().nodename} \(since 20"):
        locked(folder).__enter__()
    with pytest.raises(InputError, match=f"in use by process {process.pid} on"):
        train_run(quick, folder)
    assert sorted(path.name for path in folder.iterdir()) == [OWNER, LOCK]


def test_a_run_being_trained_is_not_resumed_by_a_second_process(quick, tmp_path, monkeypatch):
    """From within the training itself: a lock belongs to one opening of the file, not to a process."""
    refusals = []

    def intrude(trainer):
        with pytest.raises(InputError, match="in use by process") as caught:
            resume_run(trainer.folder.path)
        refusals.append(str(caught.value))
        raise InputError("seen enough")

    monkeypatch.setattr("hw8.runs.train.fit", intrude)
    with pytest.raises(InputError, match="seen enough"):
        train_run(quick, tmp_path / "run")
    assert len(refusals) == 1
    assert str(os.getpid()) in refusals[0]


def test_the_lock_of_a_dead_process_is_taken_over(held, caplog):
    folder, process = held
    (folder / ".model.safetensors.abc.part").write_bytes(b"half")
    process.kill()
    process.wait()
    with locked(folder):
        assert json.loads((folder / OWNER).read_text())["process"] == os.getpid()
        assert not list(folder.glob("*.part")), "half-written files of the dead process are removed"
    assert f"process {process.pid} on" in caplog.text
    assert "ended without releasing it" in caplog.text
    assert not list(folder.iterdir())


def test_an_owner_file_that_was_cut_refuses_all_the_same(held):
    folder, _ = held
    (folder / OWNER).write_text('{"process": 7')
    with pytest.raises(InputError, match="in use by another process"):
        locked(folder).__enter__()


def test_a_new_folder_that_stays_empty_is_removed(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "new"):
        1 / 0  # noqa: B018
    assert not (tmp_path / "new").exists()


def test_half_written_files_do_not_fill_a_folder(quick, tmp_path):
    """A training killed before its first file is started again by the same command."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".config.yaml.xyz.part").write_text("preset")
    (folder / OWNER).write_text("")
    train_run(quick, folder)
    assert (folder / "summary.json").exists()
    assert not list(folder.glob(".*"))
