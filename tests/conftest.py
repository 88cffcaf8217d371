"""Small data and runs that several tests share; everything is generated, nothing is downloaded."""

import contextlib
import dataclasses
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from hw8.config import RunConfig
from hw8.data.arrays import Images
from hw8.data.demo import demo_images, write_demo
from hw8.explorer.catalogue import Catalogue
from hw8.explorer.server import create_server, listen
from hw8.presets import changed, load_preset
from hw8.training.session import Trained, train_run

# The last digits depend on the number of threads: processes that tests start have as many.
THREADS = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2
torch.set_num_threads(THREADS)
os.environ["OMP_NUM_THREADS"] = str(THREADS)
# Started in the background of a script, a process ignores Ctrl-C, and so would those that tests stop by it.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 400 training and 120 test images, and labels."""
    return write_demo(tmp_path_factory.mktemp("data") / "demo", train=400, test=120)


@pytest.fixture(scope="session")
def faces() -> Images:
    """Sixty generated faces."""
    return Images(demo_images("normal", 60, seed=5))


@pytest.fixture
def quick(demo: Path) -> RunConfig:
    """Settings of a run that takes a second."""
    config = changed(
        load_preset("fcn_crop"),
        data={"source": str(demo), "crop": 16, "held_out_minimum": 40},
        model={"options": {"widths": [32], "latent": 8, "norm": "batch"}},
        train={"epochs": 3, "batch_size": 64},
    )
    return dataclasses.replace(config, device="cpu")


@pytest.fixture(scope="session")
def trained(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A finished run on the demo folder."""
    config = changed(load_preset("fcn_crop"), data={"source": str(demo)}, train={"epochs": 4})
    return train_run(config, tmp_path_factory.mktemp("runs") / "trained", "python scripts/train.py")


@pytest.fixture
def array_file(tmp_path: Path):
    """Write an array to a .npy file and return its path."""

    def write(array: np.ndarray, name: str = "images.npy", **options: bool) -> Path:
        np.save(tmp_path / name, array, **options)
        return tmp_path / name

    return write


@pytest.fixture(scope="session")
def catalogue(trained: Trained) -> Catalogue:
    """What the explorer knows of the finished run."""
    return Catalogue(trained.folder.path, None, "cpu")


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
