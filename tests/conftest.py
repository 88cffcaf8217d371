"""Small data, runs and a way to call commands that several tests share; all is generated, nothing is downloaded."""

import contextlib
import dataclasses
import importlib
import io
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from hw8.config import RunConfig
from hw8.config.presets import changed, load_preset
from hw8.data.arrays import Images
from hw8.data.demo import demo_images, write_demo
from hw8.explorer.catalogue import Catalogue
from hw8.explorer.server import create_server, listen
from hw8.runs.train import FinishedTraining, train_run
from tests.forks import FORKS
from tests.helpers import scored, settings_of_a_second

# The last digits depend on the number of threads: processes that tests start have as many.
THREADS = 1 if "PYTEST_XDIST_WORKER" in os.environ else int(os.environ.get("OMP_NUM_THREADS", 2))
torch.set_num_threads(THREADS)
threadpool_limits(THREADS)  # of NumPy and scikit-learn too
os.environ["OMP_NUM_THREADS"] = str(THREADS)
# What is printed as the next command is spelled with the Python that the shell would find.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
SCRIPTS = Path(__file__).parents[1] / "scripts"
# Started in the background of a script, a process ignores Ctrl-C, and so would those that tests stop by it.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a Python that forks for every command (see tests/forks.py)."""
    path = tmp_path_factory.mktemp("forks") / "socket"
    with subprocess.Popen([sys.executable, str(FORKS), str(path)], env=os.environ | {"OMP_NUM_THREADS": "1"}) as server:
        while not path.exists():
            assert server.poll() is None
            time.sleep(0.05)
        yield path
        server.terminate()


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 400 training and 120 test images, and labels."""
    return write_demo(tmp_path_factory.mktemp("data") / "demo", train=400, test=120)


@pytest.fixture(scope="session")
def faces() -> Images:
    """Sixty generated faces."""
    return Images(demo_images("normal", 60, seed=5))


@pytest.fixture(scope="session")
def small(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo folder's images at 16 pixels a side, each the mean of 4x4: whole faces, at a sixteenth of the work."""
    folder = tmp_path_factory.mktemp("data") / "small"
    folder.mkdir()
    for name in ("trainingset.npy", "testingset.npy"):
        array_NHWC = np.load(demo / name)
        tiles = array_NHWC.reshape(len(array_NHWC), 16, 4, 16, 4, 3)
        np.save(folder / name, tiles.mean(axis=(2, 4)).round().astype(np.uint8))
    shutil.copy(demo / "testing_labels.csv", folder)
    return folder


@pytest.fixture
def quick(small: Path) -> RunConfig:
    """Settings of a run that takes a second."""
    return settings_of_a_second(small)


@pytest.fixture(scope="session")
def trained(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> FinishedTraining:
    """A finished run on the demo folder."""
    config = changed(
        load_preset("fcn_crop"),
        data={"source": str(demo), "held_out_minimum": 40},
        train={"epochs": 4, "least_steps": 0},
    )
    return train_run(config, tmp_path_factory.mktemp("runs") / "trained", "python scripts/train.py")


@dataclasses.dataclass(frozen=True)
class Called:
    """What a command that was called in this process left: its exit code and what it printed."""

    code: int
    stdout: str
    stderr: str

    @property
    def line(self) -> str:
        """The one line of an error, with nothing on standard output."""
        assert self.stdout == ""
        first, *choices = self.stderr.splitlines()
        assert first.startswith("error: ")
        assert all(choice.startswith("  ") for choice in choices), self.stderr
        return first


def script_module(name: str) -> ModuleType:
    """The module of a command."""
    return importlib.import_module(f"hw8.commands.{name}")


@pytest.fixture
def call(monkeypatch):
    """Call a command in this process, as its script would: `call("train", "--epochs", 3, code=0)`."""
    from hw8.commands.exit_codes import run

    def called(name: str, *words: object, code: int = 0) -> Called:
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "argv", [f"scripts/{name}.py", *map(str, words)])
        root = logging.getLogger()
        handlers, level = root.handlers, root.level
        root.handlers = []  # the command sets up its own
        found = 0
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                run(script_module(name).main)
        except SystemExit as leaving:
            found = int(leaving.code or 0)
        finally:
            root.handlers, root.level = handlers, level
        assert found == code, err.getvalue()
        return Called(found, out.getvalue(), err.getvalue())

    return called


@pytest.fixture
def array_file(tmp_path: Path):
    """Write an array to a .npy file and return its path."""

    def write(array: np.ndarray, name: str = "images.npy", **options: bool) -> Path:
        np.save(tmp_path / name, array, **options)
        return tmp_path / name

    return write


@pytest.fixture(scope="session")
def catalogue(trained: FinishedTraining) -> Catalogue:
    """What the explorer knows of the finished run."""
    return scored(Catalogue(trained.folder.path, None, "cpu"))


@pytest.fixture(scope="session")
def serving():
    """Serve a catalogue while a block runs; gives the port."""

    @contextlib.contextmanager
    def serve(catalogue: Catalogue):
        with listen(0) as listening:
            server = create_server(catalogue)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()
            while not server.started:
                time.sleep(0.01)
            try:
                yield listening.getsockname()[1]
            finally:
                server.should_exit = True
                thread.join()

    return serve
